"""Pure values and rules: standard library and `semver` only. Every package may use them; they use no other package."""
