"""Load an image into a Docker engine (`docker load`) over its HTTP API.

API: `GET /info`, `POST /images/load` (docs.docker.com/reference/api/engine).
"""

from __future__ import annotations

import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from prefect_slipway.infra.common.docker_config import docker_endpoint
from prefect_slipway.infra.common.tls import trusting
from prefect_slipway.infra.domain.errors import BuilderUnreachable, InvalidOption, OutputError

if TYPE_CHECKING:
    import httpx

_ANSWER_S = 30.0
_CERTIFICATES = ("ca.pem", "cert.pem", "key.pem")


class DockerEngine(NamedTuple):
    """The address of an engine: a socket, or a host and port. `certificates`: a folder with ca.pem, cert.pem, key.pem,
    None without TLS. `verified`: whether the engine's certificate must be signed by the CA."""

    socket: Path | None = None
    host: str = ""
    certificates: Path | None = None
    verified: bool = True

    @classmethod
    def of_docker(cls, env: Mapping[str, str], context: str = "") -> DockerEngine:
        """See `docker_endpoint`. Raises InvalidOption."""
        endpoint = docker_endpoint(env, context)
        return cls.parse(endpoint.address, endpoint.certificates, verified=endpoint.verified)

    @classmethod
    def parse(cls, text: str, certificates: Path | None = None, *, verified: bool = True) -> DockerEngine:
        """`unix:///PATH` or `tcp://HOST:PORT`. Raises InvalidOption."""
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            raise InvalidOption(f"{text!r} is not a Docker engine's address") from None
        if parts.scheme == "unix":
            return cls(socket=Path(parts.path))
        if parts.scheme not in {"tcp", "http", "https"} or not parts.hostname:
            raise InvalidOption(
                f"an image cannot be loaded into the Docker engine at {parts.scheme or text}://…",
                action=(
                    "set DOCKER_HOST to a unix:// or tcp:// address, or write a file: --output type=docker,dest=FILE"
                ),
            )
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        return cls(
            host=f"{host}:{port or (2376 if certificates else 2375)}", certificates=certificates, verified=verified
        )

    def __str__(self) -> str:
        return f"unix://{self.socket}" if self.socket is not None else f"tcp://{self.host}"

    async def keeps_layouts(self) -> bool:
        """Whether it has the containerd image store, which takes OCI layouts and images of several platforms.

        Raises BuilderUnreachable, OutputError, InvalidOption.
        """
        async with self._asked() as client:
            answer = await client.get("/info", timeout=_ANSWER_S)
            if answer.is_error:
                raise self._refused(answer.status_code, answer.text)
            try:
                facts = answer.json()
                return ["driver-type", "io.containerd.snapshotter.v1"] in (facts.get("DriverStatus") or [])
            except (ValueError, AttributeError, TypeError) as error:
                raise OutputError(f"{self} does not answer like a Docker engine") from error

    async def load(self, archive: AsyncIterator[bytes]) -> None:
        """Load an image, like `docker load`. Raises BuilderUnreachable, OutputError, InvalidOption."""
        headers = {"Content-Type": "application/x-tar"}
        async with (
            self._asked() as client,
            client.stream("POST", "/images/load?quiet=1", content=archive, headers=headers) as answer,
        ):
            if answer.is_error:
                raise self._refused(answer.status_code, (await answer.aread()).decode(errors="replace"))
            async for line in answer.aiter_lines():
                with contextlib.suppress(ValueError, AttributeError):
                    if (reason := json.loads(line).get("error")) is not None:
                        raise OutputError(f"the Docker engine at {self} did not accept the image: {reason}")

    @contextlib.asynccontextmanager
    async def _asked(self) -> AsyncIterator[httpx.AsyncClient]:
        # Imported late, so that `slipway build` starts fast.
        import httpx

        tls = self._tls()
        transport = httpx.AsyncHTTPTransport(
            uds=str(self.socket) if self.socket is not None else None, verify=tls if tls is not None else True
        )
        limits = httpx.Timeout(None, connect=_ANSWER_S)
        base = f"{'http' if tls is None else 'https'}://{self.host or 'docker'}"
        try:
            async with httpx.AsyncClient(transport=transport, base_url=base, timeout=limits) as client:
                yield client
        except httpx.HTTPError as error:
            raise BuilderUnreachable(
                f"the Docker engine at {self}, which should receive the image, cannot be reached",
                action="start it, choose another one with DOCKER_HOST, or write a file: --output type=docker,dest=FILE",
            ) from error

    def _tls(self) -> ssl.SSLContext | None:
        if self.certificates is None:
            return None
        ca, cert, key = (file if file.is_file() else None for file in map(self.certificates.joinpath, _CERTIFICATES))
        context = trusting(f"the Docker engine at {self}", ca, cert, key)
        if not self.verified:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    def _refused(self, status: int, body: str) -> OutputError:
        try:
            reason = str(json.loads(body)["message"])
        except (ValueError, LookupError, TypeError):
            reason = f"HTTP {status}"
        return OutputError(f"the Docker engine at {self} refuses the image: {reason}")
