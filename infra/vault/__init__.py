"""Vault (HashiCorp's, or OpenBao), which stores the credentials and the signing keys."""
