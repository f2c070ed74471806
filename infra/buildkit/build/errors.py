"""Convert a daemon's errors to named causes, in one place.

A call's gRPC status goes through CALL_ERRORS. A failed Solve almost always has the status UNKNOWN: its typed details
and the shape of its message decide, first match first, in `_RULES`.
"""

from __future__ import annotations

import re
import signal
import ssl
from collections.abc import Callable, Collection
from dataclasses import dataclass

from prefect_slipway.infra.buildkit.address import BuilderAddress
from prefect_slipway.infra.buildkit.build.error_details import SolveDetails
from prefect_slipway.infra.buildkit.build.outputs import ImagePush
from prefect_slipway.infra.buildkit.build.record import BuildRecord
from prefect_slipway.infra.buildkit.build.registry_errors import PLAIN_HTTP, registry_error
from prefect_slipway.infra.buildkit.build.request import BuildRequest
from prefect_slipway.infra.buildkit.build.scrub import scrub
from prefect_slipway.infra.buildkit.build.source_policy import source_denied
from prefect_slipway.infra.buildkit.http2.grpc import Code, GrpcError
from prefect_slipway.infra.buildkit.http2.stream import ConnectionLost, ProtocolViolation, StreamReset
from prefect_slipway.infra.domain import errors
from prefect_slipway.infra.domain.registry_status import NO_CREDENTIALS

CALL_ERRORS: dict[Code, type[errors.BuilderError]] = {
    Code.CANCELLED: errors.BuilderLost,
    Code.UNKNOWN: errors.BuilderError,
    Code.INVALID_ARGUMENT: errors.BuilderProtocolError,
    Code.DEADLINE_EXCEEDED: errors.BuilderLost,
    Code.NOT_FOUND: errors.BuilderProtocolError,
    Code.ALREADY_EXISTS: errors.BuilderProtocolError,
    Code.PERMISSION_DENIED: errors.BuilderError,
    Code.RESOURCE_EXHAUSTED: errors.BuilderError,
    Code.FAILED_PRECONDITION: errors.BuilderError,
    Code.ABORTED: errors.BuilderLost,
    Code.OUT_OF_RANGE: errors.BuilderProtocolError,
    Code.UNIMPLEMENTED: errors.BuilderTooOld,
    Code.INTERNAL: errors.BuilderError,
    Code.UNAVAILABLE: errors.BuilderLost,
    Code.DATA_LOSS: errors.BuilderLost,
    Code.UNAUTHENTICATED: errors.BuilderError,
}

_PUSH = re.compile(r"failed to push (?P<name>\S+): ")
_DISK_FULL = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
# The snapshot of a cached step is gone when it is committed (cache/refs.go, `finalize`) or mounted: another build
# finished the same step, or one was cancelled while the daemon committed it (seen with Docker 26). The step's record
# stays in the cache, and every build that meets it fails, until it is pruned.
_CONFLICT = re.compile(
    r"failed to commit (?P<record>\S+) to \S+ during finalize: .*(?:does not exist|already exists)"
    r"|\bsnapshot (?P<mounted>[a-z0-9]{25}) does not exist: not found$"
)
# executor/runcexecutor/executor_linux.go, detectOOM: where the step has a cgroup (v2) of its own.
_NO_MEMORY = re.compile(r"did not complete successfully: cannot allocate memory")
_NO_DOCKERFILE = re.compile(r"failed to read dockerfile: open (?P<name>\S+): no such file")
_BASE_IMAGE = re.compile(r"failed to (?:resolve source metadata for|load metadata for|pull) (?P<name>[^\s:]+\S*?): ")
# Before v0.13 (frontend/dockerfile/dockerfile2llb/convert.go): the name as it was written, and the registry's refusal.
_OLD_BASE_IMAGE = re.compile(r"(?P<name>[\w.][\w./:@-]*): ")
_BAD_DOCKERFILE = re.compile(
    r"dockerfile parse error|Dockerfile cannot be empty|failed to parse stage name"
    r"|target stage .* could not be found|failed to process .*: |circular dependency"
)
_BAD_OPTION = re.compile(
    r"failed to parse target platform|unknown operating system or architecture"
    r"|could not find .* cache (?:im|ex)porter|invalid (?:network mode|value)|entitlement|is not allowed"
)
_NO_SECRET = re.compile(r"\bsecret (?P<name>\S+): not found")
_NO_AGENT = re.compile(r"no SSH key \"(?P<name>[^\"]*)\" forwarded|unset ssh forward key (?P<other>\S+)")
_NO_EXPORTER = re.compile(r"exporter \"?(?P<name>[\w.-]+)\"? could not be found")
_NO_CACHE = re.compile(r"unknown cache (?:im|ex)porter: \"?(?P<name>[\w.-]+)")
_NO_ANSWER = re.compile(r"unsupported request frontend\.(?P<name>[\w.]+)")
# What to do about a step that failed without a process of its own that did; a later one is more general.
_HINTS = tuple(
    (re.compile(pattern), action)
    for pattern, action in (
        (
            # A scanner for an SBOM always runs in the default network (frontend/attestations/sbom).
            r"network bridge not found",
            "this engine has no bridge network: build with --network host or none; for an SBOM use another builder",
        ),
        (r"invalid response status \d+", "check the URL: its server answered with that status"),
        (r"digest mismatch", "the file's checksum is not the one in the Dockerfile: check both"),
        (
            r"does not contain ref|failed to fetch remote|git (?:error|stderr)|default branch for repository",
            "check the repository's address and its branch, tag or commit; a private repository needs credentials",
        ),
        (
            r"unable to find (?:user|group)|uids and gids must be|invalid (?:user|group) index",
            "use a user from the image's /etc/passwd, or a number from 0 to 2147483647",
        ),
        (
            r"dial tcp|no such host|i/o timeout|x509: |tls: ",
            "the builder cannot reach that address: check the address, and the builder's network and proxies",
        ),
        (
            r"failed to calculate checksum of ref",
            "check the file's name; it may be missing from the source or hidden by .dockerignore",
        ),
        (
            r"lstat .*: no such file",
            "check the file's name: the stage or image that it is copied from does not contain it",
        ),
    )
)
_SESSION_LOST = re.compile(
    r"no active session|session healthcheck|context canceled|transport is closing|is shutting down"
)


@dataclass(frozen=True, slots=True)
class _Failure:
    """A failed Solve, with all that its rules look at. `anonymous`: the registries that there was no credential for."""

    error: GrpcError
    details: SolveDetails
    request: BuildRequest
    record: BuildRecord
    address: BuilderAddress
    anonymous: Collection[str]

    @property
    def message(self) -> str:
        return self.error.message


def call_error(error: Exception, address: BuilderAddress) -> errors.BuilderError:
    """The cause for a call that failed other than by its build (a GrpcError or an exception of `http2`)."""
    if isinstance(error, GrpcError):
        kind = CALL_ERRORS.get(error.code, errors.BuilderError)
        return kind(f"builder {address}: {error.code.name.lower().replace('_', ' ')}: {scrub(error.message)}")
    if isinstance(error, ProtocolViolation):
        return errors.BuilderProtocolError(f"builder {address}: {error}")
    if isinstance(error.__cause__, ssl.SSLError):
        # TLS 1.3 servers refuse a client's certificate only after the handshake.
        reason = (error.__cause__.reason or "no reason given").lower().replace("_", " ")
        return errors.BuilderTlsError(f"builder {address}: the TLS connection was refused ({reason})")
    if isinstance(error, ConnectionLost) and error.mute and address.tls is not None:
        return errors.BuilderTlsError(
            f"builder {address}: the connection ended right after the TLS handshake",
            action="check the client certificate: the builder may require one, or a different one",
        )
    return errors.BuilderLost(f"builder {address}: {error}")


def build_error(
    error: BaseException,
    address: BuilderAddress,
    request: BuildRequest,
    record: BuildRecord,
    anonymous: Collection[str] = (),
) -> BaseException:
    """The cause of a build that failed with `error`; errors that are not the daemon's are returned as they are.

    `anonymous`: the registries that the daemon asked a credential for in vain.
    """
    if isinstance(error, ConnectionLost | ProtocolViolation | StreamReset):
        return call_error(error, address)
    if not isinstance(error, GrpcError):
        return error
    failure = _Failure(error, SolveDetails.of(error), request, record, address, anonymous)
    for rule in _RULES:
        if (cause := rule(failure)) is not None:
            return cause
    if error.code is Code.UNKNOWN:
        return errors.BuildError(f"the build failed: {scrub(error.message)}", details=failure.details.excerpt)
    return call_error(error, address)


def _push_failed(failure: _Failure) -> errors.SlipwayError | None:
    match = _PUSH.search(failure.message)
    if match is None or not any(isinstance(output, ImagePush) for output in failure.request.outputs):
        return None
    # The daemon names it in full, with its registry.
    registry, _, rest = match["name"].partition("/")
    error = registry_error(registry, f"pushing {rest}", failure.message[match.end() :])
    error.action = _asks_for_login(failure, error, registry) or error.action
    return error


def _asks_for_login(failure: _Failure, error: errors.RegistryError, registry: str) -> str | None:
    """What to do where a registry refused who came without a credential."""
    if not isinstance(error, errors.RegistryUnauthorized | errors.RegistryForbidden):
        return None
    # The daemon asks for Docker Hub's by the name of its API's host.
    asked = registry in failure.anonymous or (
        registry == "docker.io" and any(host.endswith("docker.io") for host in failure.anonymous)
    )
    return NO_CREDENTIALS.format(host=registry) if asked else None


def _disk_full(failure: _Failure) -> errors.SlipwayError | None:
    step = failure.record.failed_step(failure.details.vertex)
    lines = failure.record.last_lines(step) if step is not None else ""
    if not _DISK_FULL.search(failure.message) and not (step is not None and _DISK_FULL.search(lines)):
        return None
    where = f" in step {step.name!r}" if step is not None else ""
    return errors.BuilderDiskFull(f"builder {failure.address}: no space left on its disk{where}", details=lines)


def _met_in_the_cache(failure: _Failure) -> errors.SlipwayError | None:
    if (match := _CONFLICT.search(failure.message)) is None:
        return None
    return errors.BuilderConflict(
        f"builder {failure.address}: its cache lost a step's result: {scrub(failure.message)}",
        record=match["record"] or match["mounted"],
    )


def _process_failed(failure: _Failure) -> errors.SlipwayError | None:
    if failure.details.exit_code is None:
        return None
    code = failure.details.exit_code
    step = failure.record.failed_step(failure.details.vertex)
    name = step.name if step is not None else "RUN"
    lines = failure.record.last_lines(step) if step is not None else ""
    details = "\n".join(part for part in (lines, failure.details.excerpt) if part)
    if _NO_MEMORY.search(failure.message):
        text = f"step {name!r} was killed because memory ran out (exit code {code})"
        return errors.StepOutOfMemory(text, step=name, status=code, details=details)
    killed = "the process was killed by the system (out of memory) or by something in the step"
    return errors.StepFailed(
        f"step {name!r} failed with exit code {code}",
        step=name,
        status=code,
        details=details,
        action=killed if code == 128 + signal.SIGKILL else None,
    )


def _dockerfile_missing(failure: _Failure) -> errors.SlipwayError | None:
    if (match := _NO_DOCKERFILE.search(failure.message)) is None:
        return None
    return errors.DockerfileMissing(f"the source has no {match['name']} (or .dockerignore excludes it)")


def _source_denied(failure: _Failure) -> errors.SlipwayError | None:
    return source_denied(failure.message, failure.request, failure.details)


def _base_image(failure: _Failure) -> errors.SlipwayError | None:
    match, old = _BASE_IMAGE.search(failure.message), False
    if match is None and failure.details.excerpt and failure.details.vertex is None:
        match, old = _OLD_BASE_IMAGE.match(failure.message), True
    if match is None:
        return None
    name, rest, action = match["name"], failure.message[match.end() :], None
    if re.search(r"not found\s*$", rest):
        reason = "not found"
    else:
        # Today's daemon names it in full.
        registry, slash, _ = name.partition("/")
        if old and not (slash and re.search(r"[.:]|^localhost$", registry)):
            registry = "docker.io"
        error = registry_error(registry, "asking for its manifest", rest)
        if old and isinstance(error, errors.RegistryProtocolError):
            return None
        reason = error.cause
        action = _asks_for_login(failure, error, registry)
        if isinstance(
            error,
            errors.RegistryUnreachable | errors.RegistryUnavailable | errors.RegistryThrottled | errors.UploadBroken,
        ):
            action = error.action  # nothing about the image
        if isinstance(error, errors.RegistryTlsError):
            action = f'give the builder the CA of {registry} ([registry."{registry}"] ca in buildkitd.toml)'
        if PLAIN_HTTP in reason:
            action = _plain_http(failure.address, registry)
    return errors.BaseImageUnavailable(
        f"the image {name} cannot be pulled: {reason}", details=failure.details.excerpt, action=action
    )


def _plain_http(address: BuilderAddress, registry: str) -> str:
    """How a builder is told to speak plain HTTP with a registry: the build itself cannot tell it."""
    cluster = f"--builder kubernetes --builder-option plain_http={registry}"
    if address.kind == "docker":
        return (
            f"add {registry} to the insecure-registries in the Docker engine's daemon.json; the embedded engine "
            f"has none: build with {cluster}"
        )
    return f'set `http = true` in [registry."{registry}"] in the builder\'s buildkitd.toml, or build with {cluster}'


def _dockerfile_invalid(failure: _Failure) -> errors.SlipwayError | None:
    blamed = failure.details.excerpt and failure.details.vertex is None
    if not blamed and not _BAD_DOCKERFILE.search(failure.message):
        return None
    action = None if failure.details.excerpt else "fix the Dockerfile"
    return errors.DockerfileInvalid(scrub(failure.message), details=failure.details.excerpt, action=action)


def _option_refused(failure: _Failure) -> errors.SlipwayError | None:
    if failure.details.vertex is not None or not _BAD_OPTION.search(failure.message):
        return None
    return errors.InvalidOption(
        f"the builder refuses the request: {scrub(failure.message)}",
        action="change the option, or allow it in the daemon's configuration",
    )


def _exporter_missing(failure: _Failure) -> errors.SlipwayError | None:
    if (match := _NO_EXPORTER.search(failure.message)) is None:
        return None
    action = None
    if failure.address.kind == "docker":
        action = (
            'turn on the engine\'s containerd image store ("features": {"containerd-snapshotter": true}), or run '
            "`docker buildx create --name slipway --bootstrap` and use "
            "--builder docker-container://buildx_buildkit_slipway0"
        )
    return errors.BuilderTooOld(f"builder {failure.address} has no exporter {match['name']!r}", action=action)


def _cache_missing(failure: _Failure) -> errors.SlipwayError | None:
    if (match := _NO_CACHE.search(failure.message)) is None:
        return None
    return errors.InvalidOption(
        f"builder {failure.address} does not support the cache type {match['name']!r}",
        action="a Docker engine supports registry, inline, local and gha; buildkitd also supports s3 and azblob",
    )


def _question_unknown(failure: _Failure) -> errors.SlipwayError | None:
    if (match := _NO_ANSWER.search(failure.message)) is None:
        return None
    name = {"lint": "check"}.get(match["name"], match["name"])
    return errors.BuilderTooOld(
        f"builder {failure.address}: its frontend does not support the call {name!r}",
        action="outline and targets need BuildKit 0.11, check needs 0.15; or use a newer frontend with `# syntax=`",
    )


def _secret_missing(failure: _Failure) -> errors.SlipwayError | None:
    if match := _NO_SECRET.search(failure.message):
        what = f"the secret {match['name']!r}"
    elif match := _NO_AGENT.search(failure.message):
        what = f"the SSH agent {match['name'] or match['other'] or 'default'!r}"
    else:
        return None
    return errors.BuildSecretMissing(
        f"the Dockerfile needs {what}, which was not given", details=failure.details.excerpt
    )


def _lost(failure: _Failure) -> errors.SlipwayError | None:
    if failure.details.vertex is None and _SESSION_LOST.search(failure.message):
        return errors.BuilderLost(f"builder {failure.address} gave up the build ({scrub(failure.message)})")
    return None


def _step_failed(failure: _Failure) -> errors.SlipwayError | None:
    step = failure.record.failed_step(failure.details.vertex)
    if step is None or failure.details.vertex is None:
        return None
    lines = failure.record.last_lines(step)
    fitting = (action for pattern, action in _HINTS if pattern.search(failure.message))
    return errors.StepFailed(
        f"step {step.name!r} failed: {scrub(failure.message)}",
        step=step.name,
        details="\n".join(part for part in (lines, failure.details.excerpt) if part),
        action=next(fitting, "fix the step named above"),
    )


_RULES: tuple[Callable[[_Failure], errors.SlipwayError | None], ...] = (
    _push_failed,
    _disk_full,
    _met_in_the_cache,
    _process_failed,
    _source_denied,
    _dockerfile_missing,
    _base_image,
    _option_refused,
    _exporter_missing,
    _cache_missing,
    _question_unknown,
    _secret_missing,
    _dockerfile_invalid,
    _lost,
    _step_failed,
)
