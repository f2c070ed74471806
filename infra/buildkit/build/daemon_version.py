"""Tell of features that an old daemon silently ignores.

Most of what a daemon lacks it refuses; attributes of exporters that it does not know it passes over.
"""

from __future__ import annotations

import re

from prefect_slipway.infra.buildkit.build.events import Warned
from prefect_slipway.infra.buildkit.build.outputs import ImagePush, LocalOutput, TarOutput
from prefect_slipway.infra.buildkit.build.request import BuildRequest
from prefect_slipway.infra.domain.options import parse_bool


def wants_file_times(request: BuildRequest) -> bool:
    """Whether an image's files are to bear `source_date_epoch`."""
    return any(
        (isinstance(output, ImagePush) and output.rewrite_timestamp)
        or parse_bool(output.attributes.get("rewrite-timestamp", ""))
        for output in request.outputs
        if not isinstance(output, LocalOutput | TarOutput)
    )


def no_file_times(version: str) -> Warned | None:
    """The warning that a daemon of `version` (`v0.12.5`; one without a version counts as new) does not set them."""
    if not _older(version, (0, 13)):
        return None
    return Warned(
        "",
        f"the builder's BuildKit {version} cannot set the times of files in layers (v0.13 can): "
        "building this again gives a different digest",
    )


def no_attestations(version: str) -> bool:
    """Whether a daemon of this version makes images without any, whatever it is asked for (v0.11 made the first)."""
    return _older(version, (0, 11))


def no_source_policy(version: str) -> bool:
    """Whether a daemon of this version passes over a source policy (v0.11 has applied the first)."""
    return _older(version, (0, 11))


def _older(version: str, than: tuple[int, int]) -> bool:
    match = re.match(r"v?(\d+)\.(\d+)\.", version)
    return match is not None and (0, 0) < (int(match[1]), int(match[2])) < than
