"""Adapters to the outside world, one package each. They do not use Prefect or each other."""
