"""`--attest`, and its short forms `--provenance` and `--sbom` (util/buildflags/attests.go in docker/buildx)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.options import boolean, csv_line, key_values, parse_bool


class Attestations(NamedTuple):
    """Of a release. `attests`: as of BuildRequest; `required`: the kinds that were asked for, without which the image
    is not what was wanted."""

    attests: dict[str, str]
    required: tuple[str, ...]


def attests(texts: Iterable[str], *, sbom: str | None = None, provenance: str | None = None) -> dict[str, str]:
    """The attributes of each type, as the daemon reads them. Disabled ones are left out; if a type appears twice, the
    first one counts, `--attest` before the short forms."""
    return _enabled(_chosen(texts, sbom, provenance))


def attestations(texts: Iterable[str], *, provenance: str | None, sbom: str, builder_id: str) -> Attestations:
    """What a release attaches to an image. `texts`: its `attest` entries, which win over the two others. `provenance`:
    `max`, `min` or `off`; None: the most that the daemon can attach. `sbom`: as `sbom_text` reads it. `builder_id`: a
    URI for the provenance that names none; "" for none. Raises InvalidOption.

    Daemons before BuildKit 0.23 do not know `version` and attach SLSA v0.2 (frontend/attestations/parse.go).
    """
    found = _chosen(texts, sbom_text(sbom), provenance_text(provenance) if provenance else None)
    required = tuple(_enabled(found))
    attributes = found.setdefault("provenance", "mode=max")
    if attributes is not None:
        given = dict(key_values("--provenance", attributes)) if attributes else {}
        defaults = {"mode": "max", "version": "v1", "builder-id": builder_id}
        found["provenance"] = csv_line(f"{key}={value}" for key, value in {**defaults, **given}.items() if value)
    return Attestations(_enabled(found), required)


def provenance_text(text: str) -> str:
    """`--provenance` of a release, as `attests` takes it: `max`, `min` or `off`, a truth value, or attributes."""
    return {"off": "false", "max": "mode=max", "min": "mode=min"}.get(text, text)


def sbom_text(text: str) -> str:
    """`--sbom` of a release, as `attests` takes it: `off`, `on` (the daemon's own generator), the generator's image, or
    attributes. Raises InvalidReference."""
    if text in {"on", "off"}:
        return "true" if text == "on" else "false"
    if parse_bool(text) is not None or "=" in text:
        return text
    # Imported late, so that `slipway bake --print` starts fast.
    from prefect_slipway.infra.domain.reference import ImageReference

    ImageReference.parse(text)
    return f"generator={text}"


def _enabled(found: dict[str, str | None]) -> dict[str, str]:
    return {kind: attributes for kind, attributes in found.items() if attributes is not None}


def _chosen(texts: Iterable[str], sbom: str | None, provenance: str | None) -> dict[str, str | None]:
    """By type; None: disabled."""
    wanted = [("--attest", text) for text in texts]
    for option, short in (("provenance", provenance), ("sbom", sbom)):
        if short:
            wanted.append((f"--{option}", attest_text(option, short)))
    found: dict[str, str | None] = {}
    for option, text in wanted:
        kind, attributes = attest_type(option, text)
        found.setdefault(kind, attributes)
    return found


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
