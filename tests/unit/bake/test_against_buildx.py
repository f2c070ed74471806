"""What is read from a file is what `docker buildx bake --print` reads from it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from prefect_slipway.flows.bake.printed import as_bake
from prefect_slipway.flows.bake.read import read_folder
from prefect_slipway.flows.bake.targets import choose
from prefect_slipway.flows.build_options.places import Places
from prefect_slipway.infra.domain.errors import InvalidOption
from tests.conftest import clean_environment

INHERITANCE: dict[str, Any] = {
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


def buildx(
    folder: Path, files: list[str], names: list[str], variables: dict[str, str], sets: Sequence[str] = ()
) -> Any:
    options = [*(part for file in files for part in ("-f", file)), *(part for text in sets for part in ("--set", text))]
    command = ["docker", "buildx", "bake", "--print", *options, *names]
    env = clean_environment(BUILDX_CONFIG=str(folder / "buildx"), DOCKER_HOST="unix:///nowhere", **variables)
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else None


def ours(folder: Path, files: list[str], names: list[str], variables: dict[str, str], sets: Sequence[str] = ()) -> Any:
    try:
        return as_bake(choose(read_folder(Places.of(folder, None, ()), files, variables), names, sets))
    except InvalidOption:
        return None


def alike(folder: Path, files: dict[str, Any], *names: str, sets: Sequence[str] = (), **variables: str) -> Any:
    """Both read the same; given back for further looks."""
    for name, content in files.items():
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    both = [read(folder, list(files), list(names), variables, sets) for read in (buildx, ours)]
    assert (both[0] is None) == (both[1] is None), both
    if both[0] is not None:
        assert _unescaped(both[1]) == both[0]["target"]
        # Later versions of buildx than Debian's sort what was requested, and name the target `default` in a group of
        # that name (bake/bake.go, ReadTargets).
        assert _sorted(both[1]) == _sorted(both[0])
    return both[1]


def _sorted(printed: Any) -> dict[str, list[str]]:
    groups = printed.get("group", {"default": {"targets": ["default"]}})
    return {name: sorted(group["targets"]) for name, group in groups.items()}


def _unescaped(printed: Any) -> Any:
    """What Debian's buildx, which does not escape, prints of these targets."""
    return json.loads(json.dumps(printed["target"]).replace("$${", "${").replace("%%{", "%{"))


@pytest.mark.parametrize(
    "names", [[], ["more"], ["last", "app"], ["default", "last"], ["more", "default"]], ids=" ".join
)
def test_inheritance_and_groups(tmp_path: Path, names: list[str]) -> None:
    """Each field is merged by its own rule; what was asked for decides what is there."""
    assert alike(tmp_path, {"bake.json": INHERITANCE}, *names)
    assert alike(tmp_path, {"bake.json": INHERITANCE}, *names, TAG="9", N="7")


@pytest.mark.parametrize("names", [[], ["heir"], ["m"], ["m", "heir"], ["m-v-2"]], ids=" ".join)
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
    """Read again, by either, it is the same set: what looks like a variable is none."""
    marks = {"args": {"A": "$${NOT} %%{x} $y", "$${K}": "$$${NOT}"}, "contexts": {"c": "./$${d}"}, "tags": ["t"]}
    document = {**INHERITANCE, "target": {**INHERITANCE["target"], "marks": marks}}
    first = alike(tmp_path, {"bake.json": document}, "default", "marks")
    printed = first["target"]["marks"]
    assert printed["args"] == {"A": "$${NOT} %%{x} $y", "$${K}": "$$${NOT}"}
    assert printed["contexts"] == {"c": "./$${d}"}
    assert ours(tmp_path, ["bake.json"], ["default", "marks"], {"NOT": "taken"}) == first
    (tmp_path / "again.json").write_text(json.dumps(first))
    assert ours(tmp_path, ["again.json"], [], {"NOT": "taken"}) == first
    assert buildx(tmp_path, ["again.json"], [], {"NOT": "taken"})["target"] == _unescaped(first)


def build(text: str, service: str = "image: i") -> str:
    """A Compose file with one service, whose `build` has this."""
    return f"services:\n  a:\n    {service}\n    build:\n      context: .\n      {text}\n"


ARGS = (
    *("yes", "NO", "on", "y", "True", "TRUE", "~", "null", "12:30:45", "0o17", "0777", "08", "0x1F", "0b11", "-0o7"),
    *("1_000", "1.0", "1.10", "1e3", "1E400", ".5", "1.", "+1", "1e21", "123456789012345678901", "=", "0x", "1.2.3"),
    *("0.000001", "1234567.5", "9223372036854775808", "'yes'", "!!str 5", "!!int '5'"),
)


def test_scalars(tmp_path: Path) -> None:
    """YAML 1.2: words that 1.1 took for truth values are words, a time is no number, an octal is one."""
    text = "\n".join(f"        V{number}: {value}" for number, value in enumerate(ARGS))
    found = alike(tmp_path, {"compose.yaml": build(f"args:\n{text}")})
    assert [found["target"]["a"]["args"][f"V{ARGS.index(value)}"] for value in ("NO", "12:30:45", "0o17")] == [
        "NO",
        "12:30:45",
        "15",
    ]


@pytest.mark.parametrize(
    "text",
    [
        build("labels: [c, d=1]"),
        build("labels: {c: , d: 1.50}"),
        build("args: ['A=$$', 'B=a$', 'C=$5', 'D=$-', 'E=x$ y', 'F=a$$b', 'G=$${X}']"),
        build("args: ['A=${']"),
        build("args: ['A=${X:-{\"a\":1}}']"),
        build("args: {a: [1]}"),
        build("args: [1]"),
        build("args: [NAME, OTHER, X=1]", "environment: [NAME=n, OTHER]"),
        build("tags: [1]"),
        build("tags: x"),
        build("context: 1"),
        build("dockerfile: [x]"),
        build("no_cache: perhaps"),
        build("pull: 1"),
        build("shm_size: 64m"),
        build("shm_size: 1000"),
        build("shm_size: 1.5g"),
        build("shm_size: much"),
        build("ssh: [foo]"),
        build("ssh: default"),
        build("ulimits: {nofile: {soft: 1, hard: 2}}"),
        build("ulimits: {nofile: {soft: 1}}"),
        build("additional_contexts: [a=b, c=docker-image://x]"),
        build("additional_contexts: {a: ./b/../c, g: github.com/x/y, h: 'git@h:x'}"),
        build("additional_contexts: [a]"),
        build("x-bake: {tags: b:2}"),
        build("x-bake: {tags: 'b:2 c:3', platforms: linux/amd64, output: type=docker, cache-from: type=gha}"),
        build("x-bake: {tags: [1, true, z], no-cache: true, no-cache-filter: a b}"),
        build("x-bake: {nonsense: 1, args: {A: 1}}"),
        build("dockerfile_inline: FROM x"),
        build("dockerfile: d\n      dockerfile_inline: FROM x"),
        build("nonsense: 1"),
        build("target: t", "image: 1"),
        "services: {a: {build: .}}\n---\nservices: {b: {build: ./b}, a: {build: {args: {A: 1}}}}\n",
        "services: {a: {build: .}}\n---\n",
        "---\nservices: {a: {build: .}}\n...\n",
        "",
        "services: {a: {build: .}, a: {build: x}}\n",
        "services: {a: {image: '${COMPOSE_PROJECT_NAME}/a', build: {context: ., args: [COMPOSE_PROJECT_NAME]}}}\n",
        "name: mine\nservices: {a: {image: '${COMPOSE_PROJECT_NAME}/a', build: .}}\n",
        "name: '${N:-other}'\nservices: {a: {image: '${COMPOSE_PROJECT_NAME}/a', build: .}}\n",
        "x-c: &c {context: ., args: {A: 1}}\nservices: {a: {build: *c}, b: {build: {<<: *c, target: t}}}\n",
        "services: {a: {build: ., ports: ['${PORT?}']}}\n",
        "services: {a: {build: {context: ., args: {A: 1}, tags: [t]}}, "
        "b: {extends: a, build: {args: !reset {}, tags: !override [u]}}}\n",
    ],
)  # fmt: skip
def test_one_compose_file(tmp_path: Path, text: str) -> None:
    """Each is read as buildx reads it, or refused as it is."""
    alike(tmp_path, {"compose.yaml": text})


BELOW = "services: {a: {image: i, build: {context: ., args: {A: 1, B: 2}, tags: [x, y], labels: [l=1]}}, b: {build: .}}"


@pytest.mark.parametrize(
    "above",
    [
        "services: {a: {build: {args: !reset {}, tags: !override [z]}}}",
        "services: {a: {image: !reset null, build: {args: {A: !reset null, C: 3}}}}",
        "services: {a: !reset {}}",
        "services: {a: !override {build: x}}",
        "services: {a: {build: {args: [A, B=3], tags: [x, z], cache_from: [c], labels: {l: 2, m: }}}}",
        "services: {a: {build: {tags: {a: 1}}}}",
        "services: {a: {build: ./other}}",
        "services: {c: {extends: a, build: {args: {B: 1}}}}",
    ],
)
def test_one_compose_file_over_another(tmp_path: Path, above: str) -> None:
    """Maps are merged, lists joined; `!reset` takes away, `!override` replaces."""
    alike(tmp_path, {"a.yaml": BELOW, "b.yaml": above})


def test_files_with_a_services_environment(tmp_path: Path) -> None:
    """An argument without a value has the one of the service's environment, or of its files."""
    (tmp_path / "one.env").write_text('A=1\nB=\'x y\' # c\nX=file\nQ=${A}${W:-w}\nD="t\\tq\\"$$z"\nGIVEN\n')
    (tmp_path / "two.env").write_text("B=3\nexport C = 4\nE: yaml # y\nF=a#b\nM='l1\nl2'\n")
    files = "env_file: [one.env, {path: two.env}, {path: nowhere.env, required: false}]\n    environment: {X: own, Y: }"
    text = build("args: [A, B, C, D, E, F, M, Q, X, Y, GIVEN, NONE]", files)
    found = alike(tmp_path, {"compose.yaml": text}, GIVEN="g", Y="y")
    assert found["target"]["a"]["args"]["B"] == "3"
    alike(tmp_path, {"compose.yaml": build("args: [A]", "env_file: one.env")})
    alike(tmp_path, {"compose.yaml": build("args: [A]", "env_file: nowhere.env")})


@pytest.mark.parametrize("name", ["web.x", "web_x"])
def test_a_service_with_a_dot(tmp_path: Path, name: str) -> None:
    """Is asked for by its own name, or by its target's."""
    assert alike(tmp_path, {"compose.yaml": "services: {web.x: {build: .}, b: {build: .}}"}, name)


@pytest.mark.parametrize(
    "fields",
    [
        {"tags": [1, True, 1.50]},
        {"tags": [None]},
        {"tags": ["", "a", ""]},
        {"args": {"A": 1.10, "B": 1.0, "C": 1e3, "D": True, "F": 12345678901234567890, "G": 1e21}},
        {"pull": "True"},
        {"pull": "1"},
        {"shm-size": 64},
        {"shm-size": "x"},
        {"ulimits": ["foo=1"]},
        {"ulimits": ["nofile=3:2"]},
        {"cache-from": ["src=x"]},
        {"cache-to": ["type=local"]},
        {"secret": ["id=a,foo=b"]},
        {"secret": ["type=x,id=a"]},
        {"attest": ["sbom"]},
        {"attest": ["type=sbom,disabled=maybe"]},
        {"output": ["foo=bar,x=y"]},
        {"platforms": ["linux/amd64", "linux/x/y/z"]},
        {"annotations": ["a"]},
        {"annotations": ["bad:k=v"]},
        {"annotations": ["index,manifest:k=v"]},
        {"contexts": {"a": ""}},
        {"context": ""},
        {"labels": {"a": None, "b": ""}},
        {"matrix": {"a": ["x"]}},
        {"name": "x"},
        {"nonsense": 1},
        {"args": {"A": "${N > 5 ? \"more\" : \"less\"}", "B": "${N + 1}", "C": "${!true || N == 7}"}},
        {"args": {"D": "${[1, N][1]}", "E": "${-N * 2}", "F": "${\"a${N}b\"}"}},
    ],
    ids=str,
)  # fmt: skip
def test_one_field(tmp_path: Path, fields: dict[str, Any]) -> None:
    """Each is read as buildx reads it, or refused as it is."""
    document = {"variable": {"N": {"default": 5}}, "target": {"default": fields}}
    alike(tmp_path, {"bake.json": document}, N="7")


def test_blocks_with_the_same_key(tmp_path: Path) -> None:
    """JSON allows a key twice, and HCL takes the values for blocks that are merged."""
    text = '{"target": {"a": {"args": {"x": 1}}, "a": {"args": {"y": 2}}}, "target": {"b": {}}}'
    assert set(alike(tmp_path, {"bake.json": text}, "a", "b")["target"]["a"]["args"]) == {"x", "y"}


@pytest.mark.parametrize(
    ("default", "given"), [(5, "2.50"), (5, "x"), (5, "inf"), (True, "t"), (True, "maybe"), ("", "")]
)
def test_variables_of_a_type(tmp_path: Path, default: Any, given: str) -> None:
    """A value that is given is read as its default's type."""
    alike(
        tmp_path,
        {"bake.json": {"variable": {"X": {"default": default}}, "target": {"default": {"args": {"A": "${X}"}}}}},
        X=given,
    )
