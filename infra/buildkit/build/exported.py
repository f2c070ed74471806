"""Name the images that a build exported to local OCI layouts, whose index.json the client must write.

As the end of `solve` in client/solve.go (moby/buildkit).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from pathlib import Path

from prefect_slipway.infra.buildkit.build.outputs import DockerOutput, OciOutput
from prefect_slipway.infra.buildkit.build.request import BuildRequest
from prefect_slipway.infra.buildkit.files.oci_layout import Layout
from prefect_slipway.infra.domain.errors import BuilderProtocolError, OutputError


def name_exports(request: BuildRequest, response: Mapping[str, str]) -> None:
    """`response`: Solve's ExporterResponse. Raises OutputError, BuilderProtocolError."""
    try:
        for entry in request.cache_exports:
            if entry.type == "local" and (manifest := response.get("cache.manifest")):
                tag = entry.attributes.get("tag", "latest")
                Layout(Path(entry.attributes["dest"])).put(json.loads(manifest), tags=[tag])
        for output in request.outputs:
            if isinstance(output, OciOutput | DockerOutput) and not output.tar and isinstance(output.dest, Path):
                descriptor = json.loads(base64.b64decode(response.get("containerimage.descriptor", "")))
                names = [name for name in response.get("image.name", "").split(",") if name]
                Layout(output.dest).put(descriptor, names=names, tags=[] if names else ["latest"])
    except OSError as error:
        raise OutputError(f"{error.filename} cannot be written: {error.strerror}") from error
    except (ValueError, binascii.Error) as error:
        raise BuilderProtocolError("the daemon's descriptor of what it exported cannot be read") from error
