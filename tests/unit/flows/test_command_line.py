"""The command line itself: help, and what it says to what it does not know."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from pathlib import Path

import pytest

from prefect_slipway.flows.cli import main
from prefect_slipway.flows.cli.commands import COMMANDS, examples
from prefect_slipway.flows.cli.parser import command_parser

EXAMPLES = [pytest.param(name, text, id=text) for name in COMMANDS for text in examples(name)]


def ended(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    code = main(words)
    shown = capsys.readouterr()
    return code, shown.out, shown.err


@pytest.mark.parametrize(("name", "text"), EXAMPLES)
def test_each_example_can_be_typed(name: str, text: str) -> None:
    """Its options exist, and take such values."""
    words = shlex.split(re.split(r" (?:\||>>?) ", text)[0])[2:]
    _, unknown = command_parser(name).parse_known_args(words)
    assert unknown == []


@pytest.mark.parametrize("words", [(), ("help",), ("--help",), ("-h",)], ids=str)
def test_all_commands_are_shown(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    """By group, with a summary each; without a word, too."""
    code, out, err = ended(capsys, *words)
    assert (code, err) == (0, "")
    assert [name for name in COMMANDS if re.search(rf"^  {name} ", out, re.MULTILINE)] == list(COMMANDS)


@pytest.mark.parametrize("width", [40, 60, 200])
def test_help_fits_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """But for words that are longer, and examples, which are to be copied."""
    monkeypatch.setenv("COLUMNS", str(width))
    for words in ((), *(("help", name) for name in COMMANDS)):
        code, out, _ = ended(capsys, *words)
        assert code == 0
        shown = out.partition("\nExamples:\n")[0]
        assert [line for line in shown.splitlines() if len(line) > width and len(line.split()) > 3] == []


@pytest.mark.parametrize("words", [("--version",), ("-V",), ("version",)], ids=str)
def test_the_version_is_shown(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    """However it is asked for."""
    code, out, _ = ended(capsys, *words)
    assert code == 0 and re.fullmatch(r"slipway \d+\.\d+\.\d+\S*\n", out)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("relase",), "slipway: no such command: relase; did you mean release?\nNext: slipway --help\n"),
        (("xyzzy",), "slipway: no such command: xyzzy\nNext: slipway --help\n"),
        (("--bmup",), "slipway: no such option: --bmup\nNext: slipway --help\n"),
        (("help", "relase"), "slipway: no such command: relase; did you mean release?\nNext: slipway --help\n"),
        (
            ("release", "--bmup=auto"),
            "Usage: slipway release [OPTIONS] [SOURCE]\n"
            "slipway release: no such option: --bmup; did you mean --bump?\nNext: slipway release --help\n",
        ),
        (
            ("release", "--bump", "mjor"),
            "Usage: slipway release [OPTIONS] [SOURCE]\n"
            "slipway release: --bump: 'mjor' is not one of major, minor, patch, prerelease, auto; did you mean major?\n"
            "Next: slipway release --help\n",
        ),
        (
            ("release", ".", "other"),
            "Usage: slipway release [OPTIONS] [SOURCE]\n"
            "slipway release: unexpected argument: other\nNext: slipway release --help\n",
        ),
    ],
    ids=str,
)
def test_a_typo_is_told_with_what_was_meant(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    """Commands, options and values; exit code 2."""
    assert ended(capsys, *words) == (2, "", said)


def test_a_shell_has_only_the_options_that_it_needs() -> None:
    """It builds and releases nothing, so a new section of a release's request gives it none."""
    flags = {flag for action in command_parser("shell")._actions for flag in action.option_strings}
    where = {"--image", "-t", "--context", "--namespace", "--builder-option", "--run-label"}
    credentials = {"--credentials", "--vault", "--registry-ca", "--insecure-registry"}
    assert flags == {"--help", "-h", *where, *credentials}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_in_sentences(name: str) -> None:
    """Each option and argument has a text that begins with a capital letter and ends with a period."""
    parser = command_parser(name)
    wrong = [
        f"{action.option_strings or action.dest}: {action.help}"
        for action in parser._actions
        if action.help != argparse.SUPPRESS and not re.fullmatch(r"[A-Z`\d][\s\S]*[.)\]]", action.help or "")
    ]
    assert wrong == []


def test_a_failure_is_json_as_well(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Programs read cause and next action on standard output, people on standard error."""
    for name, value in (("SLIPWAY_HOME", str(tmp_path)), ("VAULT_ADDR", ""), ("PREFECT_API_URL", "")):
        monkeypatch.setenv(name, value)
    code, out, err = ended(capsys, "plan", "/nowhere", "--format", "json")
    error = {
        "cause": "SourceMissing",
        "message": "/nowhere does not exist",
        "details": [],
        "next": "check the path or URL of the source",
    }
    assert code == 1 and json.loads(out) == {"error": error, "flow_run_id": None, "ui_url": None}
    assert err == f"> fetch source\nslipway: {error['message']}\nNext: {error['next']}\n"
    code, out, _ = ended(capsys, "release", "/nowhere", "--format", "json")
    assert (code, json.loads(out)["released"], json.loads(out)["error"]["cause"]) == (1, False, "StackDown")
