"""Pure values and rules: standard library and `semver` only. Every room may use them; they use no room."""
