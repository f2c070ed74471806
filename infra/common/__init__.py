"""What several adapters need and none of them owns; it knows no adapter."""
