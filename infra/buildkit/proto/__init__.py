"""The protocol definitions of `prefect_slipway.infra.buildkit.wire` and what generates it."""
