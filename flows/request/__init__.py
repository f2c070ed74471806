"""Requests: one model for the command line's options, the UI's form and a deployment's parameters."""
