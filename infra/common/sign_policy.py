"""The smallest policy in Vault for signing with a key; `sign-policy.hcl` is that of vault:transit/release."""

from __future__ import annotations

from pathlib import Path


def sign_policy(mount: str, key: str) -> str:
    """Its rules in HCL."""
    text = Path(__file__).with_name("sign-policy.hcl").read_text(encoding="utf-8")
    rules = [line for line in text.splitlines() if line.startswith("path ")]
    return "\n".join(rule.replace('"transit/', f'"{mount}/').replace('/release"', f'/{key}"') for rule in rules)
