"""Find and read the files of a directory that describe a set of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from prefect_slipway.flows.bake.bakefile import read_bake_files
from prefect_slipway.flows.bake.bounds import MOST_BYTES, bounded
from prefect_slipway.flows.bake.compose import read_compose_files
from prefect_slipway.flows.bake.definition import Definition
from prefect_slipway.flows.bake.dotenv import read_dotenv
from prefect_slipway.flows.build_options.places import Places
from prefect_slipway.infra.domain.errors import InvalidOption

# In the order in which bake looks for them; all that are there are read (bake/bake.go, defaultFilenames).
_COMPOSE_FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
_BAKE_FILES = ("docker-bake.json", "docker-bake.hcl", "docker-bake.override.json", "docker-bake.override.hcl")


def read_folder(places: Places, files: Sequence[str], variables: Mapping[str, str]) -> Definition:
    """What `files` (relative to the places' folder; none: those with the usual names) define; Compose files go first.

    `variables`: values for bake's variables and for a Compose file's `${…}`, for which `.env` is read as well.
    `places`: where the files, and what a Compose file's `env_file` names, may be. Raises InvalidOption.
    """
    names = list(files) or _usual(places.folder)
    bake = [name for name in names if name.endswith((".json", ".hcl"))]
    compose = [name for name in names if name.endswith((".yaml", ".yml"))]
    for name in names:
        if name not in bake and name not in compose:
            raise InvalidOption(
                f"{name} is neither HCL, JSON nor YAML", action="use a docker-bake file or a Compose file"
            )
    definition = Definition()

    def read_file(what: str, name: str) -> str | None:
        found = places.path(what, name)
        return _text(found, name) if found.is_file() else None

    def named(name: str) -> tuple[str, str]:
        return name, _text(places.path("the bake or Compose file", name), name)

    with bounded():
        if compose:
            known = dict(variables)
            if (env := read_file("the environment file", ".env")) is not None:
                known = {**read_dotenv(".env", env, variables), **variables}
            definition = read_compose_files([named(name) for name in compose], known, read_file)
        if bake:
            definition = read_bake_files([named(name) for name in bake], variables).over(definition)
    return definition


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
