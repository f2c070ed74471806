"""`slipway bake --print` and `--list`, which need neither a request nor the stack."""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from prefect_slipway.flows.cli import main
from prefect_slipway.flows.cli.display.choice import progress_of
from prefect_slipway.flows.cli.parser import command_parser

FILE = """
variable "TAG" {
  default = "latest"
  description = "Tag of all images"
}
variable "N" {
  type = number
  default = 3
}
variable "L" {
  type = list(string)
  default = ["a", "b"]
}
variable "NOTHING" { type = string }
variable "FREE" { default = { a = 1 } }
group "default" {
  description = "All of it"
  targets = ["web", "api"]
}
group "rest" { targets = ["api"] }
target "_base" { description = "private" }
target "web" {
  description = "Website ${TAG}"
  tags = ["r.example/web:${TAG}"]
  args = { N = N }
}
target "api" {}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "docker-bake.hcl").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert main(["bake", *words]) == code
    output = capsys.readouterr()
    return output.out if code == 0 else output.err


def test_targets_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "--list", "targets", "--var", "TAG=1").splitlines() == [
        "TARGET    DESCRIPTION",
        "api",
        "default   All of it (api, web)",
        "rest      api",
        "web       Website 1",
    ]
    assert json.loads(said(capsys, "--list=type=targets,format=json")) == [
        {"name": "api"},
        {"name": "default", "description": "All of it", "group": True},
        {"name": "rest", "group": True},
        {"name": "web", "description": "Website latest"},
    ]


def test_variables_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """With the values in force."""
    assert said(capsys, "--list", "variables", "--var", "N=4").splitlines() == [
        "VARIABLE   TYPE             VALUE       DESCRIPTION",
        'FREE                        {"a":1}',
        'L          list of string   ["a","b"]',
        "N          number           4",
        "NOTHING    string           <null>",
        "TAG                         latest      Tag of all images",
    ]
    assert json.loads(said(capsys, "--list", "type=variables,format=json"))[3:] == [
        {"name": "NOTHING", "type": "string"},
        {"name": "TAG", "value": "latest", "description": "Tag of all images"},
    ]
    assert "use targets, variables" in said(capsys, "--list", "groups", code=2)


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said(capsys, "--print", *words))["target"]
    return found


def test_short_forms_are_overrides(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As `docker buildx bake` has them; what is typed wins over the file."""
    words = ("--pull", "--no-cache=true", "--push", "--sbom=true", "--provenance", "mode=min", "--set", "*.tags=a")
    found = printed(capsys, *words)["web"]
    assert {key: found[key] for key in ("pull", "no-cache", "output", "attest", "tags")} == {
        "pull": True,
        "no-cache": True,
        "output": ["type=image,push=true"],
        "attest": ["type=sbom", "type=provenance,mode=min"],
        "tags": ["a"],
    }
    monkeypatch.setenv("GIVEN", "from here")
    args = printed(capsys, "--set", "web.args.GIVEN", "--set", "web.args.MISSING")["web"]["args"]
    assert args == {"N": "3", "GIVEN": "from here"}


@pytest.mark.parametrize(
    ("text", "context"),
    [
        ('{"target": {"default": {"context": "json"}}}', "json"),
        ('target "default" { context = "hcl" }', "hcl"),
        ("name: x\nservices:\n  default: {build: compose}\n", "compose"),
    ],
)
def test_a_file_on_standard_input(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, text: str, context: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert printed(capsys, "-f", "-")["default"]["context"] == context


def test_a_request_reads_the_same(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    """An option that only the whole command knows, or a release file, changes nothing of what is read."""
    words = ("--print", "web", "--set", "*.pull=true", "--no-cache", "--var", "TAG=2")
    quick = said(capsys, *words)
    assert said(capsys, *words, "--bump", "patch") == quick
    assert said(capsys, "--list", "targets", "--bump", "patch") == said(capsys, "--list", "targets")
    assert said(capsys, *words, "--bump", "patch", "--var", "HOME", "--set", "*.args.NOBODY") == quick
    (folder / "slipway.toml").write_text('[bake]\nvariables = { TAG = "of-the-file" }\n')
    assert "whoever runs the release must allow" in said(capsys, "--print", code=2)
    allowed = json.loads(said(capsys, "--print", "--config-allow", "bake"))
    assert allowed["target"]["web"]["tags"] == ["r.example/web:of-the-file"]


@pytest.mark.parametrize(("word", "form"), [("rawjson", "json"), ("none", "quiet"), ("tty", "tty"), ("plain", "plain")])
def test_progress_in_the_words_of_buildx(word: str, form: str) -> None:
    args = command_parser("bake").parse_args(["--progress", word])
    assert progress_of(args) == form


def test_a_file_elsewhere_in_the_work_tree(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    """Outside of one it is refused."""
    (folder / "part").mkdir()
    (folder / "part" / "x").touch()
    words = ("../docker-bake.hcl", "--source", "part", "--print")
    assert "is outside the source" in said(capsys, *words, code=2)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    assert json.loads(said(capsys, *words))["target"]["web"]


@pytest.mark.parametrize(
    ("words", "next_"),
    [
        (("https://github.com/docker/cli.git", "--print"), "--source https://github.com/docker/cli.git"),
        (("-f", "-", "--plan"), "put it into the source"),
        (("--print", "--var", "NOBODY"), "write NAME=VALUE"),
        (("--print", "wbe"), "known are"),
    ],
)
def test_what_cannot_be_read_is_said(capsys: pytest.CaptureFixture[str], words: tuple[str, ...], next_: str) -> None:
    assert next_ in said(capsys, *words, code=2)
