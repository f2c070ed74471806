"""The files that `slipway build` writes besides its output: the image's id and the metadata.

As docker buildx writes them: `decodeExporterResponse` and `getImageID` in commands/build.go.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect_slipway.infra.buildkit.build.outputs import EngineLoad, ImagePush, ImageStore
from prefect_slipway.infra.domain.errors import BuilderTooOld, OutputError
from prefect_slipway.infra.domain.options import parse_bool

if TYPE_CHECKING:
    from prefect_slipway.infra.buildkit.build.outputs import Output
    from prefect_slipway.infra.buildkit.build.request import BuildOutcome, BuildRequest
    from prefect_slipway.infra.buildkit.client import BuildKit

_CONFIG = "containerimage.config.digest"
_DIGEST = "containerimage.digest"
# A label of an engine's worker (driver/docker/driver.go in docker/buildx).
_IMAGE_STORE = "org.mobyproject.buildkit.worker.snapshotter"


class ResultFile:
    """A file that is written after the build, and checked to be writable before it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary: Path | None = None

    def reserve(self) -> None:
        """Raises OutputError."""
        try:
            if self._path.exists() and not self._path.is_file():
                # A pipe, /dev/stdout: opened for nothing it would end its reader.
                if self._path.is_dir() or not os.access(self._path, os.W_OK):
                    raise IsADirectoryError(21, "it is a directory" if self._path.is_dir() else "it may not be written")
                return
            temporary = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}")
            temporary.touch(exist_ok=False)
            self._temporary = temporary
        except OSError as error:
            raise _unwritable(self._path, error) from error

    def write(self, text: str) -> None:
        """Raises OutputError."""
        try:
            if self._temporary is None:
                self._path.write_text(text, encoding="utf-8")
            else:
                self._temporary.write_text(text, encoding="utf-8")
                self._temporary.replace(self._path)
                self._temporary = None
        except OSError as error:
            raise _unwritable(self._path, error) from error

    def remove_stale(self) -> None:
        """Remove an earlier build's file, so that a failed build does not leave it. Raises OutputError."""
        try:
            if self._path.is_file():
                self._path.unlink()
        except OSError as error:
            raise _unwritable(self._path, error) from error

    def release(self) -> None:
        """Remove the file if it was not written."""
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)


@contextmanager
def result_files(iidfile: str | None, metadata: str | None) -> Iterator[tuple[ResultFile | None, ResultFile | None]]:
    """Those that were requested, ready to be written. Raises OutputError."""
    files = [ResultFile(Path(name)) if name else None for name in (iidfile, metadata)]
    try:
        for file in files:
            if file is not None:
                file.reserve()
        if files[0] is not None:
            files[0].remove_stale()
        yield files[0], files[1]
    finally:
        for file in files:
            if file is not None:
                file.release()


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(f"{path} cannot be written: {error.strerror}")


def image_id(response: Mapping[str, str]) -> str:
    """The id of the image: the digest of its config, or of the image where that is how an engine names it."""
    return response.get(_CONFIG) or response.get(_DIGEST, "")


async def told(
    buildkit: BuildKit,
    request: BuildRequest,
    outcome: BuildOutcome,
    env: Mapping[str, str],
    *,
    engine: bool,
    metadata: bool,
) -> dict[str, str]:
    """The exporters' response, for the metadata file, with the build's reference and provenance.

    `engine`: the builder is a Docker engine's. Raises a BuilderError."""
    response = dict(outcome.response)
    if await _named_by_digest(buildkit, request.outputs, engine):
        response.pop(_CONFIG, None)
    if metadata:
        # BUILDER/NODE/ID: this is an engine's own builder; others only have names in docker buildx.
        response["buildx.build.ref"] = f"{'default/default' if engine else 'slipway/slipway0'}/{outcome.ref}"
        response |= await _provenance(buildkit, outcome.ref, env.get("BUILDX_METADATA_PROVENANCE", ""))
    return response


async def _named_by_digest(buildkit: BuildKit, outputs: Iterable[Output], engine: bool) -> bool:
    """Whether the image is in a containerd image store, which knows it by its digest and not by its config's."""
    if any(isinstance(output, EngineLoad) and output.layout for output in outputs):
        return True
    if not engine or not any(isinstance(output, ImagePush | ImageStore) for output in outputs):
        return False
    return any(_IMAGE_STORE in worker.labels for worker in await buildkit.workers())


async def _provenance(buildkit: BuildKit, ref: str, mode: str) -> dict[str, str]:
    if mode == "disabled" or parse_bool(mode) is False:
        return {}
    try:
        found = await buildkit.provenance(ref, whole=mode == "max")
    except BuilderTooOld:
        return {}
    name = "buildx.build.provenance"
    return {
        f"{name}/{platform}" if platform else name: base64.b64encode(json.dumps(each).encode()).decode()
        for platform, each in found.items()
    }


def as_metadata(response: Mapping[str, str]) -> str:
    """The metadata file: JSON, in which an object or a list of objects that came as base64 stands as what it is."""
    return json.dumps({key: _value(key, text) for key, text in sorted(response.items())}, indent=2)


def _value(key: str, text: str) -> Any:
    try:
        # The answer of a `--call` is not base64.
        value = json.loads(text if key == "result.json" else base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error):
        return text
    is_object = isinstance(value, dict) or (isinstance(value, list) and all(isinstance(each, dict) for each in value))
    return value if value and is_object else text
