"""The API server: configuration, client, kinds, leases, port-forward."""
