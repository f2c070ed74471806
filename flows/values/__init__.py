"""Values that steps pass on: plain, so that Prefect can store and show them, and without secrets."""
