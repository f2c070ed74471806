"""The files of a folder that describe a set of images, found and read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from flows.bake.bakefile import read_bake_files
from flows.bake.compose import read_compose_files
from flows.bake.definition import Definition
from flows.bake.dotenv import read_dotenv
from flows.bake.places import Places
from flows.domain.errors import InvalidOption

# In the order in which bake looks for them; all that are there are read (bake/bake.go, defaultFilenames).
_COMPOSE_FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
_BAKE_FILES = ("docker-bake.json", "docker-bake.override.json")
_HCL_FILES = ("docker-bake.hcl", "docker-bake.override.hcl")


def read_folder(
    folder: Path, files: Sequence[str], variables: Mapping[str, str], places: Places | None = None
) -> Definition:
    """What `files` (relative to `folder`; none: those with the usual names) define; Compose files go first.

    `variables`: values for bake's variables and for a Compose file's `${…}`, for which `.env` is read as well.
    `places`: what a Compose file's `env_file` may be; None: what is in the folder. Raises InvalidOption.
    """
    names = list(files) or _usual(folder)
    bake = [name for name in names if name.endswith(".json")]
    compose = [name for name in names if name.endswith((".yaml", ".yml"))]
    for name in names:
        if name not in bake and name not in compose:
            raise (
                _hcl(name)
                if name.endswith(".hcl")
                else InvalidOption(
                    f"{name} is neither JSON nor YAML", action="name a docker-bake.json or a Compose file"
                )
            )
    definition = Definition()
    if compose:
        known = dict(variables)
        if (folder / ".env").is_file():
            known = {**read_dotenv(".env", _text(folder, ".env"), variables), **variables}
        allowed = places or Places.of(folder, None, ())

        def read_file(what: str, path: str) -> str | None:
            found = allowed.path(what, path)
            return _text(folder, str(found)) if found.is_file() else None

        definition = read_compose_files([(name, _text(folder, name)) for name in compose], known, read_file)
    if bake:
        definition = read_bake_files([(name, _text(folder, name)) for name in bake], variables).over(definition)
    return definition


def _usual(folder: Path) -> list[str]:
    found = [name for name in (*_COMPOSE_FILES, *_BAKE_FILES) if (folder / name).is_file()]
    hcl = [name for name in _HCL_FILES if (folder / name).is_file()]
    if hcl:
        raise _hcl(hcl[0])
    if not found:
        raise InvalidOption(
            f"there is no docker-bake.json and no Compose file in {folder}", action="name the file, or another source"
        )
    return found


def _hcl(name: str) -> InvalidOption:
    return InvalidOption(
        f"{name}: HCL is not read", action=f"convert it: `docker buildx bake -f {name} --print > docker-bake.json`"
    )


def _text(folder: Path, name: str) -> str:
    try:
        return (folder / name).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidOption(f"{name} cannot be read in {folder}", action="check its name") from error
