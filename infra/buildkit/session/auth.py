"""Registry credentials for the daemon, which requests them each time it needs some.

Service: session/auth/auth.proto (moby/buildkit). FetchToken is not offered, so the daemon gets bearer tokens itself.
"""

from __future__ import annotations

from prefect_slipway.infra.buildkit.http2.grpc import Code, GrpcError, Handler
from prefect_slipway.infra.buildkit.http2.unary import unary
from prefect_slipway.infra.buildkit.wire.session_pb2 import CredentialsRequest, CredentialsResponse
from prefect_slipway.infra.domain.credentials import CredentialSource
from prefect_slipway.infra.domain.errors import SlipwayError


class Auth:
    """Passes a CredentialSource on. `failure`: what it raised first; `unanswered`: the hosts that it has none for."""

    def __init__(self, credentials: CredentialSource) -> None:
        self._credentials = credentials
        self.failure: SlipwayError | None = None
        self.unanswered: set[str] = set()

    def handlers(self) -> dict[str, Handler]:
        return {"/moby.filesync.v1.Auth/Credentials": unary(CredentialsRequest, self._credential)}

    async def _credential(self, request: CredentialsRequest) -> CredentialsResponse:
        try:
            credential = await self._credentials.credential(request.Host.lower())
        except SlipwayError as error:
            self.failure = self.failure or error
            raise GrpcError(Code.UNAVAILABLE, f"no credentials: {error.name}") from error
        answer = CredentialsResponse()
        if credential is not None:
            answer.Username, answer.Secret = credential.username, credential.password
        else:
            self.unanswered.add(request.Host.lower())
        return answer
