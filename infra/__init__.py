"""The outside world, one package each. No Prefect here, and no package knows another."""
