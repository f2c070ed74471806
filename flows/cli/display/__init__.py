"""Progress on standard error: what commands that take long tell while they run, in one of four forms."""
