"""The Prefect server: its answers as named causes, runs started from outside of one, and the worker."""
