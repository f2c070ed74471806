"""Slipway against `docker buildx build` on one private engine: `make bench`."""
