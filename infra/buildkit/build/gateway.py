"""`host-gateway` among a build's hosts: the address that a Docker engine's containers have its machine by.

The engine tells it as a label of its worker (worker/label/label.go in moby/buildkit, set by builder/builder-next in
moby/moby); other daemons tell none, as buildx says for its other drivers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from prefect_slipway.infra.domain.errors import InvalidOption

if TYPE_CHECKING:
    from prefect_slipway.infra.buildkit.build.request import BuildRequest
    from prefect_slipway.infra.buildkit.client import Worker

HOST_GATEWAY = "host-gateway"
_LABEL = "org.mobyproject.buildkit.worker.moby.host-gateway-ip"


def with_gateway(request: BuildRequest, workers: Iterable[Worker], builder: str) -> BuildRequest:
    """The request with addresses alone. Raises InvalidOption when the daemon knows no gateway."""
    told = (worker.labels.get(_LABEL, "") for worker in workers)
    # Go prints an address that there is not as `<nil>`: an engine without a bridge.
    address = next((each for each in told if each and each != "<nil>"), None)
    if address is None:
        raise InvalidOption(
            f"builder {builder}: it tells no address of its host, which {HOST_GATEWAY} stands for",
            action="name the address itself: --add-host NAME:IP",
        )
    hosts = tuple((name, address if place == HOST_GATEWAY else place) for name, place in request.add_hosts)
    return request._replace(add_hosts=hosts)
