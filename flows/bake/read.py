"""Find and read the files of a directory that describe a set of images."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from prefect_slipway.flows.bake.bakefile import known_variables, read_bake_files
from prefect_slipway.flows.bake.bounds import MOST_BYTES, bounded
from prefect_slipway.flows.bake.definition import Definition
from prefect_slipway.flows.bake.scope import Variable
from prefect_slipway.flows.build_options.places import Places
from prefect_slipway.infra.domain.errors import InvalidOption

# In the order in which bake looks for them; all that are there are read (bake/bake.go, defaultFilenames).
_COMPOSE_FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
_BAKE_FILES = ("docker-bake.json", "docker-bake.hcl", "docker-bake.override.json", "docker-bake.override.hcl")
_BAKE, _COMPOSE = (".json", ".hcl"), (".yaml", ".yml")
_Named = tuple[str, str]


def read_folder(
    places: Places, files: Sequence[str], variables: Mapping[str, str], stdin: str | None = None
) -> Definition:
    """What `files` (relative to the places' folder; none: those with the usual names) define; Compose files go first.

    `variables`: values for bake's variables and for a Compose file's `${…}`, for which `.env` is read as well.
    `places`: where the files, and what a Compose file's `env_file` names, may be. `stdin`: the text of the file `-`.
    Raises InvalidOption.
    """
    compose, bake = _read(places, files, stdin)
    definition = Definition()

    def read_file(what: str, name: str) -> str | None:
        found = places.path(what, name)
        return _text(found, name) if found.is_file() else None

    with bounded():
        if compose:
            # Imported late: YAML takes its time.
            from prefect_slipway.flows.bake.compose import read_compose_files
            from prefect_slipway.flows.bake.dotenv import read_dotenv

            known = dict(variables)
            if (env := read_file("the environment file", ".env")) is not None:
                known = {**read_dotenv(".env", env, variables), **variables}
            definition = read_compose_files(compose, known, read_file)
        if bake:
            definition = read_bake_files(bake, variables).over(definition)
    return definition


def read_variables(
    places: Places, files: Sequence[str], variables: Mapping[str, str], stdin: str | None = None
) -> list[Variable]:
    """The variables of bake files, by name; as `read_folder`."""
    _, bake = _read(places, files, stdin)
    with bounded():
        return known_variables(bake, variables)


def _read(places: Places, files: Sequence[str], stdin: str | None) -> tuple[list[_Named], list[_Named]]:
    """Compose files and bake files, name and text each."""
    compose: list[_Named] = []
    bake: list[_Named] = []
    for name in list(files) or _usual(places.folder):
        if name != "-":
            content = _text(places.path("the bake or Compose file", name), name)
        elif stdin is not None:
            name, content = "standard input", stdin
        else:
            raise InvalidOption(
                "a file on standard input is not part of the source",
                action="put it into the source, or only look at it with --print",
            )
        (compose if _is_compose(name, content) else bake).append((name, content))
    return compose, bake


def _is_compose(name: str, content: str) -> bool:
    if name.endswith((*_BAKE, *_COMPOSE)):
        return name.endswith(_COMPOSE)
    return re.search(r"^services\s*:", content, re.MULTILINE) is not None


def usual_files(folder: Path) -> list[str]:
    """The files with usual names that are there, in the order in which they are read."""
    return [name for name in (*_COMPOSE_FILES, *_BAKE_FILES) if (folder / name).is_file()]


def _usual(folder: Path) -> list[str]:
    found = usual_files(folder)
    if not found:
        raise InvalidOption(
            f"there is no docker-bake file or Compose file in {folder}", action="pass the file, or use another source"
        )
    return found


def _text(path: Path, name: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise InvalidOption(
                f"{name} is larger than {MOST_BYTES >> 20} MiB", action="check that this is the right file"
            )
        return content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidOption(f"{name} cannot be read in {path.parent}", action="check its name") from error
