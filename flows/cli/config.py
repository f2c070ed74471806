"""Print the values that `slipway release` with the same options would use and where each comes from: an option, or a
line of the directory's release file. Everything else has its default."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect_slipway.flows.cli.formats import add_format_option
from prefect_slipway.infra.domain.text import columns

if TYPE_CHECKING:
    from prefect_slipway.flows.request.release import ReleaseRequest
    from prefect_slipway.flows.request.release_file import ReleaseFile


def add_options(parser: argparse.ArgumentParser) -> None:
    from prefect_slipway.flows.cli.options import add_request_options

    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--trust",
        dest="trusted",
        action="store_true",
        help=(
            "Let this directory's release file choose what it chooses now outside the source, such as image and "
            "credentials. A change of these values must be allowed again."
        ),
    )
    what.add_argument("--schema", action="store_true", help="Print the JSON schema of the release file for editors.")
    add_request_options(parser)
    add_format_option(parser)


def run(args: argparse.Namespace) -> int:
    """Raises ReleaseFileInvalid, ReleaseFileRefused, InvalidOption."""
    from prefect_slipway.flows.cli.options import request_of

    if args.schema:
        from prefect_slipway.flows.request.release_schema import release_schema

        print(json.dumps(release_schema(), indent=2))
        return 0
    values = _Values(request_of(args), trust=args.trusted)
    if args.format == "json":
        print(json.dumps(values.as_dict()))
    else:
        print("\n".join(values.lines()))
    return 0


class _Values:
    """Of a release from a directory here."""

    def __init__(self, request: ReleaseRequest, *, trust: bool) -> None:
        from prefect_slipway.flows.run.release_file import Allowed, directory_of, find_release_file
        from prefect_slipway.infra.domain.errors import InvalidOption
        from prefect_slipway.infra.local.config import StackConfig

        folder = directory_of(request)
        if folder is None:
            raise InvalidOption(
                "the source is not a directory", action="run `slipway config` in a checkout of the source"
            )
        if not folder.is_dir():
            raise InvalidOption(f"no such directory: {folder}", action="check the path")
        self._file: ReleaseFile | None = find_release_file(request, folder)
        self._given: Mapping[str, Any] = request.model_dump(mode="json", exclude_unset=True)
        allowed = Allowed(StackConfig.from_env(os.environ).home)
        if trust and self._file is not None:
            allowed.remember(folder, self._file)
        self._guarded = [".".join(place) for place, _ in self._file.guarded(self._given)] if self._file else []
        self._covered = self._file is None or not self._guarded or allowed.covers(folder, self._file)
        self._request = request
        if self._file is not None:
            self._request = self._file.applied(request, ["*"])
            if not self._covered:
                self._covered = _is_allowed(self._file, request)
        self._folder = folder

    def rows(self) -> list[tuple[str, Any, str]]:
        """Key, value, origin."""
        from prefect_slipway.flows.request.release import ReleaseRequest
        from prefect_slipway.flows.request.release_file import places

        of_file = dict(places(self._file.values, ReleaseRequest)) if self._file is not None else {}
        given = dict(places(self._given, ReleaseRequest))
        rows = []
        for place, value in places(self._request.model_dump(mode="json", exclude_unset=True), ReleaseRequest):
            origins = ["option"] if place in given else []
            if place in of_file and self._file is not None and (place not in given or isinstance(value, Mapping)):
                origins.append(self._file.where(place))
            rows.append((".".join(place), value, " and ".join(origins)))
        if (file := self._file) is not None:
            rows += [(".".join(place), value, file.where(place)) for place, value in file.of_components()]
        return rows

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "directory": str(Path(self._folder).resolve()),
            "file": self._file.name if self._file is not None else None,
            "values": [{"key": key, "value": value, "from": origin} for key, value, origin in self.rows()],
            "needs_permission": self._guarded,
            "allowed": self._covered,
        }

    def lines(self) -> list[str]:
        """For people."""
        rows = [(key, _shown(value), origin) for key, value, origin in self.rows()]
        if not rows:
            return ["All values have their defaults." if self._file else "There is no slipway.toml: `slipway init`."]
        lines = columns(rows)
        if self._guarded:
            said = "allowed" if self._covered else "not allowed yet; read the file, then run `slipway config --trust`"
            lines += ["", f"Outside the source: {', '.join(self._guarded)}: {said}"]
        return lines


def _is_allowed(file: ReleaseFile, request: ReleaseRequest) -> bool:
    from prefect_slipway.infra.domain.errors import ReleaseFileRefused

    try:
        file.check_allowed(request.model_dump(exclude_unset=True), request.config.allow)
    except ReleaseFileRefused:
        return False
    return True


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
