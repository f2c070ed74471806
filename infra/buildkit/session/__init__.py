"""What the daemon may call while it builds, and the tunnel that it calls through."""
