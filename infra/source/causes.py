"""Convert git's messages to named causes: one table, one converter."""

from __future__ import annotations

import asyncio
import re
import socket
from pathlib import Path

from prefect_slipway.infra.common.causes import Cause, first
from prefect_slipway.infra.common.reasons import unreachable
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
from prefect_slipway.infra.domain.urls import without_secrets
from prefect_slipway.infra.source.command import Answer, Remote, git

_EXCERPT_LINES = 6


# Patterns of git's standard error (LC_ALL=C); the specific ones stand above git's general last lines. The wording:
# git's builtin/fetch.c, connect.c, remote-curl.c, http.c, transport.c, upload-pack.c, setup.c and ssh's messages.
CAUSES: tuple[Cause[str, SourceError], ...] = (
    Cause(r"No space left on device", SourceDiskFull, "no space is left on this machine's disk"),
    Cause(
        r"git-lfs: (?:command )?not found",
        LfsFilesMissing,
        "it has files in Git LFS, and git-lfs is not installed",
        "install it (Debian: apt install git-lfs); to build with the pointers set GIT_LFS_SKIP_SMUDGE=1",
    ),
    Cause(
        r"smudge filter lfs failed|Smudge error",
        LfsFilesMissing,
        "its files in Git LFS cannot be fetched",
        "check that the LFS server has them, and that the credentials may read them",
    ),
    Cause(
        r"dubious ownership",
        SourceDenied,
        "git refuses a repository that another user owns",
        "run as its owner, or allow it with `git config --global --add safe.directory DIRECTORY`",
    ),
    Cause(
        r"couldn't find remote ref|Remote branch .* not found|not our ref|unadvertised object|[Nn]o such ref",
        RefUnknown,
        "no such ref",
    ),
    Cause(
        # As curl words it, which depends on its TLS library and version.
        r"Server certificate|SSL certificate|certificate verif|server verification failed|SSL: no alternative",
        SourceTlsError,
        "TLS failed",
    ),
    Cause(
        # curl, for what GIT_ALLOW_PROTOCOL leaves out: "Protocol "http" disabled in followed redirect", before 8.6
        # "Protocol "http" not supported or disabled in libcurl".
        r'Protocol "?http"? (?:disabled|not supported)',
        SourceTlsError,
        "the server redirects from https to http, which Slipway does not follow",
        "use the https address that serves the repository",
    ),
    Cause(
        r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED",
        SourceDenied,
        "the server's ssh key is not known or has changed",
        "check the key, then add it with `ssh-keyscan HOST >> ~/.ssh/known_hosts`",
    ),
    Cause(r"returned error: 40[13]\b", SourceDenied, "the server refuses the credentials"),
    Cause(
        r"Authentication failed|could not read (?:Username|Password)|terminal prompts disabled",
        SourceDenied,
        "the server requires a user name and password, and did not accept any",
    ),
    Cause(
        r"Permission denied \((?:publickey|password|keyboard)|Too many authentication failures",
        SourceDenied,
        "the ssh server does not accept any of the keys",
        "load a key that can read the repository (`ssh-add`)",
    ),
    Cause(
        r"remote rejected|pre-receive hook declined|remote unpack failed|access denied|not allowed to",
        SourceDenied,
        "the server refuses the change",
        "give the account permission to create tags, and refs below refs/slipway/",
    ),
    Cause(
        r"Permission denied|insufficient permission|Read-only file system",
        SourceDenied,
        "this user has no permission to write there",
        "run as a user who can write to the repository",
    ),
    Cause(
        r"returned error: 404\b|[Rr]epository(?: .*)? not found|does not appear to be a git repository"
        r"|not a git repository|does not exist|No such file or directory"
        r"|not found: did you run git update-server-info|cannot change to",
        SourceMissing,
        "no git repository was found",
    ),
    Cause(
        r"Failed to connect|Couldn't connect|Connection (?:refused|timed out|reset|closed)"
        r"|timed out|Operation too slow|returned error: (?:408|429|5\d\d)|unable to access|early EOF|RPC failed"
        r"|hung up unexpectedly|unexpected disconnect|Network is unreachable|No route to host"
        r"|Could not read from remote repository",
        SourceUnreachable,
        "the server does not answer",
    ),
)


_NO_ADDRESS = re.compile(r"Could not resolve host(?:name)?:? (?P<host>[^\s:]+)")


async def git_error(subject: str, answer: Answer) -> SourceError:
    """The error that git's answer stands for. `subject`: what it is about, in words for people."""
    lines = own_words(answer.err)
    details = without_secrets("\n".join(lines[-_EXCERPT_LINES:]))
    if (match := _NO_ADDRESS.search("\n".join(lines))) is not None:
        why = await _lookup(match["host"])
        return unreachable(SourceUnreachable, subject, why, "the source's address", details=details)
    if (cause := first(CAUSES, lambda pattern: any(re.search(pattern, line) for line in lines))) is not None:
        return cause.kind(f"{subject}: {cause.what}", action=cause.action, details=details)
    command = f"git failed with exit status {answer.status}"
    return SourceError(f"{subject}: {command}", action="git's own message is shown above", details=details)


async def _lookup(host: str) -> socket.gaierror:
    """What this machine's resolver says of a host that git found no address for: curl does not pass that on."""
    try:
        await asyncio.get_running_loop().getaddrinfo(host, None)
    except socket.gaierror as error:
        return error
    except UnicodeError:  # no name that DNS could know
        return socket.gaierror(socket.EAI_NONAME, "")
    return socket.gaierror(socket.EAI_AGAIN, "")  # it has an address by now


def own_words(text: str) -> list[str]:
    """Git's own lines. What the other side sent (`remote: ...`) is left out: it may say, and hold, anything."""
    return [line for line in re.split(r"[\r\n]+", text) if line.strip() and not line.startswith("remote:")]


async def run_git(
    subject: str,
    *args: str,
    cwd: Path | None = None,
    remote: Remote | None = None,
    stdin: str = "",
    index: Path | None = None,
) -> str:
    """Run git and return what it printed; raises the SourceError that its failure stands for."""
    answer = await git(*args, cwd=cwd, remote=remote, stdin=stdin, index=index)
    if answer.status != 0:
        raise await git_error(subject, answer)
    return answer.out
