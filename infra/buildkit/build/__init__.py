"""A build's request as BuildKit's attributes, and what the daemon tells of it."""
