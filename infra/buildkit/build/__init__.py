"""A build request as BuildKit's attributes, and the daemon's reports about the build."""
