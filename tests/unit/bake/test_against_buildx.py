"""What is read from a file is what `docker buildx bake --print` reads from it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from flows.bake.places import Places
from flows.bake.printed import as_bake
from flows.bake.read import read_folder
from flows.bake.targets import choose
from flows.domain.errors import InvalidOption
from tests.conftest import clean_environment

INHERITANCE = {
    "variable": {"TAG": {"default": "latest"}, "NONE": {}, "N": {"default": 5}, "L": {"default": ["p", "q"]}},
    "group": {"default": {"targets": ["app", "more"]}, "more": {"targets": ["last", "app"]}},
    "target": {
        "_base": {
            "dockerfile": "b.Dockerfile",
            "tags": ["reg/base:${TAG}"],
            "args": {"A": "1", "B": None, "C": "$${x} %%{y} $z", "D": "${NONE}.", "E": "${N}", "F": "${L[1]}"},
            "labels": {"k": "v"},
            "cache-from": ["type=registry,ref=a"],
            "platforms": ["linux/amd64"],
            "no-cache-filter": ["x"],
            "ulimits": ["nofile=1"],
            "attest": ["type=sbom"],
        },
        "app": {
            "inherits": ["_base"],
            "context": "app",
            "contexts": {"b": "target:_base", "o": "docker-image://alpine"},
            "args": {"B": "2", "A": "3"},
            "labels": {"k": None, "z": "1"},
            "cache-from": ["type=registry,ref=b", "type=registry,ref=a"],
            "tags": ["reg/app:${TAG}", "reg/app:${TAG}", "reg/app:${BAKE_CMD_CONTEXT}"],
            "ulimits": ["core=1"],
            "no-cache-filter": ["y"],
            "attest": ["type=sbom,disabled=true", "type=provenance,mode=max"],
        },
        "last": {"inherits": ["_base", "app"], "tags": "${L}", "no-cache": "true"},
    },
}
MATRIX = {
    "group": {"default": {"targets": ["m"]}},
    "variable": {"V": {"default": "v"}},
    "target": {
        "m": {
            "name": "m-${i}-${o.k}",
            "matrix": {"o": [{"k": "1"}, {"k": "2"}], "i": ["x", "${V}"]},
            "args": {"I": "${i}${o.k}"},
        },
        "heir": {"inherits": ["m-x-1"], "target": "t"},
    },
}
COMPOSE = """
services:
  web.x:
    image: reg/web:${TAG:-1}
    environment: {FROM_SERVICE: e}
    build: {context: ./web/../web, args: [A=1, FROM_SERVICE, GIVEN, NOWHERE, "EMPTY="]}
    ports: ["80:${PORT:?}"]
  db: {image: postgres}
  api:
    profiles: [dev]
    build:
      context: api
      dockerfile: D
      target: t
      args: {Z: 1, T: true, E: , F: "${UNSET}", G: "a$$b", H: "${GIVEN:+yes}${UNSET+no}", I: "${UNSET:-${GIVEN-x}}"}
      labels: [a=b]
      additional_contexts: {o: docker-image://x}
      cache_from: [x/y]
      cache_to: ["type=inline"]
      tags: ["r/a:1", "r/b:2"]
      shm_size: 64MiB
      secrets: [s1, {source: s2}]
      x-bake: {tags: [q/w], platforms: [linux/arm64], no-cache: true, contexts: {r: "target:web_x"}, output: [type=tar]}
  heir: {extends: api, image: other, build: {args: {Z: 2}}}
  inline: {build: {dockerfile_inline: "FROM scratch"}}
  remote: {build: "https://example.com/x.git#main:sub"}
secrets: {s1: {file: ./s1}, s2: {environment: GIVEN}}
"""


def buildx(folder: Path, files: list[str], names: list[str], variables: dict[str, str]) -> Any:
    command = ["docker", "buildx", "bake", "--print", *(part for file in files for part in ("-f", file)), *names]
    env = clean_environment(BUILDX_CONFIG=str(folder / "buildx"), DOCKER_HOST="unix:///nowhere", **variables)
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else None


def ours(folder: Path, files: list[str], names: list[str], variables: dict[str, str]) -> Any:
    try:
        return as_bake(choose(read_folder(Places.of(folder, None, ()), files, variables), names))
    except InvalidOption:
        return None


def alike(folder: Path, files: dict[str, Any], *names: str, **variables: str) -> Any:
    """Both read the same; given back for further looks."""
    for name, content in files.items():
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    both = [read(folder, list(files), list(names), variables) for read in (buildx, ours)]
    assert (both[0] is None) == (both[1] is None), both
    if both[0] is not None:
        assert both[1]["target"] == both[0]["target"]
    return both[1]


@pytest.mark.parametrize("names", [[], ["more"], ["last", "app"]], ids=" ".join)
def test_inheritance_and_groups(tmp_path: Path, names: list[str]) -> None:
    """Each field is merged by its own rule; what was asked for decides what is there."""
    assert alike(tmp_path, {"bake.json": INHERITANCE}, *names)
    assert alike(tmp_path, {"bake.json": INHERITANCE}, *names, TAG="9", N="7")


@pytest.mark.parametrize("names", [[], ["heir"], ["m-v-2"]], ids=" ".join)
def test_a_matrix(tmp_path: Path, names: list[str]) -> None:
    """One target for each combination, all in a group of the matrix's name."""
    assert alike(tmp_path, {"bake.json": MATRIX}, *names)


def test_files_over_each_other(tmp_path: Path) -> None:
    """A later file has the last word on variables and groups; targets are merged; Compose lies below them all."""
    over = {
        "variable": {"TAG": {"default": "over"}},
        "group": {"more": {"targets": ["app"]}},
        "target": [{"app": {"args": {"Q": "1"}, "platforms": ["linux/arm64"]}}, {"web_x": [{"tags": ["json"]}]}],
    }
    (tmp_path / "s1").touch()
    files = {"bake.json": INHERITANCE, "over.json": over, "compose.yaml": COMPOSE}
    assert alike(tmp_path, files, "more", "web_x", PORT="80")["target"]["web_x"]["tags"] == ["json"]


def test_compose(tmp_path: Path) -> None:
    """Services with a build, their short and long forms, interpolation, extends, secrets and x-bake."""
    (tmp_path / "s1").touch()
    (tmp_path / ".env").write_text("# a comment\nTAG='$5'\nexport UNUSED=\"x\\n${GIVEN}\"\nGIVEN=no # not this\n")
    found = alike(tmp_path, {"compose.yaml": COMPOSE}, GIVEN="given", PORT="80")
    assert found["target"]["web_x"]["tags"] == ["reg/web:$5"]
    override = "services: {web.x: {build: {context: z, args: {N: 1}}}}"
    assert alike(tmp_path, {"compose.yaml": COMPOSE, "more.yml": override}, "web_x", PORT="80")


@pytest.mark.parametrize(
    "targets",
    [
        {"a": {"contexts": {"x": "target:b"}}, "b": {"contexts": {"y": "target:a"}}},
        {"a": {"contexts": {"x": "target:nope"}}},
        {"a": {"inherits": ["nope"]}},
        {"a": {"matrix": {"i": ["x", "y"]}}},
        {"a": {"name": "same", "matrix": {"i": ["x", "y"]}}},
        {"a.b": {}, "a": {}},
        {"b": {}},
        {"a": {"args": {"v": "${nobody}"}}},
        {
            "a": {"platforms": ["linux/amd64", "linux/arm64"], "contexts": {"x": "target:b"}},
            "b": {"platforms": ["linux/amd64", "linux/s390x"]},
        },
    ],
)
def test_what_bake_refuses_is_refused(tmp_path: Path, targets: dict[str, Any]) -> None:
    """Circles, unknown names, matrices without names, platforms that do not fit."""
    assert alike(tmp_path, {"bake.json": {"target": targets}}, "a") is None


def test_what_is_printed_is_a_bake_file(tmp_path: Path) -> None:
    """Read again it is the same set."""
    first = alike(tmp_path, {"bake.json": INHERITANCE})
    again = alike(tmp_path, {"again.json": json.dumps(first).replace("${", "$${").replace("%{", "%%{")})
    assert again == first
