"""Workloads: their image, its rollout, and what goes wrong."""
