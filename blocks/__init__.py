"""Prefect Blocks: typed configuration saved in Prefect; each turns itself into an adapter of `infra`."""
