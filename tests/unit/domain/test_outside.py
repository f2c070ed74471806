"""Text from outside: nothing of it acts on a terminal, or becomes Markdown."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.flows.reporting import markdown
from prefect_slipway.infra.domain.errors import SourceError
from prefect_slipway.infra.domain.outside import coloured, one_line, plain

SEQUENCES = {
    "title": "\x1b]0;owned\x07",
    "clipboard": "\x1b]52;c;b3duZWQ=\x1b\\",
    "link": "\x1b]8;;http://evil.example\x1b\\",
    "clear": "\x1b[2J\x1b[1;1H\x1b[3J",
    "cursor": "\x1b[10A\x1b7\x1b8\x1bM",
    "answerback": "\x1b[6n\x1b[c\x05",
    "device control": "\x1bP+q544e\x1b\\",
    "application command": "\x1b_G...\x1b\\",
    "character set": "\x1b(0\x0e",
    "eight bits": "\x9b2J\x9d0;owned\x9c",
    "modes": "\x1b[?1049h\x1b[?25l\x1b=",
    "backspaces": "\x08\x08\x7f",
    "carriage return": "\r",
    "direction": "\u202e\u2066\u2069\u200f\u061c",
    "invisible tags": "\U000e0041\U000e0042",
    "line separators": "\u2028\u2029\x85",
    "lone surrogate": "\udce9",
}


@pytest.mark.parametrize("kind", SEQUENCES)
def test_sequences_are_taken_out(kind: str) -> None:
    """What a terminal would act on is gone, whole; what is around it stays."""
    for harmless in (plain, coloured):
        text = harmless(f"before{SEQUENCES[kind]}after")
        assert re.fullmatch("before[ \ufffd]*after", text), text


def test_tabs_lines_and_letters_stay() -> None:
    """Whatever people write: other scripts, composed emoji, right-to-left words."""
    text = "a\tb\nñ 漢字 שלום مرحبا 👩‍💻 █"
    assert plain(text) == coloured(text) == text


def test_colours_are_kept_where_they_are_wanted() -> None:
    """And end with their line, so that they do not colour what comes after."""
    text = "\x1b[1;31mred\x1b[2J\nnext\x1b[38:2::1:2:3m x"
    assert coloured(text) == "\x1b[1;31mred\x1b[0m\nnext\x1b[38:2::1:2:3m x\x1b[0m"
    assert plain(text) == "red\nnext x"


def test_one_line_is_one() -> None:
    """A name with line breaks cannot look like several messages."""
    assert one_line("a\nslipway: released\r\nb\x0bc\u2028d") == "a slipway: released b c d"


@given(st.text(alphabet=st.sampled_from("\x1b[]0;m\x07\x9b\x9d\\PqA\n\t\r?2J\u202e é"), max_size=40))
def test_nothing_is_left_to_act_on(text: str) -> None:
    """However sequences are cut, nested and mixed; a second pass finds nothing more."""
    allowed = {"\t", "\n"}
    cleaned = plain(text)
    assert all(character in allowed or character.isprintable() for character in cleaned)
    assert plain(cleaned) == cleaned
    kept = coloured(text)
    assert all(c in allowed or c.isprintable() for c in re.sub(r"\x1b\[[0-9;:]*m", "", kept))
    assert plain(kept) == cleaned


def test_an_error_is_harmless_wherever_it_is_shown() -> None:
    """Its cause and details hold what others said."""
    error = SourceError("a\x1b]0;owned\x07b", action="c\x1b[2Jd", details="e\u202ef")
    assert str(error) == "ab\nef\nNext: cd"
    assert error.args == ("ab",)


# Markdown ---------------------------------------------------------------------------------------------------------


def test_plain_words_stay_readable() -> None:
    """Names, versions, digests and sentences look in Markdown's source as they are."""
    for words in (
        "registry.example.com/team/app:1.4.0",
        f"app@sha256:{'a' * 64}",
        "4, 1 cached (25 %)",
        "1.2.3",
        "a-b",
    ):
        assert markdown.text(words) == words


@pytest.mark.parametrize(
    ("outside", "escaped"),
    [
        ("[a](http://b)", r"\[a\](http:\u2060//b)".replace(r"\u2060", "\u2060")),
        ("<img src=x>", r"\<img src=x\>"),
        ("a|b", r"a\|b"),
        ("1. a", r"1\. a"),
        ("- a", r"\- a"),
        ("---", r"\---"),
        ("# a", r"\# a"),
        ("a\n\n# b", r"a \# b"),
        ("&lt;", r"\&lt;"),
        ("www.evil.example", "www\u2060.evil.example"),
        ("a@b.example", "a\u2060@b.example"),
    ],
)
def test_text_stays_text(outside: str, escaped: str) -> None:
    """What would be a link, a picture, HTML, a list, a heading or the end of a cell."""
    assert markdown.text(outside) == escaped


@given(st.text(alphabet="`~\na \x1b", max_size=60))
def test_a_fence_is_longer_than_any_within(lines: str) -> None:
    """Nothing in it ends it."""
    first, *inner, last = markdown.block(lines).split("\n")
    assert first == last and set(first) == {"`"} and len(first) >= 3
    assert "\n".join(inner) == plain(lines)
    assert all(first not in line for line in inner)


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "https://a b", "https://a>b", "https://a\nb", ""]
)
def test_a_link_leads_to_a_web_page_or_nowhere(url: str) -> None:
    """Another address is no link."""
    assert markdown.link("a|b", url) == r"a\|b"
    assert markdown.link("a|b", "https://h/x?y=(1)") == r"[a\|b](<https://h/x?y=(1)>)"
