"""What a registry has of a released image, for `slipway inspect`: read, compared with the version before, and shown."""
