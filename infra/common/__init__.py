"""Helpers that several adapters share; they do not know any adapter."""
