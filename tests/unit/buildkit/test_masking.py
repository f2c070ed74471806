"""Secrets in a build's output are masked, however the output is cut."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.infra.buildkit.build.events import LogChunk, Step, Warned
from prefect_slipway.infra.buildkit.build.masking import Masking

SECRET = b'p4ss word/"\\+='
KEY = b"-----BEGIN KEY-----\nAAAAB3NzaC1yc2EAAAADAQABAAAB\nBBBBC4OzaD2yd3FBBBBEBRBCC\n-----END KEY-----\n"


def shown(masking: Masking, pieces: list[bytes]) -> bytes:
    """What is shown of one stream that comes in these pieces."""
    said = b""
    for piece in pieces:
        said += b"".join(event.data for event in masking(LogChunk("s", 1, piece, 0.0)) if isinstance(event, LogChunk))
    return said + b"".join(event.data for event in masking.rest() if isinstance(event, LogChunk))


FORMS = {
    "raw": SECRET,
    "base64": base64.b64encode(SECRET),
    "URL": quote(SECRET, safe="").encode(),
    "JSON": json.dumps(SECRET.decode()).encode(),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@given(cuts=st.lists(st.integers(min_value=1, max_value=60), max_size=6))
def test_a_secret_is_masked_wherever_its_output_is_cut(form: bytes, cuts: list[int]) -> None:
    """As it is, and encoded."""
    text = b"before " + form + b" after\n" + form
    ends = sorted({min(cut, len(text)) for cut in cuts} | {len(text)})
    pieces = [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    said = shown(Masking({SECRET}), pieces)
    assert form not in said
    assert said.startswith(b"before ") and b" after\n" in said and said.count(b"***") == 2


@given(text=st.binary(max_size=80), cuts=st.lists(st.integers(min_value=1, max_value=80), max_size=5))
def test_other_output_comes_through_whole(text: bytes, cuts: list[int]) -> None:
    """Nothing is lost or changed, also when it ends like the beginning of a secret."""
    ends = sorted({min(cut, len(text)) for cut in cuts} | {len(text)})
    pieces = [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    assert shown(Masking({b"\x00\x01\x02\x03 absent"}), pieces) == text.replace(b"\x00\x01\x02\x03 absent", b"***")


def test_each_line_of_a_key_is_masked() -> None:
    """A terminal ends lines otherwise."""
    said = shown(Masking({KEY}), [KEY.replace(b"\n", b"\r\n")])
    assert b"AAAAB3" not in said and b"BBBBC4" not in said


def test_what_is_too_short_to_be_masked_is_left() -> None:
    """A log in which every 1 is masked says nothing."""
    assert shown(Masking({b"1"}), [b"step 1 of 11"]) == b"step 1 of 11"


def test_streams_do_not_meet() -> None:
    """The beginning of a secret on standard output and its end on standard error are not one."""
    masking = Masking({b"secret-value"})
    first = list(masking(LogChunk("s", 1, b"a secret-", 0.0)))
    second = list(masking(LogChunk("s", 2, b"value b", 0.0)))
    assert [event.data for event in (*first, *second, *masking.rest()) if isinstance(event, LogChunk)] == [
        b"a ",
        b"value b",
        b"secret-",
    ]


def test_a_step_that_ends_has_said_everything() -> None:
    """What was held back comes before the end."""
    masking = Masking({b"secret-value"})
    list(masking(LogChunk("s", 1, b"a secret-", 0.0)))
    kinds = [type(event) for event in masking(Step("s", "RUN", completed=1.0))]
    assert kinds == [LogChunk, Step]


def test_names_errors_and_warnings_are_masked() -> None:
    """A secret may come into them by a build argument that holds the same."""
    masking = Masking({SECRET})
    (step,) = masking(Step("s", f"RUN {SECRET.decode()}", error=f"failed: {SECRET.decode()}"))
    (warned,) = masking(Warned("s", f"do not {SECRET.decode()}"))
    assert isinstance(step, Step) and isinstance(warned, Warned)
    assert (step.name, step.error, warned.short) == ("RUN ***", "failed: ***", "do not ***")


def test_a_secret_counts_from_when_it_was_served() -> None:
    """The daemon asks for each when a step needs it."""
    served: set[bytes] = {b"first-secret"}
    masking = Masking(served)
    assert shown(masking, [b"other-secret"]) == b"other-secret"
    served.add(b"other-secret")
    assert shown(masking, [b"other-secret"]) == b"***"
