"""What a run has around it: its start, connections, the reservation kept alive, interrupts, approval, clean-up."""
