"""The typed details of a failed Solve: which step, which exit code, which lines of which file.

They come as JSON inside google.rpc.Status (util/grpcerrors/grpcerrors.go); types: solver/errdefs/errdefs.proto and
frontend/gateway/pb/gateway.proto (moby/buildkit).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from prefect_slipway.infra.buildkit.http2.grpc import GrpcError

_SOURCE = "/errdefs.Source+json"
_VERTEX = "/errdefs.Vertex+json"
_DENIED = "/policysession.DecisionResponse+json"
_EXIT = "/gatewayapi.ExitMessage+json"
_LONGEST_LINE = 1000
_EXIT_TEXT = re.compile(r"did not complete successfully: exit code: (-?\d+)")


@dataclass(frozen=True, slots=True)
class SolveDetails:
    """`vertex`: the digest of the step that failed. `exit_code`: of its process. `excerpt`: the lines of the Dockerfile
    that are to blame, as buildctl prints them. `denied`: why a policy in the session denies a source."""

    vertex: str | None = None
    exit_code: int | None = None
    excerpt: str = ""
    denied: tuple[str, ...] = ()

    @classmethod
    def of(cls, error: GrpcError) -> SolveDetails:
        """Read the details; unreadable ones are left out."""
        vertex, exit_code, excerpt = None, None, ""
        denied: tuple[str, ...] = ()
        for type_url, data in error.details:
            try:
                values = json.loads(data)
                if type_url.endswith(_VERTEX):
                    vertex = str(values["digest"])
                elif type_url.endswith(_EXIT):
                    exit_code = int(values["Code"])
                elif type_url.endswith(_DENIED):
                    denied = tuple(str(each["message"]) for each in values.get("denyMessages") or ())
                elif type_url.endswith(_SOURCE):
                    excerpt = _excerpt(values) or excerpt
            except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
                continue
        if exit_code is None and (match := _EXIT_TEXT.search(error.message)):
            exit_code = int(match[1])
        return cls(vertex, exit_code, excerpt, denied)


def _excerpt(source: dict[str, Any]) -> str:
    info = source["info"]
    text = base64.b64decode(info["data"]).decode(errors="replace")
    ranges = []
    for item in source.get("ranges") or []:
        start = int(item["start"].get("line", 0))
        ranges.append((start, max(start, int(item.get("end", {}).get("line", 0)))))
    return excerpt(str(info.get("filename", "Dockerfile")), text, ranges)


def excerpt(name: str, text: str, ranges: Iterable[tuple[int, int]]) -> str:
    """Numbered lines around `ranges` (first and last line, from 1), those inside marked with `>>>`.

    Two lines before and after a single line, one around several (solver/errdefs/source.go). "" for missing lines.
    """
    spans = list(ranges)
    lines = text.split("\n")
    if not spans or not 1 <= min(start for start, _ in spans) <= len(lines):
        return ""
    first, last = min(start for start, _ in spans), min(max(end for _, end in spans), len(lines))
    around = 2 if first == last else 1
    rule = "-" * 20
    out = [f"{name}:{first}", rule]
    for number in range(max(1, first - around), min(len(lines), last + around) + 1):
        mark = ">>>" if any(start <= number <= end for start, end in spans) else "   "
        line = lines[number - 1]
        shown = line if len(line) <= _LONGEST_LINE else line[:_LONGEST_LINE] + "…"
        out.append(f" {number:3d} | {mark} {shown}")
    out.append(rule)
    return "\n".join(out)
