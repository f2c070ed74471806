"""What a daemon answers becomes a cause: every status, every known shape, no secret."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from prefect_slipway.infra.buildkit.address import BuilderAddress
from prefect_slipway.infra.buildkit.build.error_details import SolveDetails, excerpt
from prefect_slipway.infra.buildkit.build.errors import CALL_ERRORS, build_error, call_error
from prefect_slipway.infra.buildkit.build.events import LogChunk, Step
from prefect_slipway.infra.buildkit.build.outputs import ImagePush
from prefect_slipway.infra.buildkit.build.record import BuildRecord
from prefect_slipway.infra.buildkit.build.registry_errors import registry_error
from prefect_slipway.infra.buildkit.build.request import BuildRequest
from prefect_slipway.infra.buildkit.build.scrub import scrub
from prefect_slipway.infra.buildkit.http2.grpc import Code, GrpcError
from prefect_slipway.infra.buildkit.http2.stream import ConnectionLost, ProtocolViolation
from prefect_slipway.infra.domain import errors
from prefect_slipway.infra.domain.errors import BuilderError, SlipwayError

ADDRESS = BuilderAddress.parse("docker:///run/docker.sock")
REQUEST = BuildRequest(Path("/src"), outputs=(ImagePush("registry.example/team/app", by_digest=True),))
PUSH = "failed to push registry.example/team/app: "


def cause(
    message: str,
    code: Code = Code.UNKNOWN,
    *details: tuple[str, object],
    anonymous: tuple[str, ...] = (),
    address: BuilderAddress = ADDRESS,
) -> SlipwayError:
    record = BuildRecord(lambda _: None)
    record.add(Step("sha256:1", "[2/2] RUN make", error="failed"))
    record.add(LogChunk("sha256:1", 2, b"first\nlast\n", 0.0))
    packed = tuple((f"github.com/moby/buildkit/{name}+json", json.dumps(value).encode()) for name, value in details)
    found = build_error(GrpcError(code, message, packed), address, REQUEST, record, anonymous)
    assert isinstance(found, SlipwayError)
    return found


def test_every_status_has_a_cause() -> None:
    """Each gRPC status but OK has its class, and the converter uses it."""
    assert set(CALL_ERRORS) == set(Code) - {Code.OK}
    for code, kind in CALL_ERRORS.items():
        found = call_error(GrpcError(code, "text"), ADDRESS)
        assert type(found) is kind
        assert isinstance(found, BuilderError)


def test_what_ends_a_connection() -> None:
    """A lost connection is retryable, a peer that speaks something else is not, a bug is given back as it is."""
    assert type(call_error(ConnectionLost("gone"), ADDRESS)) is errors.BuilderLost
    assert type(call_error(ProtocolViolation("odd"), ADDRESS)) is errors.BuilderProtocolError
    bug = ZeroDivisionError()
    assert build_error(bug, ADDRESS, REQUEST, BuildRecord(lambda _: None)) is bug


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("failed to read dockerfile: open Dockerfile: no such file or directory", errors.DockerfileMissing),
        ("dockerfile parse error on line 2: unknown instruction: FOO", errors.DockerfileInvalid),
        ('target stage "x" could not be found', errors.DockerfileInvalid),
        ("write /var/lib/x: no space left on device", errors.BuilderDiskFull),
        (
            "failed to commit udw7 to epfx during finalize: failed to stat active key during commit: "
            "snapshot udw7 does not exist: not found",
            errors.BuilderConflict,
        ),
        ("failed to commit udw7 to epfx during finalize: snapshot epfx: already exists", errors.BuilderConflict),
        ("failed to commit sha256:0 to sha256:1 during finalize: snapshot does not exist", errors.BuilderConflict),
        ("snapshot ddoqxexr72136ue3tyuz2v987 does not exist: not found", errors.BuilderConflict),
        ('exporter "image" could not be found', errors.BuilderTooOld),
        ("failed to solve: secret token: not found", errors.BuildSecretMissing),
        ('failed to solve: no SSH key "" forwarded from the client', errors.BuildSecretMissing),
        ("rpc error: code = NotFound desc = unset ssh forward key work", errors.BuildSecretMissing),
        ("network.host is not allowed", errors.InvalidOption),
        (
            "a: failed to resolve source metadata for docker.io/library/a:latest: pull access denied",
            errors.BaseImageUnavailable,
        ),
        ('unknown cache exporter: "s3"', errors.InvalidOption),
        ("no active session for abc: context deadline exceeded", errors.BuilderLost),
        ("something new", errors.BuildError),
        (PUSH + "unexpected status from POST request to https://r/v2/: 401 Unauthorized", errors.RegistryUnauthorized),
        (PUSH + "unexpected status: 403 Forbidden", errors.RegistryForbidden),
        (PUSH + "unexpected status from PUT request to http://r/v2/: 500 Internal", errors.RegistryUnavailable),
        (PUSH + "unexpected status from PUT request to http://r/v2/: 400 Bad Request", errors.UploadBroken),
        (PUSH + "push access denied, repository does not exist: insufficient_scope", errors.RegistryForbidden),
        (PUSH + "failed to authorize: no basic auth credentials", errors.RegistryUnauthorized),
        (PUSH + "dial tcp: lookup r on 10.0.0.1:53: no such host", errors.RegistryUnreachable),
        (PUSH + "dial tcp 1.2.3.4:443: i/o timeout", errors.RegistryUnreachable),
        (PUSH + "x509: certificate signed by unknown authority", errors.RegistryTlsError),
        (PUSH + "http: server gave HTTP response to HTTPS client", errors.RegistryTlsError),
        (PUSH + "write tcp: connection reset by peer", errors.UploadBroken),
        (PUSH + "unavailable: service unavailable", errors.RegistryUnavailable),
        (PUSH + "unknown: unknown error", errors.RegistryUnavailable),
        (PUSH + "unknown: repository name not known to registry", errors.RepositoryUnknown),
        (PUSH + "unknown: blob upload unknown to registry", errors.UploadBroken),
        (PUSH + "what is this", errors.RegistryProtocolError),
    ],
)
def test_known_shapes(message: str, kind: type[SlipwayError]) -> None:
    """Each shape of a daemon's message has its cause."""
    assert type(cause(message)) is kind


@pytest.mark.parametrize(
    ("message", "action"),
    [
        ("failed to load cache key: invalid response status 404", "check the URL"),
        ("digest mismatch for https://x/y: sha256:1 (expected: sha256:2)", "checksum is not the one"),
        ("repository does not contain ref nowhere, output: ''", "branch, tag or commit"),
        (
            "failed to load cache key: failed to fetch remote https://x/y.git: git stderr:\nfatal",
            "branch, tag or commit",
        ),
        ("failed to do request: dial tcp: lookup x.example: no such host", "cannot reach that address"),
        ("process failed: unable to find user nobody: no matching entries in passwd file", "/etc/passwd"),
        ("uids and gids must be in range 0-2147483647", "/etc/passwd"),
        ('failed to calculate checksum of ref a::b: "/x": not found', "may be missing from the source"),
        ("lstat /var/lib/docker/tmp/x: no such file or directory", "does not contain it"),
        ("network bridge not found", "for an SBOM use another builder"),
        ("anything else", "fix the step"),
    ],
)
def test_what_to_do_about_a_failed_step(message: str, action: str) -> None:
    """Only a file that COPY or ADD wants may be missing from the source."""
    found = cause(message, Code.UNKNOWN, ("errdefs.Vertex", {"digest": "sha256:1"}))
    assert type(found) is errors.StepFailed
    assert action in found.action


def test_a_question_that_the_frontend_does_not_know() -> None:
    """A newer builder is wanted, and the question is named as it was asked."""
    found = cause("failed to solve: unsupported request frontend.lint")
    assert type(found) is errors.BuilderTooOld
    assert "the call 'check'" in str(found)


def test_a_shutdown_is_a_lost_builder() -> None:
    """A daemon that is going down ends a build as lost."""
    assert type(cause("transport is closing", Code.UNAVAILABLE)) is errors.BuilderLost


def test_a_process_that_failed() -> None:
    """Exit code, step, last lines and excerpt come from the typed details."""
    source = {
        "info": {"filename": "Dockerfile", "data": base64.b64encode(b"FROM a\nRUN make\n").decode()},
        "ranges": [{"start": {"line": 2}, "end": {"line": 2}}],
    }
    found = cause(
        'process "make" did not complete successfully: exit code: 2',
        Code.UNKNOWN,
        ("errdefs.Vertex", {"digest": "sha256:1"}),
        ("errdefs.Source", source),
    )
    assert isinstance(found, errors.StepFailed)
    assert (found.step, found.status) == ("[2/2] RUN make", 2)
    assert found.details.startswith("first\nlast\nDockerfile:2\n")
    assert "   2 | >>> RUN make" in found.details


def test_a_process_that_was_killed_as_memory_ran_out() -> None:
    """The daemon says so where the step's own cgroup tells (v2); else its exit code makes it likely, which is said."""
    exited = ("gatewayapi.ExitMessage", {"Code": 137})
    told = cause('process "make" did not complete successfully: cannot allocate memory', Code.UNKNOWN, exited)
    assert isinstance(told, errors.StepOutOfMemory)
    assert told.status == 137 and "memory ran out" in told.cause
    likely = cause('process "make" did not complete successfully: exit code: 137', Code.UNKNOWN, exited)
    assert type(likely) is errors.StepFailed
    assert "out of memory" in likely.action


REFUSED = (
    "pull access denied, repository does not exist or may require authorization: authorization failed: no basic auth"
)


@pytest.mark.parametrize(
    ("message", "host"),
    [
        (PUSH + "unexpected status from POST request to https://r/v2/: 401 Unauthorized", "registry.example"),
        (f"failed to resolve source metadata for registry.example/base:1: {REFUSED}", "registry.example"),
        (f"failed to resolve source metadata for docker.io/library/base:1: {REFUSED}", "registry-1.docker.io"),
    ],
)
def test_who_gave_no_credentials_is_told_to_give_some(message: str, host: str) -> None:
    """Not to check those that were never named; where some were given, they are to be checked."""
    given, none = cause(message), cause(message, anonymous=(host,))
    assert type(given) is type(none)
    assert "pass credentials for" not in given.action
    name = "docker.io" if "docker" in host else host
    assert none.action == f"pass credentials for {name}: --credentials [{name}=]vault:MOUNT/PATH"


@pytest.mark.parametrize(
    ("address", "told"),
    [("docker:///run/docker.sock", "insecure-registries"), ("tcp://builder:1234", "buildkitd.toml")],
)
def test_a_base_in_a_registry_of_plain_http_is_a_matter_of_the_builder(address: str, told: str) -> None:
    """Which has to be told, each sort in its own way; no option of the release does it."""
    message = (
        "failed to resolve source metadata for 10.0.0.1:5000/base:1: failed to do request: "
        'Head "https://10.0.0.1:5000/v2/": http: server gave HTTP response to HTTPS client'
    )
    found = cause(message, address=BuilderAddress.parse(address))
    assert isinstance(found, errors.BaseImageUnavailable)
    assert "it speaks plain HTTP" in found.cause
    assert told in found.action and "--builder-option plain_http=10.0.0.1:5000" in found.action


OLD_FROM = {
    "info": {"filename": "Dockerfile", "data": base64.b64encode(b"FROM x\n").decode()},
    "ranges": [{"start": {"line": 1}, "end": {"line": 1}}],
}


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("127.0.0.1:9/a/b: 127.0.0.1:9/a/b:latest: not found", "127.0.0.1:9/a/b cannot be pulled: not found"),
        (
            'r.example/x:1: failed to do request: Head "https://r.example/v2/": lookup r.example: no such host',
            "registry r.example: asking for its manifest failed (no such host)",
        ),
        (
            'team/x: failed to do request: Head "https://registry-1.docker.io/v2/": connect: connection refused',
            "registry docker.io: asking for its manifest failed (connection refused)",
        ),
    ],
)
def test_a_base_image_before_0_13(message: str, said: str) -> None:
    """Daemons before v0.13 name a base image as the Dockerfile does, and say no more than the registry's refusal."""
    found = cause(message, Code.UNKNOWN, ("errdefs.Source", OLD_FROM))
    assert isinstance(found, errors.BaseImageUnavailable)
    assert said in found.cause
    assert type(cause("strange: nobody knows", Code.UNKNOWN, ("errdefs.Source", OLD_FROM))) is errors.DockerfileInvalid


def test_an_engine_without_a_network() -> None:
    """A step that wants one says what to do about it."""
    found = cause(
        'process "/scan" did not complete successfully: network bridge not found',
        Code.UNKNOWN,
        ("errdefs.Vertex", {"digest": "sha256:1"}),
    )
    assert isinstance(found, errors.StepFailed)
    assert "--network host or none; for an SBOM use another builder" in found.action


@pytest.mark.parametrize("value", [b"not json", b"[]", b"{}", b'{"digest": 1, "Code": "x", "info": 3}'])
def test_details_that_cannot_be_read(value: bytes) -> None:
    """Broken details are left out; the message still has its cause."""
    names = ("errdefs.Vertex", "errdefs.Source", "gatewayapi.ExitMessage")
    packed = tuple((f"github.com/moby/buildkit/{name}+json", value) for name in names)
    assert SolveDetails.of(GrpcError(Code.UNKNOWN, "text", packed)).exit_code is None


def test_excerpts_stay_inside_the_file() -> None:
    """Lines at the ends of a file, several lines and lines that are not there are no trouble."""
    text = "a\nb\nc\nd\ne"
    assert excerpt("F", text, [(1, 1)]).splitlines()[2:5] == ["   1 | >>> a", "   2 |     b", "   3 |     c"]
    assert excerpt("F", text, [(5, 9)]).splitlines()[-2] == "   5 | >>> e"
    assert [line[6:] for line in excerpt("F", text, [(2, 3)]).splitlines()[2:-1]] == [
        "     a",
        " >>> b",
        " >>> c",
        "     d",
    ]
    assert excerpt("F", text, [(9, 9)]) == ""
    assert excerpt("F", text, []) == ""
    assert len(excerpt("F", "x" * 100_000, [(1, 1)])) < 2000


@pytest.mark.parametrize(
    "text",
    [
        "Get https://user:S3CRET@registry.example/v2/: denied",
        "https://token:S3CRET@git.example/x.git",
        'header Authorization: Basic S3CRET=="',
        "authorization: bearer S3CRET.abc",
        "Bearer S3CRETS3CRET",
        "GET https://cdn.example/blob?X-Amz-Signature=S3CRET&a=b failed",
        '{"password":"S3CRET"}',
        "token=S3CRET",
    ],
)
def test_secrets_do_not_get_through(text: str) -> None:
    """What looks like a credential is not repeated, neither from a build's message nor from a push's."""
    assert "S3CRET" not in scrub(text)
    assert "S3CRET" not in str(cause(text))
    assert "S3CRET" not in str(registry_error("r", "pushing a", text))


def test_scrubbed_text_is_one_short_line() -> None:
    """Control characters and length are bounded."""
    assert scrub("a\x1b[31m\nb\tc") == "a [31m b c"
    assert len(scrub("x" * 5000)) == 600
