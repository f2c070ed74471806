"""Make a daemon's free text safe for messages: no credentials, no control characters, limited length."""

from __future__ import annotations

import re

from prefect_slipway.infra.domain.urls import without_secrets

_LIMIT = 600
_RULES = (
    # a query without its URL's scheme: signed download links and token requests carry secrets there
    (re.compile(r"(?<=[^\s?])\?[^\s\"']*=[^\s\"']*"), "?***"),
    # Authorization: Basic dXNlcjpwdw==, "bearer eyJ..."
    (re.compile(r"(?i)\b((?:proxy-)?authorization\"?\s*[:=]\s*\"?)[^\r\n\"]+"), r"\1***"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9+/._~=-]{6,}"), r"\1 ***"),
    (re.compile(r"(?i)\b(password|passwd|secret|token|api[_-]?key)(\"?\s*[:=]\s*\"?)[^\s\"',&]+"), r"\1\2***"),
    # how gRPC and BuildKit's layers announce each other
    (re.compile(r"rpc error: code = \w+ desc = "), ""),
    (re.compile(r"^failed to solve: "), ""),
)


def scrub(text: str) -> str:
    """`text` without what may be a credential, in one line of at most 600 characters."""
    text = without_secrets(text)
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _LIMIT else line[: _LIMIT - 1] + "…"
