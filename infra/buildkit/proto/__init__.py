"""The protocol definitions of `infra.buildkit.wire` and what generates it."""
