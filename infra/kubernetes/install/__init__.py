"""Install Slipway in a cluster: the manifests (`kubectl apply -k`), and the small programs of their pods."""
