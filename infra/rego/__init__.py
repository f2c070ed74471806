"""Policies in Rego: asked about a document, in a process that is ended with its caller."""
