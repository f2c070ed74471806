"""Files that describe more than they hold: refused by name, within little memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

_READ = """
import resource, sys
from pathlib import Path
from prefect_slipway.flows.build_options.places import Places
from prefect_slipway.flows.bake.read import read_folder
from prefect_slipway.flows.bake.targets import choose
from prefect_slipway.infra.domain.errors import InvalidOption
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + (200 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
try:
    print(len(choose(read_folder(Places.of(Path(sys.argv[1]), None, ()), [], {}), []).targets), "targets")
except InvalidOption as error:
    print(error.cause)
"""


def doubling(count: int) -> dict[str, str]:
    return {"V0": "x" * 100, **{f"V{number}": f"${{V{number - 1}}}${{V{number - 1}}}" for number in range(1, count)}}


def bake(**more: object) -> str:
    return json.dumps({"target": {"default": {}}, **more})


ALIASES = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 9)}]\n" for number in range(1, 12)
)
MERGES = (
    "x-0: &m\n"
    + "".join(f"  k{n}: v\n" for n in range(20_000))
    + "".join(f"x-{n}: {{<<: *m}}\n" for n in range(1, 3000))
)
SERVICE = "services: {web: {build: {context: .}}}\n"

BOMBS = {
    "deep JSON": ("docker-bake.json", "[" * 5000 + "]" * 5000, "docker-bake.json is nested more than 100 deep"),
    "deep object": (
        "docker-bake.json",
        json.dumps({"target": {"default": {}}})[:-1] + ', "x": ' + '{"a": ' * 500 + "1" + "}" * 500 + "}",
        "docker-bake.json is nested more than 100 deep",
    ),
    "many values": ("docker-bake.json", bake(x=[1] * 100_001), "docker-bake.json contains more than 100000 values"),
    "large file": ("docker-bake.json", bake(x="y" * (5 << 20)), "docker-bake.json is larger than 4 MiB"),
    "doubling variables": (
        "docker-bake.json",
        json.dumps({**doubling(60), "target": {"default": {"args": {"A": "${V59}"}}}}),
        "expressions make more than 16 million characters",
    ),
    "a long chain of variables": (
        "docker-bake.json",
        json.dumps(
            {
                "V0": "x",
                **{f"V{n}": f"${{V{n - 1}}}" for n in range(1, 3000)},
                "target": {"default": {"tags": ["${V2999}"]}},
            }
        ),
        "is nested more than 100 deep",
    ),
    "matrix": (
        "docker-bake.json",
        json.dumps(
            {"target": {"default": {"name": "t", "matrix": {f"a{n}": [str(i) for i in range(10)] for n in range(10)}}}}
        ),
        "the matrix has more than 1000 combinations",
    ),
    "a long chain of parents": (
        "docker-bake.json",
        json.dumps(
            {
                "target": {
                    "default": {"inherits": ["t0"]},
                    "t3000": {},
                    **{f"t{n}": {"inherits": [f"t{n + 1}"]} for n in range(3000)},
                }
            }
        ),
        "is nested more than 100 deep",
    ),
    "parents that multiply": (
        "docker-bake.json",
        json.dumps(
            {
                "target": {
                    "default": {"inherits": ["a0", "b0"]},
                    "a60": {},
                    "b60": {},
                    **{f"{x}{n}": {"inherits": [f"a{n + 1}", f"b{n + 1}"]} for n in range(60) for x in "ab"},
                }
            }
        ),
        "1 targets",
    ),
    "groups that multiply": (
        "docker-bake.json",
        json.dumps(
            {
                "target": {"t": {}},
                "group": {
                    "default": {"targets": ["a0", "b0"]},
                    "a60": {"targets": ["t"]},
                    "b60": {"targets": ["t"]},
                    **{f"{x}{n}": {"targets": [f"a{n + 1}", f"b{n + 1}"]} for n in range(60) for x in "ab"},
                },
            }
        ),
        "1 targets",
    ),
    "heirs of a large target": (
        "docker-bake.json",
        json.dumps(
            {
                "group": {"default": {"targets": [f"t{n}" for n in range(1000)]}},
                "target": {
                    "base": {"args": {f"A{n}": "x" for n in range(50_000)}},
                    **{f"t{n}": {"inherits": ["base"]} for n in range(1000)},
                },
            }
        ),
        "contains more than 100000 values",
    ),
    "regular expression": (
        "docker-bake.json",
        json.dumps(
            {
                "variable": {
                    "X": {
                        "default": "a" * 60 + "!",
                        "validation": {"condition": '${can(regex("^(a|a)*$", X))}', "error_message": "only a"},
                    }
                },
                "target": {"default": {}},
            }
        ),
        "not allowed: only a",
    ),
    "heirs of a large service": (
        "compose.yaml",
        json.dumps(
            {
                "services": {
                    "base": {"build": {"args": {f"A{n}": "x" for n in range(50_000)}}},
                    **{f"s{n}": {"extends": "base"} for n in range(1000)},
                }
            }
        ),
        "contains more than 100000 values",
    ),
    "deep YAML": ("compose.yaml", "[" * 3000 + "]" * 3000, "compose.yaml is nested more than 100 deep"),
    "aliases": ("compose.yaml", ALIASES + SERVICE, "compose.yaml contains more than 100000 values"),
    "merges": ("compose.yaml", MERGES + SERVICE, "it merges too many maps"),
    "deep variable": (
        "compose.yaml",
        "services: {web: {build: {context: .}, image: '" + "${A:-" * 3000 + "x" + "}" * 3000 + "'}}\n",
        "a variable is nested more than 100 deep",
    ),
    "a long chain of services": (
        "compose.yaml",
        json.dumps(
            {
                "services": {
                    "web": {"extends": "s0"},
                    "s3000": {"build": "."},
                    **{f"s{n}": {"extends": f"s{n + 1}"} for n in range(3000)},
                }
            }
        ),
        "is nested more than 100 deep",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BOMBS)
def test_a_file_makes_no_more_of_itself_than_it_is_worth(kind: str, tmp_path: Path) -> None:
    """Nesting, aliases, variables, matrices and inheritance that multiply; the limits are the kernel's."""
    name, content, said = BOMBS[kind]
    (tmp_path / name).write_text(content)
    done = subprocess.run([sys.executable, "-c", _READ, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert said in done.stdout


def test_doubling_variables_of_an_env_file_are_bounded(tmp_path: Path) -> None:
    """A Compose file's variables come from `.env`, which comes with it."""
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in doubling(60).items()))
    (tmp_path / "compose.yaml").write_text("services: {web: {build: {context: .}, image: '${V59}'}}\n")
    done = subprocess.run([sys.executable, "-c", _READ, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "expressions make more than 16 million characters" in done.stdout
