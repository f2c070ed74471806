"""The embedded stack: real servers on this machine's loopback, for local releases and for the tests."""
