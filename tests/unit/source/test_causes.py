"""Git's words become causes: each row of the table is reached, by words that git and ssh really say."""

from __future__ import annotations

import httpx
import pytest

from prefect_slipway.infra.domain.errors import (
    LfsFilesMissing,
    RefUnknown,
    SourceDenied,
    SourceDiskFull,
    SourceError,
    SourceMissing,
    SourceTlsError,
    SourceUnreachable,
)
from prefect_slipway.infra.source.archive import STATUSES, status_error
from prefect_slipway.infra.source.causes import CAUSES, git_error
from prefect_slipway.infra.source.command import Answer

SAID = [
    ("fatal: write error: No space left on device", SourceDiskFull),
    ("fatal: detected dubious ownership in repository at '/srv/app'", SourceDenied),
    ("git-lfs filter-process: 1: git-lfs: not found\nfatal: the remote end hung up unexpectedly", LfsFilesMissing),
    ("error: external filter 'git-lfs filter-process' failed\nfatal: a: smudge filter lfs failed", LfsFilesMissing),
    ("fatal: couldn't find remote ref nowhere", RefUnknown),
    ("fatal: remote error: upload-pack: not our ref 1111111111111111111111111111111111111111", RefUnknown),
    ("error: Server does not allow request for unadvertised object 1111", RefUnknown),
    (
        "fatal: unable to access 'https://h/': SSL certificate problem: unable to get local issuer certificate",
        SourceTlsError,
    ),
    ("fatal: unable to access 'https://h/': server certificate verification failed. CAfile: none", SourceTlsError),
    (
        "fatal: unable to access 'https://h/': server verification failed: certificate signer not trusted. (CAfile: x)",
        SourceTlsError,
    ),
    ("fatal: unable to access 'https://h/': Protocol \"http\" disabled in followed redirect", SourceTlsError),
    ("fatal: unable to access 'https://h/': Protocol \"http\" not supported or disabled in libcurl", SourceTlsError),
    ("Host key verification failed.\nfatal: Could not read from remote repository.", SourceDenied),
    ("fatal: unable to access 'https://h/': The requested URL returned error: 403", SourceDenied),
    ("fatal: Authentication failed for 'https://h/app.git/'", SourceDenied),
    ("fatal: could not read Username for 'https://h': terminal prompts disabled", SourceDenied),
    ("git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.", SourceDenied),
    (" ! [remote rejected] a -> refs/slipway/v1 (pre-receive hook declined)", SourceDenied),
    ("fatal: cannot lock ref 'refs/x': Unable to create '/srv/x.lock': Permission denied", SourceDenied),
    ("fatal: repository 'https://h/app.git/' not found", SourceMissing),
    ("fatal: '/srv/none' does not appear to be a git repository", SourceMissing),
    ("ERROR: Repository not found.\nfatal: Could not read from remote repository.", SourceMissing),
    ("fatal: unable to access 'https://h/': Failed to connect to h port 443", SourceUnreachable),
    (
        "ssh: connect to host h port 22: Connection refused\nfatal: Could not read from remote repository.",
        SourceUnreachable,
    ),
    ("fatal: unable to access 'https://h/': The requested URL returned error: 503", SourceUnreachable),
    ("error: RPC failed; curl 56 Recv failure: Connection reset by peer\nfatal: early EOF", SourceUnreachable),
]


@pytest.mark.parametrize(("said", "kind"), SAID)
async def test_git_is_understood(said: str, kind: type[SourceError]) -> None:
    """The most specific cause that git names."""
    error = await git_error("https://h/app.git", Answer(128, "", said))
    assert type(error) is kind
    assert error.cause.startswith("https://h/app.git: ")
    assert error.action


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b"])
@pytest.mark.parametrize("said", ["Could not resolve host: {}", "ssh: Could not resolve hostname {}: Name or service"])
async def test_a_host_that_does_not_exist_is_told_from_a_name_server_that_is_away(said: str, host: str) -> None:
    """curl says the same of both, so the resolver is asked."""
    error = await git_error("https://h/app.git", Answer(128, "", f"fatal: {said.format(host)}"))
    assert error.cause == "https://h/app.git: no such host"
    assert error.most_tries == 1
    passed = await git_error("x", Answer(128, "", f"fatal: {said.format('localhost')}"))
    assert passed.cause == "x: the name server gave no answer"
    assert passed.retryable and passed.most_tries is None


async def test_every_row_is_reached() -> None:
    """No row of the table is hidden by one above it."""
    reached = {(await git_error("x", Answer(128, "", said))).cause for said, _ in SAID}
    assert reached == {f"x: {cause.what}" for cause in CAUSES}


def test_every_cause_of_a_source_has_a_row() -> None:
    """All SourceErrors come from git or from an archive's server, or are found by Slipway itself."""
    found_here = {"BranchUnknown", "DirtyTree", "ChecksumMismatch", "HistoryIncomplete"}
    from_outside = {cause.kind.__name__ for cause in CAUSES} | {rule.kind.__name__ for rule in STATUSES}
    assert from_outside | found_here == {kind.__name__ for kind in SourceError.__subclasses__()}


async def test_unknown_words_are_shown() -> None:
    """What the table lacks is a SourceError with git's last words."""
    error = await git_error("x", Answer(129, "", "error: something new\nusage: ..."))
    assert type(error) is SourceError
    assert "exit status 129" in error.cause
    assert "something new" in error.details


async def test_the_other_side_is_not_believed() -> None:
    """What a server prints decides nothing and is not repeated, nor is user information in a URL."""
    said = "remote: not our ref, password=hunter2\nfatal: unable to access 'https://u:hunter3@h/': odd"
    error = await git_error("x", Answer(128, "", said))
    assert type(error) is SourceUnreachable
    assert "hunter" not in str(error)


def test_every_http_status_has_a_cause() -> None:
    """The table of statuses is complete."""
    for status in range(100, 600):
        error = status_error("https://h/x.zip", httpx.Response(status))
        assert isinstance(error, SourceError)
        assert error.retryable == (status in {408, 429} or status >= 500)
