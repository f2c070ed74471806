"""`slipway bake --print` and `--list`: what bake and Compose files say. Kept light: neither Prefect nor pydantic."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from prefect_slipway.flows.cli.switches import add_switch
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.naming import RELEASE_FILE
from prefect_slipway.infra.domain.options import pair, parse_bool

_QUICK = {
    "-f": "files",
    "--file": "files",
    "--var": "variables",
    "--set": "overrides",
    "--allow": "allow",
    **{f"--{name}": name for name in ("source", "list", "provenance", "sbom")},
}
"""Options with a value, and where they go."""

_SUFFIXES = (".hcl", ".json", ".yaml", ".yml")


class Typed(NamedTuple):
    """What is typed about files and targets; the fields are those of a request's `bake`."""

    files: list[str]
    targets: list[str]
    variables: dict[str, str]
    overrides: list[str]
    allow: list[str]

    @classmethod
    def of(cls, args: argparse.Namespace, env: Mapping[str, str] = os.environ) -> Self:
        """Names of files and targets are told apart, values without text come from the environment, and `--pull` and
        the like are overrides. Raises InvalidOption."""
        files, targets = list(args.files or []), list(args.targets or [])
        for word in args.words:
            if "://" in word or word.startswith("git@"):
                raise InvalidOption(
                    f"{word} is a remote definition, which is not a file or a target",
                    action=f"read it as the source: --source {word}",
                )
            (files if "/" in word or word.endswith(_SUFFIXES) or word == "-" else targets).append(word)
        variables = dict(pair("--var", text if "=" in text else _of_env(text, env)) for text in args.variables or [])
        overrides = [text for each in args.overrides or [] if (text := _completed(each, env)) is not None]
        return cls(files, targets, variables, [*overrides, *_short_forms(args)], list(args.allow or []))


def add_short_forms(parser: argparse.ArgumentParser) -> None:
    """bake's short forms of `--set`."""
    add_switch(parser, "--no-cache", help="Short for --set *.no-cache=true: do not use the build cache.")
    add_switch(parser, "--pull", help="Short for --set *.pull=true: always check registries for newer base images.")
    for name in ("provenance", "sbom"):
        values = "on|off|IMAGE" if name == "sbom" else "max|min|off"
        parser.add_argument(f"--{name}", metavar=values, help=f"Short for --set *.attest=type={name},….")
    add_switch(parser, "--push", help="Short for --set *.push=true. A release pushes in any case.")
    add_switch(parser, "--load", help="Short for --set *.load=true, which a release ignores with a warning.")
    # What nobody typed overrides nothing.
    parser.set_defaults(no_cache=None, pull=None)


def add_shown(group: argparse._MutuallyExclusiveGroup) -> None:
    """Ask for what the files say."""
    group.add_argument(
        "--print", action="store_true", help="Print the files' definitions as a bake file, and release nothing."
    )
    group.add_argument(
        "--list",
        metavar="targets|variables",
        help="List the files' targets or variables, also as type=…,format=json, and release nothing.",
    )


def quick(words: Sequence[str]) -> argparse.Namespace | None:
    """The arguments of `--print` or `--list` for a directory without a release file; None for anything else, which
    needs the request and its parser (a parser alone takes as long as all of this)."""
    if not {word.partition("=")[0] for word in words} & {"--print", "--list"}:
        return None
    found: dict[str, list[str]] = {dest: [] for dest in ("words", *_QUICK.values())}
    flags: dict[str, bool | None] = {"print": False, "push": False, "load": False, "no_cache": None, "pull": None}
    left = iter(words)
    for word in left:
        name, equals, value = word.partition("=")
        dest = name.removeprefix("--").replace("-", "_")
        if name in _QUICK:
            value = value if equals else next(left, "--")
            if value.startswith("--"):
                return None
            found[_QUICK[name]].append(value)
        elif name.startswith("--") and dest in flags and not (equals and dest == "print"):
            flags[dest] = parse_bool(value) if equals else True
            if flags[dest] is None:
                return None
        elif word.startswith("-") and word != "-":
            return None
        else:
            found["words"].append(word)
    alone = {dest: values[-1] if (values := found.pop(dest)) else None for dest in ("list", "provenance", "sbom")}
    folder = Path((found.pop("source") or ["."])[-1])
    if (alone["list"] is not None) is flags["print"] or not folder.is_dir() or (folder / RELEASE_FILE).exists():
        return None
    return argparse.Namespace(
        command="bake", targets=None, source=str(folder), quick=list(words), **found, **flags, **alone
    )


def shown(wanted: str | None, typed: Typed, folder: Path, top: Path | None, stdin: str | None) -> str:
    """What the files in a folder say. `wanted`: of `--list`, None for `--print`. `top`: the work tree that the folder
    is a part of. `stdin`: the text of the file `-`. Raises InvalidOption."""
    from prefect_slipway.flows.build_options.places import Places

    places = Places.of(folder, top, typed.allow)
    if wanted is not None:
        from prefect_slipway.flows.bake.listing import listed

        return listed(wanted, places, typed.files, typed.variables, stdin)
    from prefect_slipway.flows.bake.printed import as_bake
    from prefect_slipway.flows.bake.read import read_folder
    from prefect_slipway.flows.bake.targets import choose

    definition = read_folder(places, typed.files, typed.variables, stdin)
    return json.dumps(as_bake(choose(definition, typed.targets, typed.overrides)), indent=2)


def _of_env(name: str, env: Mapping[str, str]) -> str:
    if name not in env:
        raise InvalidOption(
            f"--var {name} has no value, and the environment variable is not set", action="write NAME=VALUE"
        )
    return f"{name}={env[name]}"


def _completed(text: str, env: Mapping[str, str]) -> str | None:
    """A build argument without a value takes the environment's; None if it is not set there, as buildx has it."""
    target, _, rest = text.partition(".")
    if "=" in text or not rest.startswith("args."):
        return text
    name = rest.removeprefix("args.")
    return f"{target}.args.{name}={env[name]}" if name in env else None


def _short_forms(args: argparse.Namespace) -> list[str]:
    from prefect_slipway.flows.build_options.attest import attest_text, provenance_text, sbom_text

    found = [f"*.{name}=true" for name in ("push", "load") if getattr(args, name)]
    for name in ("no-cache", "pull"):
        if (value := getattr(args, name.replace("-", "_"))) is not None:
            found.append(f"*.{name}={str(value).lower()}")
    for name, read in (("sbom", sbom_text), ("provenance", provenance_text)):
        if text := getattr(args, name):
            found.append(f"*.attest={attest_text(name, read(text))}")
    return found
