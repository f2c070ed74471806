"""The embedded stack: real parts on this machine's loopback, for one machine's releases and for the tests."""
