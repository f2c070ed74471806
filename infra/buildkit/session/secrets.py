"""Secrets that RUN steps mount (`RUN --mount=type=secret`), read at the time the daemon asks for them.

Service: session/secrets/secrets.proto (moby/buildkit); a daemon takes NOT_FOUND as "there is none", which only a mount
that is `required` minds. Limit: session/secrets/secretsprovider/secretsprovider.go.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from prefect_slipway.infra.buildkit.http2.grpc import Code, GrpcError, Handler
from prefect_slipway.infra.buildkit.http2.unary import unary
from prefect_slipway.infra.buildkit.session.sources import SecretCall, SecretEnv, SecretFile, SecretSource
from prefect_slipway.infra.buildkit.wire.secrets_pb2 import GetSecretRequest, GetSecretResponse
from prefect_slipway.infra.common.tasks import in_thread
from prefect_slipway.infra.domain.errors import InvalidOption, SlipwayError

MAX_SECRET = 500 * 1024


class Secrets:
    """Serves secrets by id. `failure`: why one that was offered could not be served. `served`: the values that the
    daemon was given, so that they can be masked in what it reports.

    Raises InvalidOption for a source that does not exist or is too large, before the build begins.
    """

    def __init__(self, sources: Mapping[str, SecretSource]) -> None:
        for name, source in sources.items():
            _check(name, source)
        self._sources = sources
        self.failure: SlipwayError | None = None
        self.served: set[bytes] = set()

    def handlers(self) -> dict[str, Handler]:
        return {"/moby.buildkit.secrets.v1.Secrets/GetSecret": unary(GetSecretRequest, self._secret)}

    async def _secret(self, request: GetSecretRequest) -> GetSecretResponse:
        source = self._sources.get(request.ID)
        if source is None:
            raise GrpcError(Code.NOT_FOUND, f"secret {request.ID} was not given")
        try:
            if isinstance(source, SecretCall):
                data = await source.read()
            elif isinstance(source, SecretEnv):
                data = os.environb[os.fsencode(source.name)]
            else:
                data = await in_thread(source.path.read_bytes)
        except SlipwayError as error:
            self.failure = self.failure or error
            raise GrpcError(Code.INTERNAL, f"secret {request.ID} cannot be read") from error
        except (OSError, KeyError) as error:
            assert not isinstance(source, SecretCall), "it raises SlipwayErrors"
            self.failure = self.failure or _gone(request.ID, source)
            raise GrpcError(Code.INTERNAL, f"secret {request.ID} cannot be read") from error
        if len(data) > MAX_SECRET:
            self.failure = self.failure or _too_large(request.ID)
            raise GrpcError(Code.INVALID_ARGUMENT, f"secret {request.ID} is too large")
        self.served.add(data)
        return GetSecretResponse(data=data)


def _check(name: str, source: SecretSource) -> None:
    if isinstance(source, SecretCall):
        return
    if isinstance(source, SecretEnv):
        there, size = source.name in os.environ, 0
    else:
        try:
            there, size = source.path.exists(), source.path.stat().st_size
        except OSError:
            there, size = False, 0
    if not there:
        raise _gone(name, source)
    if size > MAX_SECRET:
        raise _too_large(name)


def _gone(name: str, source: SecretFile | SecretEnv) -> InvalidOption:
    what = f"file {source.path}" if isinstance(source, SecretFile) else f"environment variable {source.name}"
    return InvalidOption(f"the secret {name!r} cannot be read: {what} does not exist")


def _too_large(name: str) -> InvalidOption:
    return InvalidOption(f"the secret {name!r} is larger than {MAX_SECRET // 1024} KiB, BuildKit's limit")
