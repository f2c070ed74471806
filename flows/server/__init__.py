"""The Prefect server: its answers as named causes, the flows that its deployments name, and the worker."""
