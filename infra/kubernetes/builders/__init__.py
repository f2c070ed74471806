"""BuildKit daemons in a cluster: manifests, provisioning, watching, removal."""
