"""Find a source's release file, and remember what people allowed in their own checkouts."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from prefect_slipway.flows.build_options.places import Places, read_text
from prefect_slipway.flows.request.config import NO_FILE
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.request.release_file import MAX_BYTES, ReleaseFile
from prefect_slipway.infra.common.private_files import write_private
from prefect_slipway.infra.domain.errors import InvalidOption, ReleaseFileInvalid
from prefect_slipway.infra.domain.naming import RELEASE_FILE
from prefect_slipway.infra.local.config import StackConfig
from prefect_slipway.infra.source.resolve import DirectorySpec, parse_source


def directory_of(request: ReleaseRequest) -> Path | None:
    """The build context that is read as it is; None for a source that must be fetched first, or comes from elsewhere.
    Raises InvalidOption."""
    if request.source.startswith(("block:", "vault:")):
        return None
    asked = request.checkout
    spec = parse_source(request.source, ref=asked.ref, path=asked.path, checksum=asked.checksum)
    return spec.path if isinstance(spec, DirectorySpec) else None


def find_release_file(request: ReleaseRequest, folder: Path, top: Path | None = None) -> ReleaseFile | None:
    """The release file of a build context, None if there is none. `top`: the source that `folder` is a part of.
    Raises ReleaseFileInvalid; InvalidOption for a path outside the source, or a named file that does not exist."""
    name = request.config.file
    if name == NO_FILE:
        return None
    path = Places.of(folder, top, ()).path("--config", name, action="use a file in the source")
    if not path.is_file():
        if name != RELEASE_FILE:
            raise InvalidOption(f"the release file {name!r} does not exist", action="check --config")
        return None
    return ReleaseFile.read(read_text(path, name, MAX_BYTES, ReleaseFileInvalid), name)


def with_release_file(request: ReleaseRequest, env: Mapping[str, str] = os.environ) -> ReleaseRequest:
    """The request with what the release file of its directory says, if it is a directory, for the person who runs this
    command. Nobody reads the file again, unless it describes components. Raises ReleaseFileInvalid, ReleaseFileRefused,
    InvalidOption."""
    if (folder := directory_of(request)) is None or (file := find_release_file(request, folder)) is None:
        return request
    allowed = Allowed(StackConfig.from_env(env).home).covers(folder, file)
    if not file.has_components or request.bake is not None:
        return file.applied(request, ["*"] if allowed else request.config.allow).changed({"config": {"file": NO_FILE}})
    # Each component's values are its own: the flow reads the file.
    given = file.as_allowed(request.image) if allowed else []
    return request.changed({"config": {"allow": [*request.config.allow, *given]}}) if given else request


def has_components(request: ReleaseRequest) -> bool:
    """Whether the release file of its directory, if it is one, describes components. Raises as `find_release_file`."""
    folder = directory_of(request)
    file = find_release_file(request, folder) if folder is not None else None
    return file is not None and file.has_components


class Allowed:
    """What a person allowed release files to choose: by folder, for exactly these values."""

    def __init__(self, home: Path) -> None:
        self._path = home / "allowed-release-files.json"

    def covers(self, folder: Path, file: ReleaseFile) -> bool:
        """Whether all that needs permission was allowed as it is now."""
        return self._read().get(str(folder.resolve())) == _fingerprint(file)

    def remember(self, folder: Path, file: ReleaseFile) -> None:
        """Raises OSError."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        allowed = {**self._read(), str(folder.resolve()): _fingerprint(file)}
        write_private(self._path, json.dumps(allowed, indent=2))

    def _read(self) -> dict[str, str]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _fingerprint(file: ReleaseFile) -> str:
    values = sorted((".".join(place), value) for place, value in file.guarded({}))
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()
