"""Gates: what they are given, how each kind is run, and what its answer means."""
