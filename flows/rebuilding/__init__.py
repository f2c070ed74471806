"""`slipway rebuild`: build an image again from what its provenance says, and compare."""
