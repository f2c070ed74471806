"""The client: one connection to a daemon, and builds on it."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

from prefect_slipway.infra.buildkit.address import BuilderAddress
from prefect_slipway.infra.buildkit.build.attachables import (
    all_delivered,
    attachables,
    finish_outputs,
    masking,
    was_asked,
)
from prefect_slipway.infra.buildkit.build.conversation import CONTROL, Conversation
from prefect_slipway.infra.buildkit.build.events import BuildEvent
from prefect_slipway.infra.buildkit.build.exported import name_exports
from prefect_slipway.infra.buildkit.build.outputs import EngineLoad
from prefect_slipway.infra.buildkit.build.record import BuildRecord
from prefect_slipway.infra.buildkit.build.request import BuildOutcome, BuildRequest
from prefect_slipway.infra.buildkit.build.solve import solve_request
from prefect_slipway.infra.buildkit.http2.connection import Keepalive
from prefect_slipway.infra.buildkit.http2.grpc import GrpcClient, GrpcError, M, Message
from prefect_slipway.infra.buildkit.http2.stream import ConnectionLost, ProtocolViolation
from prefect_slipway.infra.buildkit.http2.transport import open_stream
from prefect_slipway.infra.buildkit.session.tunnel import Attachable, Session
from prefect_slipway.infra.buildkit.wire.control_pb2 import (
    BuildHistoryEvent,
    BuildHistoryRequest,
    DiskUsageRequest,
    DiskUsageResponse,
    InfoRequest,
    InfoResponse,
    ListWorkersRequest,
    ListWorkersResponse,
    PruneRequest,
    SolveRequest,
    SolveResponse,
    UsageRecord,
)
from prefect_slipway.infra.common.tasks import in_thread
from prefect_slipway.infra.domain.credentials import Anonymous, CredentialSource
from prefect_slipway.infra.domain.errors import BuilderConflict, BuilderError, BuilderProtocolError, BuilderTooOld

if TYPE_CHECKING:
    from prefect_slipway.infra.buildkit.build.bridge import Bridge
    from prefect_slipway.infra.buildkit.housekeeping import CacheRecord, RecordedBuild
    from prefect_slipway.infra.buildkit.session.source_policy import SourceCheck
    from prefect_slipway.infra.domain.source_policy import SourcePolicy

T = TypeVar("T")

# What not every build needs is imported where it is used: `slipway build` is to start fast.


_CONTENT = "/containerd.services.content.v1.Content"


class BuilderInfo(NamedTuple):
    """A daemon's version (such as `v0.13.2`) and revision."""

    version: str
    revision: str


class Worker(NamedTuple):
    """A worker of the daemon, which runs steps. `platforms`: what it can run, `os/arch[/variant]`, its own first."""

    id: str
    platforms: tuple[str, ...]
    labels: dict[str, str]


class BuildKit:
    """A BuildKit daemon; an async context manager that opens and closes the connection.

    `connect_timeout_s`: seconds until an address that does not answer is given up. `keepalive`: when a silent
    connection counts as lost. `cancel_timeout_s`: seconds a cancelled build waits for the daemon to be done with it.
    """

    def __init__(
        self,
        address: BuilderAddress,
        *,
        connect_timeout_s: float = 10.0,
        keepalive: Keepalive | None = None,
        cancel_timeout_s: float = 15.0,
    ) -> None:
        self._address = address
        self._connect_timeout_s = connect_timeout_s
        self._keepalive = keepalive or Keepalive()
        self._cancel_timeout_s = cancel_timeout_s
        self._client: GrpcClient | None = None

    async def __aenter__(self) -> Self:
        """Connect. Raises BuilderUnreachable, BuilderTlsError, BuilderProtocolError or InvalidOption."""
        stream = await open_stream(self._address, timeout_s=self._connect_timeout_s)
        self._client = GrpcClient(stream, keepalive=self._keepalive)
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._client is not None:
            client, self._client = self._client, None
            await client.__aexit__(*exc)

    async def info(self) -> BuilderInfo:
        """Version and revision. Raises a BuilderError."""
        answer = await self._ask("Info", InfoRequest(), InfoResponse)
        return BuilderInfo(answer.buildkitVersion.version, answer.buildkitVersion.revision)

    async def workers(self) -> list[Worker]:
        """All workers. Raises a BuilderError."""
        answer = await self._ask("ListWorkers", ListWorkersRequest(), ListWorkersResponse)
        return [
            Worker(
                id=record.ID,
                platforms=tuple(
                    "/".join(part for part in (p.OS, p.Architecture, p.Variant) if part) for p in record.platforms
                ),
                labels=dict(record.Labels),
            )
            for record in answer.record
        ]

    async def disk_usage(self, filters: Sequence[str] = ()) -> list[CacheRecord]:
        """What the daemon's cache consists of. `filters`: containerd's syntax (`type==regular`), one of them must
        match. Raises a BuilderError."""
        from prefect_slipway.infra.buildkit.housekeeping import CacheRecord

        answer = await self._ask("DiskUsage", DiskUsageRequest(filter=filters), DiskUsageResponse)
        return [CacheRecord.of(record) for record in answer.record]

    async def prune(self, filters: Sequence[str] = (), *, everything: bool = False) -> AsyncIterator[CacheRecord]:
        """Remove what is not in use from the cache, and give what was removed as it goes. `filters`: as of
        `disk_usage`. `everything`: internal and frontend's records as well. Raises a BuilderError."""
        from prefect_slipway.infra.buildkit.housekeeping import CacheRecord

        async for record in self._ask_many("Prune", PruneRequest(filter=filters, all=everything), UsageRecord):
            yield CacheRecord.of(record)

    async def history(self) -> AsyncIterator[RecordedBuild]:
        """Builds that the daemon remembers, and those that run. Raises a BuilderError, BuilderTooOld before v0.11."""
        from prefect_slipway.infra.buildkit.housekeeping import RecordedBuild

        request = BuildHistoryRequest(EarlyExit=True)
        async for event in self._ask_many("ListenBuildHistory", request, BuildHistoryEvent):
            yield RecordedBuild.of(event.record)

    async def provenance(self, ref: str, *, whole: bool = False) -> dict[str, dict[str, Any]]:
        """The daemon's provenance of a build, by platform ("" where there was one result), as SLSA v0.2.
        `whole`: with each step. Empty if it keeps none (before v0.11). Raises a BuilderError."""
        from prefect_slipway.infra.buildkit.build.provenance import as_slsa_02, provenances

        found = {}
        request = BuildHistoryRequest(Ref=ref, EarlyExit=True)
        async for event in self._ask_many("ListenBuildHistory", request, BuildHistoryEvent):
            for platform, digest, predicate in provenances(event.record):
                try:
                    found[platform] = as_slsa_02(await self._blob(digest), predicate, whole=whole)
                except (ValueError, LookupError, TypeError) as error:
                    raise BuilderProtocolError(
                        f"builder {self._address}: the provenance of {ref} cannot be read"
                    ) from error
        return found

    async def build(
        self,
        request: BuildRequest,
        credentials: CredentialSource,
        on_event: Callable[[BuildEvent], None] = lambda _: None,
        *,
        traceparent: str | None = None,
    ) -> BuildOutcome:
        """Build. All events have been given to `on_event` when this returns or raises.

        `traceparent`: the caller's trace (W3C Trace Context), which a daemon that traces joins.
        `credentials` is asked each time the daemon needs some. When this is cancelled, the build on the daemon is, and
        `CancelledError` is raised once the daemon has ended it (or `cancel_timeout_s` later).
        Raises a BuildError, BuilderError, RegistryError, InvalidOption or what `credentials` raises.
        """
        request = await self._prepared(request)
        await self._check_version(request, on_event)
        await self._check_policy_session(request)
        offered = attachables(request, credentials)
        session = Session(offered, name="slipway", shared_key=_shared_key(request))
        solve = solve_request(request, os.urandom(16).hex(), session.id, engine=self._address.kind == "docker")
        record = BuildRecord(on_event)
        metadata = [("traceparent", traceparent)] if traceparent is not None else []

        async def work() -> Mapping[str, str]:
            answer = await self._connected().unary(f"{CONTROL}/Solve", solve, SolveResponse, metadata)
            return answer.ExporterResponse

        response = await self._converse(request, record, offered, solve.Ref, session, work)
        if request.source_check is not None and not was_asked(offered):
            raise self._asks_no_policy()
        if not all_delivered(request, offered, response):
            raise BuilderTooOld(
                f"builder {self._address} did not deliver all outputs",
                action="use BuildKit 0.13 or newer, or build once for each output",
            )
        if request.outputs:
            await in_thread(partial(finish_outputs, offered))
        await in_thread(partial(name_exports, request, response))
        return BuildOutcome(
            digest=response.get("containerimage.digest", ""),
            steps=record.total_steps,
            cached_steps=record.cached_steps,
            response=dict(response),
            ref=solve.Ref,
        )

    async def asks_policies(self) -> bool:
        """Whether the daemon asks a build's session about its sources (v0.26 and newer). Raises a BuilderError."""
        session = Session([], name="slipway", shared_key="")
        solve = SolveRequest(Ref=os.urandom(16).hex(), Session=session.id)
        nothing = BuildRequest(context=Path())
        found = await self._bridged(nothing, solve, session, [], lambda _: None, lambda bridge: bridge.capabilities())
        return "source.policy.session" in found

    async def ask(
        self,
        question: str,
        request: BuildRequest,
        credentials: CredentialSource,
        on_event: Callable[[BuildEvent], None] = lambda _: None,
    ) -> dict[str, bytes]:
        """Ask the Dockerfile's frontend a question, without a build. `question`: `lint`, `outline`, `targets` ...
        (frontend/subrequests in moby/buildkit): `result.json`, `result.txt`, `result.statuscode`.

        Raises as `build`, BuilderTooOld for a question that the frontend does not know.
        """
        request = await self._prepared(request._replace(outputs=()))
        await self._check_version(request, on_event)
        await self._check_policy_session(request)
        offered = attachables(request, credentials)
        session = Session(offered, name="slipway", shared_key=_shared_key(request))
        solve = solve_request(request, os.urandom(16).hex(), session.id, engine=self._address.kind == "docker")
        options = {
            **solve.FrontendAttrs,
            "requestid": f"frontend.{question}",
            "frontend.caps": "moby.buildkit.frontend.subrequests+forward",
        }
        return await self._bridged(request, solve, session, offered, on_event, lambda bridge: bridge.ask(options))

    async def fetch(
        self,
        url: str,
        on_event: Callable[[BuildEvent], None] = lambda _: None,
        *,
        source_policy: SourcePolicy | None = None,
        source_check: SourceCheck | None = None,
    ) -> bytes:
        """A Dockerfile that the daemon downloads. Raises as `build`."""
        request = BuildRequest(context=url, source_policy=source_policy, source_check=source_check)
        await self._check_version(request, on_event)
        await self._check_policy_session(request)
        offered = attachables(request, Anonymous())
        session = Session(offered, name="slipway", shared_key="")
        solve = solve_request(request, os.urandom(16).hex(), session.id)
        return await self._bridged(request, solve, session, offered, on_event, lambda bridge: bridge.fetch(url))

    async def _bridged(
        self,
        request: BuildRequest,
        solve: SolveRequest,
        session: Session,
        offered: Sequence[Attachable],
        on_event: Callable[[BuildEvent], None],
        question: Callable[[Bridge], Awaitable[T]],
    ) -> T:
        """A Solve whose frontend is this process, for one question."""
        from prefect_slipway.infra.buildkit.build.bridge import answered

        solve.Frontend, solve.Internal = "", True
        solve.FrontendAttrs.clear()

        return await self._converse(
            *(request, BuildRecord(on_event), offered, solve.Ref, session),
            lambda: answered(self._connected(), solve, question),
        )

    async def _prepared(self, request: BuildRequest) -> BuildRequest:
        """The request with what only the daemon, or another engine, can tell. Raises InvalidOption, a BuilderError."""
        if any(address == "host-gateway" for _, address in request.add_hosts):
            from prefect_slipway.infra.buildkit.build.prepared import with_gateway

            request = with_gateway(request, [worker.labels for worker in await self.workers()], str(self._address))
        if any(isinstance(output, EngineLoad) for output in request.outputs):
            from prefect_slipway.infra.buildkit.build.prepared import with_engines

            request = await with_engines(request)
        return request

    async def _check_policy_session(self, request: BuildRequest) -> None:
        """Raises BuilderTooOld for a policy that the daemon would not ask."""
        if request.source_check is not None and not await self.asks_policies():
            raise self._asks_no_policy()

    def _asks_no_policy(self) -> BuilderTooOld:
        return BuilderTooOld(
            f"builder {self._address} does not ask a source policy in Rego",
            action="use BuildKit 0.26 or newer, or a source policy in BuildKit's JSON",
        )

    async def _check_version(self, request: BuildRequest, on_event: Callable[[BuildEvent], None]) -> None:
        """Tell what an old daemon would leave out. Raises BuilderTooOld for what must not be: attestations, a source
        policy."""
        leaves_out = request.outputs and (request.source_date_epoch is not None or request.required_attests)
        if not leaves_out and request.source_policy is None:
            return
        from prefect_slipway.infra.buildkit.build.daemon_version import (
            no_attestations,
            no_file_times,
            no_source_policy,
            wants_file_times,
        )

        version = (await self.info()).version
        if request.source_policy is not None and not request.source_policy.is_rego and no_source_policy(version):
            raise BuilderTooOld(
                f"builder {self._address} (BuildKit {version}) does not apply source policies",
                action="use BuildKit 0.11 or newer",
            )
        if request.outputs and request.required_attests and no_attestations(version):
            kinds = " or ".join(sorted(request.required_attests))
            raise BuilderTooOld(
                f"builder {self._address} (BuildKit {version}) cannot attach {kinds} to an image",
                action="use BuildKit 0.11 or newer, or do not ask for attestations",
            )
        if not request.outputs or request.source_date_epoch is None or not wants_file_times(request):
            return
        if (warning := no_file_times(version)) is not None:
            on_event(warning)

    async def _blob(self, digest: str) -> bytes:
        """Something in the daemon's content store."""
        from prefect_slipway.infra.buildkit.wire.content_pb2 import ReadContentRequest, ReadContentResponse

        request = ReadContentRequest(digest=digest)
        return b"".join(
            [answer.data async for answer in self._ask_many("Read", request, ReadContentResponse, _CONTENT)]
        )

    async def _ask(self, method: str, request: Message, response: Callable[[], M]) -> M:
        try:
            return await self._connected().unary(f"{CONTROL}/{method}", request, response)
        except (GrpcError, ConnectionLost, ProtocolViolation) as error:
            from prefect_slipway.infra.buildkit.build.errors import call_error

            raise call_error(error, self._address) from error

    async def _ask_many(
        self, method: str, request: Message, response: Callable[[], M], service: str = CONTROL
    ) -> AsyncIterator[M]:
        try:
            async for answer in self._connected().stream(f"{service}/{method}", request, response):
                yield answer
        except (GrpcError, ConnectionLost, ProtocolViolation) as error:
            from prefect_slipway.infra.buildkit.build.errors import call_error

            raise call_error(error, self._address) from error

    async def _converse(
        self,
        request: BuildRequest,
        record: BuildRecord,
        offered: Sequence[Attachable],
        ref: str,
        session: Session,
        work: Callable[[], Awaitable[T]],
    ) -> T:
        """As `Conversation.run`. A broken record of the cache is pruned, so that the next build makes it again; some
        daemons never let go of the one that a step was to be built upon (seen with Docker 26)."""
        conversation = Conversation(
            self._connected(),
            self._address,
            request,
            record,
            offered,
            self._cancel_timeout_s,
            masking(request, offered),
        )
        try:
            return await conversation.run(ref, session, work)
        except BuilderConflict as conflict:
            with suppress(BuilderError):
                # As containerd's filters are written, in quotes: an id may have any sign.
                found = [each async for each in self.prune([f"id=={json.dumps(conflict.record)}"])]
                conflict.pruned = bool(found)
            raise

    def _connected(self) -> GrpcClient:
        if self._client is None:
            raise RuntimeError("BuildKit is used outside of its `async with` block")
        return self._client


def _shared_key(request: BuildRequest) -> str:
    if not isinstance(request.context, Path):
        return ""
    return hashlib.sha256(
        f"{socket.gethostname()}:{request.context.resolve()}".encode(errors="surrogateescape")
    ).hexdigest()
