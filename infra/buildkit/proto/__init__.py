"""The protocol definitions of `prefect_slipway.infra.buildkit.wire`, and their generator."""
