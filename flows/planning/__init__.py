"""From facts to a plan: version and why, tags, labels."""
