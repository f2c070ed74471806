"""Base images: what a Dockerfile builds on, and whether that has changed since a release."""
