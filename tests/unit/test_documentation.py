"""What README and docs/ name exists: commands, options, variables, errors, files, headings."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterable
from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

import pytest

from prefect_slipway.flows.cli import main
from prefect_slipway.flows.cli.commands import COMMANDS
from prefect_slipway.flows.cli.parser import command_module, command_parser
from prefect_slipway.flows.reporting import events
from prefect_slipway.infra.domain import errors
from tests.docs import errors_page, json_page, site_address
from tests.docs.events_page import EVENTS
from tests.docs.pages import DOCS, GENERATED, GUIDES, PAGES, README, ROOT, blocks, inline, lines, named, prose

TROUBLESHOOTING = DOCS / "guides" / "troubleshooting.md"
# A screen and a half: the rest is on the site.
MOST_LINES = 90
# Options of docker, kubectl and others that the pages name.
THEIRS = {
    "--allow-insecure-entitlement",
    *("--cache-repo", "--destination", "--dockerfile", "--registry-mirror"),
    *("--single-snapshot", "--snapshot-mode", "--tar-path"),
}

NAMED_ERRORS = sorted({code for code in inline(TROUBLESHOOTING) if re.fullmatch(r"[A-Z]\w*[a-z]\w*", code)})

# A command in a CI's file.
PIPELINE = re.compile(r"(?:run: |- |sh ')(slipway [^'\n]+)")

pages = pytest.mark.parametrize("page", PAGES, ids=named)


def commands(texts: Iterable[str]) -> list[str]:
    """What these texts have after `slipway`."""
    return [command for text in texts for command in re.findall(r"(?:^|[|;&(] *)slipway +([^|;&)>]+)", text)]


@cache
def helped(command: str) -> str:
    """What `slipway COMMAND --help` prints."""
    with redirect_stdout(StringIO()) as printed:
        assert main([command, "--help"]) == 0
    return printed.getvalue()


def anchors(page: Path) -> set[str]:
    """The page's headings as a forge makes links of them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pages
def test_commands_and_options_exist(page: Path) -> None:
    """Each `slipway COMMAND --option` of the page's text is in the command's help."""
    for text in commands(inline(page)):
        words = shlex.split(text, comments=True)
        if words[0].startswith("-"):
            assert words == ["--version"]
            continue
        if words[0] == "COMMAND":
            continue
        assert words[0] in COMMANDS, text
        for option in (word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)):
            assert re.search(rf"(?<![\w-]){option}(?![\w-])", helped(words[0])), f"{text}: {option}"


@pages
def test_shown_commands_are_valid(page: Path) -> None:
    """The command line's own parser takes each command of a block, with its options and values."""
    pipelines = [text for kind in ("yaml", "groovy") for each in blocks(page, kind) for text in PIPELINE.findall(each)]
    for text in commands([*lines(page, "sh"), *lines(page, "shell"), *pipelines]):
        name, *words = shlex.split(text, comments=True)
        command_parser(name).parse_args(words)


def test_an_invalid_command_is_found() -> None:
    """Its options, and values that must be one of a few."""
    for words in (["--bmup", "auto"], ["--bump", "tiny"], [".", "too", "many"]):
        with pytest.raises(SystemExit):
            command_parser("release").parse_args(words)


@pages
def test_options_in_the_text_exist(page: Path) -> None:
    """Each `--option` that stands alone is an option of some command, or of a known other tool."""
    everything = "\n".join(helped(command) for command in COMMANDS)
    for code in inline(page):
        if (match := re.match(r"--[a-z][a-z-]*", code)) is None:
            continue
        option = match[0]
        assert option in THEIRS or re.search(rf"(?<![\w-]){option}(?![\w-])", everything), option


@pages
def test_make_targets_exist(page: Path) -> None:
    """Each `make TARGET`."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = [*lines(page, "sh"), *lines(page, "shell"), *inline(page)]
    for text in shown:
        if text.startswith("make "):
            assert {word for word in shlex.split(text)[1:] if "=" not in word} <= targets, text


@pages
def test_links_lead_somewhere(page: Path) -> None:
    """To a heading of the page, or to a file. Within docs/ the site's build looks (`make docs-site`)."""
    for target in re.findall(r"\]\(([^)]+)", prose(page)):
        address, _, anchor = target.partition("#")
        if address.startswith("http"):
            assert re.fullmatch(r"https://[a-z0-9.-]+(/\S*)?", address), target
        elif page not in GUIDES:
            there = page.parent / address if address else page
            assert there.exists(), target
            assert not anchor or anchor in anchors(there), target


@pages
def test_variables_exist(page: Path) -> None:
    """Each variable of Slipway's own is read by the code, or by the tests that CONTRIBUTING tells of."""
    code = "\n".join(
        path.read_text() for folder in ("flows", "blocks", "infra", "tests") for path in (ROOT / folder).rglob("*.py")
    )
    for name in re.findall(r"\bSLIPWAY_[A-Z_]+", page.read_text()):
        assert name in code, name


def test_all_variables_are_listed() -> None:
    """Each of Slipway's own, and of those that name Vault and log in to it."""
    code = "\n".join(path.read_text() for each in ("flows", "infra") for path in (ROOT / each).rglob("*.py"))
    read = set(re.findall(r"\"((?:SLIPWAY|VAULT)_[A-Z_]+)\"", code))
    assert read <= set(re.findall(r"[A-Z_]+", (DOCS / "reference" / "settings.md").read_text()))


@pages
def test_code_and_tests_that_are_named_exist(page: Path) -> None:
    """`FILE::NAME`: what a page claims can be looked up."""
    for file, name in re.findall(r"`([\w/.-]+\.py)::(\w+)`", page.read_text()):
        defined = rf"^\s*(?:async )?(?:def|class) {name}\b"
        assert re.search(defined, (ROOT / file).read_text(), re.MULTILINE), (file, name)


def test_the_site_has_one_address() -> None:
    """On the package's page, from where the code has it; nobody else names the host."""
    host = urlsplit(site_address.newest()).netloc
    found = subprocess.run(["git", "grep", "-lF", host], cwd=ROOT, check=True, capture_output=True, text=True)
    assert found.stdout.splitlines() == ["infra/domain/documentation.py", "pyproject.toml"]


def test_the_help_names_each_exit_code() -> None:
    """Those of the settings' page."""
    with redirect_stdout(StringIO()) as printed:
        main(["--help"])
    (said,) = re.findall(r"^Exit codes: .*?\.\s", printed.getvalue(), re.MULTILINE | re.DOTALL)
    table = re.findall(r"^\| (\d+) \|", (DOCS / "reference" / "settings.md").read_text(), re.MULTILINE)
    assert sorted(re.findall(r"\d+", said)) == sorted(table)


def test_the_readme_is_short() -> None:
    """What does not fit is a guide."""
    assert len(README.read_text().splitlines()) <= MOST_LINES


@pytest.mark.parametrize("generated", GENERATED, ids=lambda generated: generated.PAGE.name)
def test_generated_pages_are_current(generated: ModuleType) -> None:
    """They are what `make docs` writes."""
    assert generated.PAGE.read_text() == generated.rendered(), "run `make docs`"


def test_the_json_of_each_command_is_described() -> None:
    headings = re.findall(r"^## (.+)$", json_page.rendered(), re.MULTILINE)
    described = {each for heading in headings for each in heading.split(", ")}
    with_json = {name for name in COMMANDS if any(each.dest == "format" for each in command_parser(name)._actions)}
    assert with_json <= described, with_json - described


def test_each_error_is_listed() -> None:
    """A family by its heading, with each of its members below."""
    listed = set(re.findall(r"^(?:## |\| `)(\w+)", errors_page.rendered(), re.MULTILINE))
    kinds = set(errors_page.meanings()) - {"SlipwayError"}
    assert kinds <= listed, kinds - listed


@pytest.mark.parametrize("name", sorted(name for name in COMMANDS if hasattr(command_module(name), "FAILED")))
def test_what_a_failure_adds_to_the_json_is_described(name: str) -> None:
    """By the command's name, as in `"released": false`."""
    (said,) = re.findall(r"^A command that fails prints this.*?(?=^\|)", json_page.rendered(), re.MULTILINE | re.DOTALL)
    (added,) = command_module(name).FAILED.items()
    assert f"`{name}`" in said
    assert f'"{added[0]}": {json.dumps(added[1])}' in said


def test_all_events_are_listed() -> None:
    """And no other."""
    constants = vars(events).items()
    assert set(EVENTS) == {each for name, each in constants if name.isupper() and str(each).startswith("slipway.")}


@pytest.mark.parametrize("name", NAMED_ERRORS)
def test_troubleshooting_names_errors_that_exist(name: str) -> None:
    """As events and Python have them."""
    assert issubclass(getattr(errors, name), errors.SlipwayError)


@pytest.mark.parametrize("page", [README, *GUIDES], ids=named)
def test_each_block_is_of_a_known_kind(page: Path) -> None:
    """`sh`: run by a test; `shell`: checked here; `python`: compiled; others: a file's content. No block escapes."""
    opened = re.findall(r"^ *```(.*)$", page.read_text(), re.MULTILINE)[::2]
    assert set(opened) <= {"sh", "shell", "python", "toml", "yaml", "hcl", "dockerfile", "groovy", "text"}
    assert len(opened) == sum(len(blocks(page, kind)) for kind in set(opened))
