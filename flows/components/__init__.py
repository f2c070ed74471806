"""The parts of a monorepo that have versions of their own: which there are, what they depend on, in which order."""
