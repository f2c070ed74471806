"""An archive as the source: download it, compare its checksum, then unpack it."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import IO
from urllib.parse import unquote

import httpx

from prefect_slipway.infra.common.causes import Cause, first
from prefect_slipway.infra.common.reasons import tls_reason, unreachable
from prefect_slipway.infra.common.retry_after import retry_after
from prefect_slipway.infra.common.tls import trusting_also
from prefect_slipway.infra.domain.credentials import CredentialSource
from prefect_slipway.infra.domain.errors import (
    ChecksumMismatch,
    InvalidOption,
    SourceDenied,
    SourceError,
    SourceMissing,
    SourceTlsError,
    SourceUnreachable,
)
from prefect_slipway.infra.domain.urls import shown as shown_url
from prefect_slipway.infra.source.archive_url import archive_name, check_checksum
from prefect_slipway.infra.source.checkout import Checkout, enter_subdirectory
from prefect_slipway.infra.source.limits import UnpackLimits
from prefect_slipway.infra.source.unpack import unpack
from prefect_slipway.infra.source.url import check_no_user, check_subdirectory, split_url
from prefect_slipway.infra.source.workdir import fetch_folder, in_thread

_CHUNK = 1 << 20
_MOST_REDIRECTS = 10
_TIMEOUT = httpx.Timeout(30.0)  # seconds without a byte


# RFC 9110 section 15. The first that fits counts.
STATUSES: tuple[Cause[range, SourceError], ...] = (
    Cause(range(401, 402), SourceDenied, "the server requires a user name and password"),
    Cause(range(403, 404), SourceDenied, "the server refuses the credentials"),
    Cause(range(407, 408), SourceDenied, "the proxy requires a user name and password"),
    Cause(range(408, 409), SourceUnreachable, "the server timed out"),
    Cause(range(429, 430), SourceUnreachable, "the server limits requests"),
    Cause(range(500, 600), SourceUnreachable, "the server failed"),
    Cause(range(400, 500), SourceMissing, "the archive does not exist"),
    Cause(range(100, 400), SourceMissing, "the server did not answer with the archive"),
)


async def fetch_archive(
    url: str,
    checksum: str,
    *,
    subdirectory: str = "",
    credentials: CredentialSource | None = None,
    ca_file: Path | None = None,
    workdir: Path,
    limits: UnpackLimits | None = None,
) -> Checkout:
    """Download and unpack an archive (tar, plain or compressed, or zip) into a new folder below `workdir`.

    `url`: https, http or file. `checksum`: `sha256:HEX` of the archive. A single folder at its top is left out.
    `credentials`: asked for the URL's host; not given to a host that a redirect leads to. `ca_file`: PEM with further
    CAs. Raises InvalidOption, ChecksumMismatch, SourceMissing, SourceDenied, SourceTlsError, SourceUnreachable,
    SourceDiskFull, SourceError for an archive that is not safe to unpack; whatever happens, nothing but a returned
    checkout stays.
    """
    check_no_user(url)
    shown = shown_url(url)  # a query may hold a signature that lets one download
    check_checksum(checksum, shown)
    parts = split_url(url)
    subdirectory = check_subdirectory(subdirectory)
    limits = limits or UnpackLimits()
    async with fetch_folder(workdir) as folder:
        download, tree = folder / "archive", folder / "tree"
        await _download(url, shown, download, checksum, credentials, ca_file, limits.total_bytes)
        newest = await in_thread(lambda check: unpack(download, tree, shown, limits, check))
        download.unlink()
        root = _single_folder(tree)
        return Checkout(
            path=enter_subdirectory(root, subdirectory, shown),
            name=subdirectory.rpartition("/")[2] or archive_name(parts.path),
            fingerprint=f"archive:{checksum}:{subdirectory}",
            source_url=shown if parts.scheme in {"http", "https"} else None,
            committed_at=newest,
            subdirectory=subdirectory,
            temporary=folder,
        )


async def _download(
    url: str,
    shown: str,
    target: Path,
    checksum: str,
    credentials: CredentialSource | None,
    ca_file: Path | None,
    limit: int,
) -> None:
    digest = hashlib.sha256()
    size = 0
    async with _open(url, shown, credentials, ca_file) as opened, aclosing(opened) as chunks:
        with target.open("wb") as file:
            async for chunk in chunks:
                size += len(chunk)
                if size > limit:
                    raise SourceError(
                        f"{shown}: more than {limit} bytes", action="check that this is the right archive"
                    )
                digest.update(chunk)
                file.write(chunk)
    found = f"sha256:{digest.hexdigest()}"
    if found != checksum:
        raise ChecksumMismatch(f"{shown} is {found}, not {checksum}")


@asynccontextmanager
async def _open(
    url: str, shown: str, credentials: CredentialSource | None, ca_file: Path | None
) -> AsyncIterator[AsyncGenerator[bytes, None]]:
    parts = split_url(url)
    if parts.scheme == "file" and parts.netloc in {"", "localhost"}:
        with _open_file(Path(unquote(parts.path)), shown) as file:
            yield _read(file)
        return
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InvalidOption(f"{shown} is not an archive's address", action="use https://, http:// or file://")
    credential = await credentials.credential(parts.netloc.lower()) if credentials is not None else None
    # httpx drops the Authorization header itself when a redirect leads to another host, or from https to http.
    auth = httpx.BasicAuth(credential.username, credential.password) if credential is not None else None
    try:
        async with (
            httpx.AsyncClient(
                verify=trusting_also(f"the server of {shown}", ca_file),
                timeout=_TIMEOUT,
                follow_redirects=True,
                max_redirects=_MOST_REDIRECTS,
                auth=auth,
            ) as client,
            # As it is: a server that compresses on the way would change what the checksum is of.
            client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as response,
        ):
            if response.status_code != 200:
                raise status_error(shown, response)
            yield _raw(response)
    except (httpx.TooManyRedirects, httpx.UnsupportedProtocol) as error:
        raise SourceMissing(f"{shown} redirects to something that is not an archive") from error
    except httpx.InvalidURL as error:
        raise InvalidOption(f"{shown} is not a valid URL") from error
    except httpx.TransportError as error:
        if tls_reason(error) is not None:
            raise SourceTlsError(
                f"{shown}: the server's certificate is not trusted",
                action="add the server's CA to this machine's trusted CAs",
            ) from error
        raise unreachable(SourceUnreachable, f"{shown} cannot be reached", error, "the source's address") from error


def status_error(shown: str, response: httpx.Response) -> SourceError:
    """The error that an HTTP status stands for."""
    status = response.status_code
    rule = first(STATUSES, lambda statuses: status in statuses)
    assert rule is not None, "the table has them all"
    led = f", to which it redirects: {shown_url(str(response.url))}" if response.history else ""
    return rule.kind(
        f"{shown}: {rule.what} (HTTP status {status}{led})",
        retry_after=retry_after(response.headers.get("Retry-After")) if rule.kind.retryable else None,
    )


async def _raw(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    async for chunk in response.aiter_raw(_CHUNK):
        yield chunk


def _open_file(path: Path, shown: str) -> IO[bytes]:
    try:
        return path.open("rb")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise SourceMissing(f"{shown} is not a file") from error
    except PermissionError as error:
        raise SourceDenied(f"you have no permission to read {shown}", action="run as a user who can read it") from error


async def _read(file: IO[bytes]) -> AsyncGenerator[bytes, None]:
    while chunk := await in_thread(lambda check: file.read(_CHUNK)):
        yield chunk


def _single_folder(tree: Path) -> Path:
    entries = list(tree.iterdir())
    if len(entries) == 1 and entries[0].is_dir() and not entries[0].is_symlink():
        return entries[0]
    return tree
