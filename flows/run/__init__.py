"""What a run has around it: connections, the reservation kept alive, interrupts, approval, clean-up."""
