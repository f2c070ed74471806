"""Slipway: releases container images with Prefect, BuildKit and Vault."""
