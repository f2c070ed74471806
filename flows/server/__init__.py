"""The Prefect server: its errors as named causes, its deployments' flows, and the worker."""
