"""What the adapters share. It knows none of them."""
