"""The image's registry, through the OCI distribution API."""
