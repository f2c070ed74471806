"""A gate's output: harmless, masked, bounded, and cheap, however much there is."""

from __future__ import annotations

from prefect_slipway.flows.gates.command import Output
from prefect_slipway.infra.buildkit.build.masking import Masking


def _told(*pieces: bytes) -> tuple[list[str], list[str]]:
    said: list[str] = []
    output = Output(said.append, Masking([b"pass-word"]))
    for piece in pieces:
        output.take(piece)
    output.end()
    return "\n".join(said).split("\n"), list(output.tail)


def test_lines_are_told_whole_and_harmless() -> None:
    """In pieces, without a line end, with what a terminal obeys, and with the password."""
    said, tail = _told(b"on", b"e\ntw", b"o\x1b[2J pass-word\nthr", b"ee\xff")
    assert said == ["one", "two ***", "three\ufffd"]
    assert tail == said


def test_a_flood_is_bounded() -> None:
    """Its last lines are kept all the same."""
    said, tail = _told(*[b"y\n" * 50_000] * 200, b"last\n")
    assert len("\n".join(said)) < 1_300_000
    assert said[-1].startswith("…")
    assert (len(tail), tail[-1]) == (20, "last")
    said, tail = _told(*[b"\0" * 70_000] * 100)
    assert len("\n".join(said)) < 1_300_000
