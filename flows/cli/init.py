"""Look at a directory (Dockerfiles, Compose and bake files, version tags, commit messages), and write a release file
with comments. An existing one is never replaced."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", nargs="?", default=".", metavar="DIRECTORY", help="Default: the current one.")
    parser.add_argument("--print", action="store_true", help="Print the file, and write nothing.")


def run(args: argparse.Namespace) -> int:
    """Raises InvalidOption."""
    from prefect_slipway.flows.run.first_release_file import first_release_file, look
    from prefect_slipway.infra.domain.errors import InvalidOption
    from prefect_slipway.infra.domain.naming import RELEASE_FILE

    folder = Path(args.directory)
    if not folder.is_dir():
        raise InvalidOption(f"no such directory: {folder}", action="check the path")
    text = first_release_file(asyncio.run(look(folder)))
    if args.print:
        print(text, end="")
        return 0
    path = folder / RELEASE_FILE
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InvalidOption(
            f"{path} exists already", action="edit it, or see with --print what `slipway init` would write"
        ) from None
    except OSError as error:
        raise InvalidOption(
            f"{path} cannot be written: {error.strerror}", action="copy what `slipway init --print` shows"
        ) from error
    print(f"{path}\nNext: read it, then `slipway plan {args.directory}`")
    return 0
