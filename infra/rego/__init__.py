"""Policies in Rego: asked about a document, in a process that is ended with its caller."""

from prefect_slipway.infra.rego.evaluator import check_engine, evaluate, package_of

__all__ = ["check_engine", "evaluate", "package_of"]
