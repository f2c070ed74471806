"""Standard output and error of a command, without control sequences that could act on a terminal.

A command shows what others said: a build's output, commit messages, what servers answer. Here it becomes harmless,
whoever prints it; colours are kept where a terminal shows them.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, TextIO, cast

from prefect_slipway.infra.domain.outside import coloured, plain


def is_capable(stream: TextIO) -> bool:
    """Whether it is a terminal on which the cursor can be moved."""
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb" and "utf" in (stream.encoding or "").lower()


def shows_colours(stream: TextIO) -> bool:
    """As no-color.org and bixense.com/clicolors have it."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("CLICOLOR_FORCE", "0") not in {"", "0"}:
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb" and os.environ.get("CLICOLOR") != "0"


class StreamUnwritable(OSError):
    """A stream that cannot be written: its disk is full, or it is open for reading only."""


class Guarded(io.TextIOBase):
    """Passes harmless text on to a stream. `unguarded`: the stream itself."""

    def __init__(self, stream: TextIO) -> None:
        self.unguarded = stream
        self._harmless = coloured if shows_colours(stream) else plain

    @property
    def buffer(self) -> BinaryIO:
        """The buffer for bytes that are not text to show: an archive, another machine's terminal."""
        return self.unguarded.buffer

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.unguarded.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self.unguarded.errors

    def write(self, text: str, /) -> int:
        harmless = self._harmless(text)
        with _writing():
            try:
                self.unguarded.write(harmless)
            except UnicodeEncodeError:
                # What the terminal's encoding lacks is shown as Python shows it on standard error.
                self.unguarded.write(harmless.encode(self.encoding, "backslashreplace").decode(self.encoding))
        return len(text)

    def flush(self) -> None:
        with _writing():
            self.unguarded.flush()

    def close(self) -> None:
        """The caller who opened the stream closes it."""

    def fileno(self) -> int:
        return self.unguarded.fileno()

    def isatty(self) -> bool:
        return self.unguarded.isatty()

    def writable(self) -> bool:
        return True


class Messages(Guarded):
    """Standard error: what cannot be written there is lost, and the command goes on."""

    def write(self, text: str, /) -> int:
        with suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


@contextmanager
def _writing() -> Iterator[None]:
    """Tells a stream's failure from all others. A reader that went away is as usual."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise StreamUnwritable(error.errno, error.strerror) from error


@contextmanager
def guarded() -> Iterator[None]:
    """Within: standard output and error are guarded."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = cast(TextIO, Guarded(sys.stdout)), cast(TextIO, Messages(sys.stderr))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
