"""Where secrets and SSH keys of a build come from: plain values, which cost nothing to import."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple


class SecretFile(NamedTuple):
    """A secret that is a file's content."""

    path: Path


class SecretEnv(NamedTuple):
    """A secret that is the value of an environment variable."""

    name: str


class SecretCall(NamedTuple):
    """A secret that is read from elsewhere when the daemon asks for it. `read` raises SlipwayErrors; `place` says where
    it is, for people."""

    place: str
    read: Callable[[], Awaitable[bytes]]


SecretSource = SecretFile | SecretEnv | SecretCall


class SshSource(NamedTuple):
    """What `RUN --mount=type=ssh` may sign with: the agent of the one socket among `paths`, or the keys in these files,
    which become an agent in memory. No paths: $SSH_AUTH_SOCK.

    `raw`: the socket is passed through as it is, whatever speaks there. `keys`: instead of paths, keys that are read
    from elsewhere each time somebody connects.
    """

    paths: tuple[Path, ...] = ()
    raw: bool = False
    keys: tuple[SecretCall, ...] = ()
