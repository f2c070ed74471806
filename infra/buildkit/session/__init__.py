"""The services that the daemon may call during a build, and the tunnel for its calls."""
