"""Run git without prompts, hooks and settings from the environment, and stop it with its children.

A credential reaches git through an anonymous file in memory (memfd_create(2)) whose number alone is in git's
environment: nothing of it is in an argument list, in an environment or on a disk. It is offered to its own
host only (gitcredentials(7), `credential.<url>.helper`), and other helpers are turned off, since git would
have them store it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import shlex
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from prefect_slipway.infra.common.child_process import child_process, environment_of_others
from prefect_slipway.infra.common.private_files import in_memory
from prefect_slipway.infra.domain.credentials import Credential, CredentialSource
from prefect_slipway.infra.domain.errors import PartMissing, SourceDenied
from prefect_slipway.infra.domain.urls import shown
from prefect_slipway.infra.source.url import GitUrl

FETCH = ("fetch", "--no-tags", "--no-prune", "--no-prune-tags", "--no-recurse-submodules")
"""Fetches what is requested and nothing else, and removes nothing, whatever the user's settings are. Not `--quiet`: git
would not say where a server leads to."""

AS_STORED = "--no-replace-objects"
"""Before a command: objects as every clone has them, not what this one alone puts in their place (git-replace(1))."""

_CHUNK = 1 << 16
_REDIRECTED = re.compile(r"^warning: redirecting to (\S+)", re.MULTILINE)

logger = logging.getLogger(__name__)

# Variables that tie git to another repository (git-rev-parse(1), --local-env-vars), trace traffic, or open windows.
_DROPPED = re.compile(
    r"GIT_(?:DIR|WORK_TREE|INDEX_FILE|INDEX_VERSION|OBJECT_DIRECTORY|ALTERNATE_OBJECT_DIRECTORIES|COMMON_DIR"
    r"|NAMESPACE|PREFIX|SHALLOW_FILE|GRAFT_FILE|REPLACE_REF_BASE|INTERNAL_SUPER_PREFIX|IMPLICIT_WORK_TREE"
    r"|CONFIG_PARAMETERS|CURL_VERBOSE|TRACE.*|(?:LITERAL|GLOB|NOGLOB|ICASE)_PATHSPECS)|SSH_ASKPASS|LANGUAGE"
)
_CONFIG = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.quotePath": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "log.diffMerges": "separate",
    "log.showRoot": "true",
    "log.showSignature": "false",
    # Only the first request of a fetch or push, like git's default: the password stays with its own host.
    "http.followRedirects": "initial",
    "log.follow": "false",
    "i18n.logOutputEncoding": "UTF-8",
    # What is fetched is in bare repositories of ours; `directory` looks for those of others with another setting.
    "safe.bareRepository": "all",
    # A transfer that stalls for a minute is aborted; both ends send keep-alives while they work.
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": "60",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What git said. Bytes that are not UTF-8 are kept as surrogates."""

    status: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class SshIdentity:
    """A private key in a format that ssh reads, and the known hosts; None for the user's own."""

    key: str = field(repr=False)
    known_hosts: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Remote:
    """A repository to talk to, and the source of its credential, which is asked at each call.

    `ca_file`: PEM with the CAs that its server's certificate may have, None for git's own settings. `identity`: asked
    where the repository speaks ssh, None for the user's agent and keys.
    """

    url: GitUrl
    credentials: CredentialSource | None = None
    ca_file: Path | None = None
    identity: Callable[[], Awaitable[SshIdentity]] | None = None

    async def credential(self) -> Credential | None:
        if self.url.scheme not in {"https", "http"}:
            return None
        found = await self.credentials.credential(self.url.host) if self.credentials is not None else None
        return found or self.url.embedded


async def git(
    *args: str,
    cwd: Path | None = None,
    remote: Remote | None = None,
    config: Mapping[str, str] | None = None,
    stdin: str = "",
    umask: int = -1,
    submodules: bool = False,
    index: Path | None = None,
) -> Answer:
    """Run git and return its answer, whatever its exit status.

    `remote`: the one repository that is talked to. `config`: settings for this call. `umask`: of the files
    that git makes, -1 for this process's own. `submodules`: the remote's are talked to as well. `index`: to be used in
    place of the repository's. Raises PartMissing when git is not installed, SourceDenied for a credential that git
    cannot be given, and what the credential source raises.
    """
    credential = await remote.credential() if remote is not None else None
    settings = {**_CONFIG, **(config or {})}
    identity = (
        await remote.identity() if remote is not None and remote.identity and remote.url.scheme == "ssh" else None
    )
    with _in_memory(credential) as descriptor, _ssh(identity) as ssh:
        extra = [] if remote is None or descriptor is None else _helper(remote.url, descriptor)
        try:
            async with child_process(
                "git",
                "--literal-pathspecs",
                *args,
                cwd=cwd,
                env=_environment(remote, [*settings.items(), *extra], submodules=submodules) | _index(index) | ssh,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                pass_fds=() if descriptor is None else (descriptor,),
                umask=umask,
            ) as process:
                out, err = await process.communicate(os.fsencode(stdin))
        except FileNotFoundError as error:
            if error.filename != "git":  # the directory is not there
                raise
            raise PartMissing("git is not installed", action="install it (Debian: apt install git)") from error
    assert process.returncode is not None
    answer = Answer(process.returncode, os.fsdecode(out), os.fsdecode(err))
    for where in _REDIRECTED.findall(answer.err):
        logger.info("%s redirects to %s", remote.url.shown if remote is not None else "the repository", shown(where))
    return answer


@contextlib.asynccontextmanager
async def streamed(*args: str, cwd: Path) -> AsyncIterator[AsyncIterator[str]]:
    """Run git on a repository of this machine, and give what it prints NUL by NUL, while it runs.

    Leaving the block ends git. What fails in git ends the stream: whoever reads it knows what has to be there.
    """
    env = _environment(None, [*_CONFIG.items()], submodules=False)
    stdout: asyncio.StreamReader | None = None
    try:
        async with child_process("git", *args, cwd=cwd, env=env, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL) as process:
            stdout = process.stdout
            assert stdout is not None
            yield _split(stdout)
    finally:
        while stdout is not None and await stdout.read(_CHUNK):
            """What is in the pipe yet: at its end the pipe is closed."""


async def _split(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    rest = b""
    while chunk := await stream.read(_CHUNK):
        *whole, rest = (rest + chunk).split(b"\0")
        for text in whole:
            yield os.fsdecode(text)
        if len(rest) > _CHUNK:  # not a path any more, and not to be kept
            yield os.fsdecode(rest)
            return


def _environment(remote: Remote | None, config: list[tuple[str, str]], *, submodules: bool) -> dict[str, str]:
    env = {name: value for name, value in environment_of_others(os.environ).items() if not _DROPPED.fullmatch(name)}
    # Submodules may point anywhere: only those of a repository on this machine may be on this machine. Nothing that is
    # asked for by https is answered by http, wherever the server leads to.
    local = remote is None or remote.url.scheme == "file"
    plain = submodules or remote is None or remote.url.scheme != "https"
    env |= {
        "LC_ALL": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_ALLOW_PROTOCOL": "https:ssh" + ":http" * plain + ":file" * local,
        "SSH_ASKPASS_REQUIRE": "never",
    }
    if remote is not None and remote.ca_file is not None:
        # Set the variable, which overrides the setting and may be set for other servers.
        env["GIT_SSL_CAINFO"] = str(remote.ca_file.resolve())
    first = int(env.get("GIT_CONFIG_COUNT") or 0)
    for number, (key, value) in enumerate(config, first):
        env |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return env | {"GIT_CONFIG_COUNT": str(first + len(config))}


def _index(index: Path | None) -> dict[str, str]:
    return {} if index is None else {"GIT_INDEX_FILE": str(index)}


def _helper(url: GitUrl, descriptor: int) -> list[tuple[str, str]]:
    read = f'!f() {{ test "$1" = get && cat /proc/self/fd/{descriptor}; }}; f'
    scope = f"credential.{url.scheme}://{url.host}"
    # An empty value clears the list of helpers; for the host as well, where a user's own may be set for it.
    return [("credential.helper", ""), (f"{scope}.helper", ""), (f"{scope}.helper", read)]


@contextlib.contextmanager
def _ssh(identity: SshIdentity | None) -> Iterator[dict[str, str]]:
    """Variables by which ssh uses this key alone. It closes what it inherits, so it opens this process's files."""
    if identity is None:
        yield {}
        return
    with contextlib.ExitStack() as exits:

        def file(name: str, text: str) -> str:
            # A key's last line needs its end.
            descriptor = in_memory(name, f"{text.rstrip()}\n".encode())
            exits.callback(os.close, descriptor)
            os.fchmod(descriptor, 0o600)
            return f"/proc/{os.getpid()}/fd/{descriptor}"

        options = ["-F", "/dev/null", "-i", file("ssh-key", identity.key)]
        settings = ["IdentitiesOnly=yes", "IdentityAgent=none", "BatchMode=yes", "StrictHostKeyChecking=yes"]
        if identity.known_hosts is not None:
            hosts = file("known-hosts", identity.known_hosts)
            settings += [f"UserKnownHostsFile={hosts}", "GlobalKnownHostsFile=/dev/null"]
        options += [part for setting in settings for part in ("-o", setting)]
        yield {"GIT_SSH_COMMAND": shlex.join(["ssh", *options]), "GIT_SSH_VARIANT": "ssh"}


@contextlib.contextmanager
def _in_memory(credential: Credential | None) -> Iterator[int | None]:
    if credential is None:
        yield None
        return
    if re.search(r"[\n\r\0]", credential.username + credential.password):
        raise SourceDenied("the git credential contains a line break, which git's credential protocol forbids")
    text = f"username={credential.username}\npassword={credential.password}\n"
    descriptor = in_memory("git-credential", text.encode())
    try:
        yield descriptor
    finally:
        os.close(descriptor)
