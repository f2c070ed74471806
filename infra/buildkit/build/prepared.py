"""Complete a build request with facts that only the daemon or the receiving engine knows.

`host-gateway` is the address that a Docker engine's containers have its machine by. The engine tells it as a label of
its worker (worker/label/label.go in moby/buildkit, set by builder/builder-next in
moby/moby); other daemons tell none, as buildx says for its other drivers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prefect_slipway.infra.buildkit.build.outputs import EngineLoad, Output
from prefect_slipway.infra.buildkit.build.request import BuildRequest
from prefect_slipway.infra.domain.errors import InvalidOption

HOST_GATEWAY = "host-gateway"
_LABEL = "org.mobyproject.buildkit.worker.moby.host-gateway-ip"


def with_gateway(request: BuildRequest, labels: Iterable[Mapping[str, str]], builder: str) -> BuildRequest:
    """The request with `host-gateway` replaced by an address. `labels`: each worker's. Raises InvalidOption without a
    gateway among them."""
    told = (each.get(_LABEL, "") for each in labels)
    # Go prints an address that there is not as `<nil>`: an engine without a bridge.
    address = next((each for each in told if each and each != "<nil>"), None)
    if address is None:
        raise InvalidOption(
            f"builder {builder} does not report its host's address, which {HOST_GATEWAY} needs",
            action="pass the address itself: --add-host NAME:IP",
        )
    hosts = tuple((name, address if place == HOST_GATEWAY else place) for name, place in request.add_hosts)
    return request._replace(add_hosts=hosts)


async def with_engines(request: BuildRequest) -> BuildRequest:
    """The request completed with the capabilities of the engines that load its images. Raises as `keeps_layouts`."""
    outputs: list[Output] = []
    for output in request.outputs:
        if isinstance(output, EngineLoad) and output.layout is None:
            layout = await output.engine.keeps_layouts()
            if not layout and (len(request.platforms) > 1 or request.attests):
                raise InvalidOption(
                    f"the Docker engine at {output.engine} only accepts images of one platform, without attestations",
                    action="enable its containerd image store, or write a file: --output type=oci,dest=FILE",
                )
            output = output._replace(layout=layout)
        outputs.append(output)
    return request._replace(outputs=tuple(outputs))
