"""Base images: what a Dockerfile builds on, and whether that changed since a release."""
