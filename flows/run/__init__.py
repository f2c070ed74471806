"""The surroundings of a run: start, connections, the kept-alive reservation, interrupts, approval, clean-up."""
