"""Make text from outside (build output, commit messages, servers' answers) safe to show.

A terminal acts on what is in it: titles, the clipboard, the cursor, the order of the letters. Sources: ECMA-48 (control
sequences), xterm's ctlseqs (OSC, DCS), Unicode's UAX #9 (bidirectional controls).
"""

from __future__ import annotations

import re

_SGR = r"\x1b\[[0-9;:]*m"
_SEQUENCE = (
    # CSI; OSC, DCS, SOS, PM and APC with all that belongs to them; other sequences of ESC.
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]"
)
# Directional and invisible characters, and what no encoding accepts. Tab and line feed stay.
_CONTROL = (
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff"
    r"\U000e0000-\U000e007f]"
)
_SUSPICIOUS = re.compile(_CONTROL)
_ALL = re.compile(rf"{_SEQUENCE}|{_CONTROL}")
_ALL_BUT_COLOURS = re.compile(rf"(?P<sgr>{_SGR})|{_SEQUENCE}|{_CONTROL}")
_RESET = "\x1b[0m"


def plain(text: str) -> str:
    """A text without control characters and sequences, except tabs and line feeds."""
    return _ALL.sub(_left, text) if _SUSPICIOUS.search(text) else text


def coloured(text: str) -> str:
    """The same with colours and the like (SGR), which end with each line."""
    if not _SUSPICIOUS.search(text):
        return text
    text = _ALL_BUT_COLOURS.sub(_left, text)
    return "\n".join(f"{line}{_RESET}" if "\x1b" in line else line for line in text.split("\n"))


def one_line(text: str) -> str:
    """A plain text in one line: a name must not start a line that looks like Slipway's."""
    return " ".join(plain(text).split())


def _left(match: re.Match[str]) -> str:
    if match.re is _ALL_BUT_COLOURS and match["sgr"]:
        return match["sgr"]
    # What moves to another place leaves a space; what cannot be encoded, a sign that there was something.
    if match[0] in "\r\x0b\x0c\x85\u2028\u2029":
        return " "
    return "\ufffd" if "\ud800" <= match[0] <= "\udfff" else ""
