"""`--attest`, and its short forms `--provenance` and `--sbom` (util/buildflags/attests.go in docker/buildx)."""

from __future__ import annotations

from collections.abc import Iterable

from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.options import boolean, csv_line, key_values, parse_bool


def attests(texts: Iterable[str], *, sbom: str | None = None, provenance: str | None = None) -> dict[str, str]:
    """The attributes of each type, as the daemon reads them. Disabled ones are left out; if a type appears twice, the
    first one counts, `--attest` before the short forms."""
    wanted = [("--attest", text) for text in texts]
    for option, short in (("provenance", provenance), ("sbom", sbom)):
        if short:
            wanted.append((f"--{option}", attest_text(option, short)))
    found: dict[str, str | None] = {}
    for option, text in wanted:
        kind, attributes = attest_type(option, text)
        found.setdefault(kind, attributes)
    return {kind: attributes for kind, attributes in found.items() if attributes is not None}


def attest_text(kind: str, short: str) -> str:
    """The long form of `--sbom=SHORT`: a truth value, or attributes."""
    said = parse_bool(short)
    return f"type={kind},{short}" if said is None else f"type={kind}" + ",disabled=true" * (not said)


def attest_type(option: str, text: str) -> tuple[str, str | None]:
    """The type, and the attributes that the daemon reads; None: disabled."""
    kind, off, rest = "", False, []
    for key, value in key_values(option, text):
        match key.strip().lower():
            case "type":
                kind = value
            case "disabled":
                off = boolean(f"{option}: disabled", value)
            case _:
                rest.append(f"{key}={value}")
    if not kind:
        raise InvalidOption(f"{option} {text!r} has no type", action="write type=sbom or type=provenance")
    return kind, None if off else csv_line(rest)
