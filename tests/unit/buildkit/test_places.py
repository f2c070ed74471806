"""What the words of a context stand for, and what standard input holds."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile

import pytest

from prefect_slipway.infra.buildkit.build.contexts import is_git_over_ssh, is_remote
from prefect_slipway.infra.buildkit.session.upload import is_archive


@pytest.mark.parametrize(
    ("place", "remote", "ssh"),
    [
        ("https://example.org/x.git", True, False),
        ("HTTP://example.org/x.tar", True, False),
        ("git://example.org/x", True, False),
        ("github.com/moby/buildkit", True, False),
        ("git@github.com:moby/buildkit.git#main:sub", True, True),
        ("user_1@host-2.example:x", True, True),
        ("ssh://git@host/x.git", True, True),
        ("folder", False, False),
        ("./github.com/x", False, False),
        ("https:/x", False, False),
        ("a@b", False, False),
        ("/a@b:c", False, False),
        ("c:x", False, False),
        ("docker-image://x", False, False),
    ],
)
def test_what_a_daemon_fetches(place: str, remote: bool, ssh: bool) -> None:
    """URLs, a git server's user@host:path, GitHub's name; all else is a folder of this machine."""
    assert (is_remote(place), is_git_over_ssh(place)) == (remote, ssh)


def _tar(form: int) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=form) as tar:
        tar.addfile(tarfile.TarInfo("Dockerfile"))
    return data.getvalue()


def test_what_standard_input_holds() -> None:
    """An archive is known by its first bytes; anything else is a Dockerfile."""
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        assert is_archive(_tar(form)[:1024])
    for packed in (gzip.compress(b"x"), bz2.compress(b"x"), lzma.compress(b"x")):
        assert is_archive(packed)
    for text in (b"", b"FROM scratch\n", b"FROM scratch\n" * 100, b"\x00" * 1024, b"\x1f\x8b"):
        assert not is_archive(text)
