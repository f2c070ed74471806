"""Show what a Dockerfile's frontend answers to `--call`, as text or JSON.

Results: frontend/subrequests (moby/buildkit). What of them is shown: commands/build.go (docker/buildx), `printResult`.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from prefect_slipway.infra.buildkit.build.error_details import excerpt
from prefect_slipway.infra.buildkit.build.scrub import scrub
from prefect_slipway.infra.domain.errors import BuilderProtocolError, DockerfileInvalid


def shown(method: str, form: str, answer: Mapping[str, bytes]) -> str:
    """`form`: `json` for the answer as it is, else text."""
    whole, text = (answer.get(f"result.{kind}", b"").decode(errors="replace") for kind in ("json", "txt"))
    if form == "json" and whole:
        return whole
    if method != "lint":
        return (text or whole).rstrip("\n")
    found = _lint(answer)
    if isinstance(warnings := found.get("warnings"), list) and warnings:
        number = f"{len(warnings)} warning{'s have' if len(warnings) > 1 else ' has'}"
        return f"Check complete, {number} been found!\n{text}".rstrip("\n")
    return "" if found.get("buildError") else "Check complete, no warnings found."


def status_of(method: str, answer: Mapping[str, bytes], *, ignored: bool) -> int:
    """The exit code: 1 if a check found something, unless `ignored`. Raises DockerfileInvalid if it found that the
    Dockerfile cannot be built."""
    if method == "lint" and isinstance(wrong := _lint(answer).get("buildError"), dict):
        raise DockerfileInvalid(scrub(str(wrong.get("message", ""))), details=_lines(_lint(answer), wrong))
    text = answer.get("result.statuscode", b"").decode(errors="replace")
    return int(text) if text.isdecimal() and not ignored else 0


def _lint(answer: Mapping[str, bytes]) -> dict[str, Any]:
    try:
        found = json.loads(answer.get("result.json") or b"{}")
    except ValueError as error:
        raise BuilderProtocolError("the answer of the Dockerfile's frontend is not JSON") from error
    return found if isinstance(found, dict) else {}


def _lines(found: dict[str, Any], wrong: dict[str, Any]) -> str:
    """The lines that are to blame, "" if the answer does not say."""
    try:
        place = wrong["location"]
        source = found["sources"][int(place.get("sourceIndex", 0))]
        text = base64.b64decode(source["data"]).decode(errors="replace")
        ranges = [(int(each["start"]["line"]), int(each["end"]["line"])) for each in place["ranges"]]
        return excerpt(str(source["filename"]), text, ranges)
    except (LookupError, ValueError, TypeError, AttributeError, binascii.Error):
        return ""
