"""This machine as the cause of failures: folders that are full, read-only or gone, CAs and proxies that are wrong, text
in another encoding."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from prefect_slipway.infra.common.proxies import unusable_proxy
from prefect_slipway.infra.common.tls import unusable_cas
from prefect_slipway.infra.domain.errors import (
    InvalidOption,
    SlipwayError,
    StateFolderUnusable,
    TemporaryFolderUnusable,
)
from prefect_slipway.infra.local.disk import full_disk_behind

_NOT_WRITABLE = {errno.EROFS, errno.EACCES, errno.EPERM}


def local_cause(error: BaseException, home: Path) -> SlipwayError | None:
    """What is wrong with this machine, if that explains `error`; else None. `home`: the state folder."""
    if full := full_disk_behind(error, home):
        return full
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        # Not the whole text: it could be a password.
        return InvalidOption(
            f"a name or value is not UTF-8; it contains {error.object[error.start : error.end]!r}",
            action="write arguments, environment variables and files in UTF-8",
        )
    if not isinstance(error, OSError):
        # The libraries have a class each for a proxy that they do not understand.
        return unusable_proxy() if not isinstance(error, SlipwayError) else None
    if error.errno in _NOT_WRITABLE and isinstance(error.filename, str | bytes):
        there = Path(os.fsdecode(error.filename)).absolute()
        # Its parents as well: it is created with them.
        if there.is_relative_to(home) or home.is_relative_to(there):
            return StateFolderUnusable(f"the state directory {home} cannot be used ({error.strerror})")
    if isinstance(error, FileNotFoundError) and (gone := _current_gone() or _no_temporary(error)):
        return gone
    # The libraries that load them say neither whose they are nor, mostly, which file it was.
    return unusable_cas(os.environ) if error.filename is None else None


def _current_gone() -> InvalidOption | None:
    try:
        os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        return InvalidOption("the current directory does not exist any more", action="change to one that exists")
    return None


def _no_temporary(error: FileNotFoundError) -> TemporaryFolderUnusable | None:
    # `tempfile` raises it without a name, also where every disk that it tried is full.
    if error.filename is not None or "temporary directory" not in str(error.strerror):
        return None
    tried = str(error.strerror).partition("[")[2].rstrip("]").replace("'", "")
    return TemporaryFolderUnusable(f"no directory for temporary files can be written to: {tried}")
