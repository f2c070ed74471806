"""Outputs beside the push: written next to their places while the image is built, and moved there once the image in the
registry is verified."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from prefect_slipway.flows.build_options.beside import OPTION, Beside
from prefect_slipway.flows.build_options.places import Places
from prefect_slipway.flows.values.result import VerifiedImage
from prefect_slipway.infra.buildkit.build.outputs import LocalOutput, OciOutput
from prefect_slipway.infra.domain.errors import DigestMismatch, OutputError
from prefect_slipway.infra.registry.model import INDEX_TYPES


class OutputsBeside:
    """A context manager: at its end nothing unverified is left. `texts`: as of a request. Raises InvalidOption for a
    place that is not allowed."""

    def __init__(self, texts: Sequence[str], places: Places) -> None:
        self._wanted = [
            each._replace(dest=places.written(OPTION, each.dest)) for each in (Beside.read(text) for text in texts)
        ]

    def __enter__(self) -> None:
        """Nothing is written before the build."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for each in self._wanted:
            _remove(_partial(each))

    def requested(self, name: str, attributes: Mapping[str, str]) -> tuple[OciOutput | LocalOutput, ...]:
        """What the build writes, without what an earlier try has written. `name`: of the image in the archive;
        `attributes`: those of the push, so that the archive's image is the same. Raises OutputError."""
        for each in self._wanted:
            _remove(_partial(each))
            try:
                each.dest.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise _unwritable(each, error) from error
        return tuple(
            OciOutput(_partial(each), name, attributes=attributes) if each.oci else LocalOutput(_partial(each))
            for each in self._wanted
        )

    def keep(self, image: VerifiedImage) -> None:
        """Move them to their places. Raises DigestMismatch for an archive of another image than the verified one, as
        its platforms tell (the provenance names the place, so the index differs), OutputError."""
        for each in self._wanted:
            written = _partial(each)
            try:
                if each.oci and not set(image.platforms.values()) <= _digests(written):
                    raise DigestMismatch(f"the archive for {each.dest} does not contain the image {image.digest}")
                if each.oci or not each.dest.exists():
                    written.replace(each.dest)
                else:
                    shutil.copytree(written, each.dest, symlinks=True, dirs_exist_ok=True)
            except (OSError, shutil.Error, tarfile.TarError, KeyError, ValueError) as error:
                raise _unwritable(each, error) from error


def _partial(output: Beside) -> Path:
    return output.dest.with_name(f".{output.dest.name}.slipway-partial")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _digests(archive: Path) -> set[str]:
    """The manifests that an OCI layout lists, directly or in an index (image-layout.md, `index.json`)."""
    found: set[str] = set()
    with tarfile.open(archive) as tar:
        waiting = ["index.json"]
        while waiting:
            index = tar.extractfile(waiting.pop())
            assert index is not None, "an index is a file"
            for each in json.load(index)["manifests"]:
                found.add(each["digest"])
                if each["mediaType"] in INDEX_TYPES:
                    waiting.append(f"blobs/{each['digest'].replace(':', '/')}")
    return found


def _unwritable(output: Beside, error: Exception) -> OutputError:
    reason = error.strerror if isinstance(error, OSError) else None
    return OutputError(f"{output.dest} cannot be written: {reason or type(error).__name__}")
