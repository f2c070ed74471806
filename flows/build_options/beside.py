"""Outputs of a release beside its push: an image archive, or the files of the image."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.options import attributes, csv_line

OPTION = "--output"


class Beside(NamedTuple):
    """`oci`: `dest` is a tar archive with an OCI layout. Otherwise it is a directory for the files."""

    oci: bool
    dest: Path

    @classmethod
    def read(cls, text: str) -> Beside:
        """`type=oci,dest=FILE` or `type=local,dest=DIRECTORY`. Raises InvalidOption."""
        if text in {"json", "text"}:
            raise InvalidOption(
                f"{OPTION} says where to write the image", action=f"print the result with --format {text}"
            )
        values = attributes(OPTION, text)
        kind, dest = values.pop("type", ""), values.pop("dest", "")
        if kind not in {"oci", "local"} or not dest or values:
            raise InvalidOption(
                f"{OPTION} {text!r} is neither type=oci,dest=FILE nor type=local,dest=DIRECTORY",
                action="write one of the two; the image is pushed in any case",
            )
        return cls(kind == "oci", Path(dest))

    def __str__(self) -> str:
        return csv_line([f"type={'oci' if self.oci else 'local'}", f"dest={self.dest}"])
