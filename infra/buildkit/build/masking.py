"""Masks secrets in a build's output: the values that this build's daemon was given, also when they are encoded.

A step that prints a secret is the Dockerfile author's mistake; nobody else should read it. A value that is shorter than
`SHORTEST` bytes is left alone, because masking it would make the log unreadable, and so are encodings that mix it with
other bytes (base64 of a longer text).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Iterable, Iterator
from urllib.parse import quote, quote_plus

from prefect_slipway.infra.buildkit.build.events import BuildEvent, LogChunk, Step, Warned

SHORTEST = 4
MASK = b"***"


class Masking:
    """Replaces secrets in events. `values`: read at each event, because the daemon asks for secrets as it goes.

    Output comes in pieces that are not cut at lines: what may be the beginning of a secret is held back until the next
    piece of the same stream, or the end (`rest`).
    """

    def __init__(self, values: Collection[bytes]) -> None:
        self._values = values
        self._known = 0
        self._pattern: re.Pattern[bytes] | None = None
        self._forms: list[bytes] = []
        self._held: dict[tuple[str, int], LogChunk] = {}

    def __call__(self, event: BuildEvent) -> Iterator[BuildEvent]:
        """The event, masked; nothing if all of it is held back."""
        if not self._values:
            yield event
            return
        self._learn()
        if isinstance(event, LogChunk):
            yield from self._output(event)
        elif isinstance(event, Step):
            if event.completed is not None:
                yield from self._rest_of(event.digest)
            yield event._replace(name=self.text(event.name), error=self.text(event.error))
        elif isinstance(event, Warned):
            yield event._replace(short=self.text(event.short), detail=tuple(map(self.text, event.detail)))
        else:
            yield event._replace(name=self.text(event.name))

    def rest(self) -> Iterator[BuildEvent]:
        """What is still held back, when the build is over."""
        held, self._held = self._held, {}
        yield from held.values()

    def text(self, text: str) -> str:
        """Any text of the daemon."""
        self._learn()
        if self._pattern is None:
            return text
        raw = text.encode(errors="surrogateescape")
        return self._pattern.sub(MASK, raw).decode(errors="surrogateescape")

    def _output(self, chunk: LogChunk) -> Iterator[LogChunk]:
        if self._pattern is None:
            yield chunk
            return
        key = (chunk.step, chunk.stream)
        before = self._held.pop(key, None)
        data = self._pattern.sub(MASK, (before.data if before is not None else b"") + chunk.data)
        kept = max((_overlap(data, form) for form in self._forms), default=0)
        if kept:
            self._held[key] = chunk._replace(data=data[-kept:])
        if len(data) > kept:
            yield chunk._replace(data=data[: len(data) - kept])

    def _rest_of(self, step: str) -> Iterator[LogChunk]:
        for key in [key for key in self._held if key[0] == step]:
            yield self._held.pop(key)

    def _learn(self) -> None:
        if len(self._values) == self._known:
            return
        self._known = len(self._values)
        # The longest first: a value may be a part of another.
        self._forms = sorted({form for value in self._values for form in _forms(value)}, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(map(re.escape, self._forms))) if self._forms else None


def _forms(value: bytes) -> Iterable[bytes]:
    """How a value may show: as it is, each of its lines (the terminal's line ends differ), and encoded."""
    lines = value.splitlines() if b"\n" in value.strip() else []
    for part in {value, value.strip(), *(line.strip() for line in lines)}:
        text = part.decode(errors="replace")
        forms = {
            part,
            base64.b64encode(part).rstrip(b"="),
            base64.urlsafe_b64encode(part).rstrip(b"="),
            quote(part, safe="").encode(),
            quote_plus(part).encode(),
            json.dumps(text)[1:-1].encode(),
            json.dumps(text, ensure_ascii=False)[1:-1].encode(),
        }
        # A line of a key is known only if it is long: `}` is one as well.
        shortest = SHORTEST if part in {value, value.strip()} else 4 * SHORTEST
        yield from (form for form in forms if len(form) >= shortest)


def _overlap(data: bytes, form: bytes) -> int:
    """How many bytes at the end of `data` are the beginning of `form`."""
    return next((size for size in range(min(len(form) - 1, len(data)), 0, -1) if form.startswith(data[-size:])), 0)
