"""What the steps of a release hand on: plain values, which Prefect can store and show. None holds a secret."""
