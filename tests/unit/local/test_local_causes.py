"""What an error says about the folders of this machine."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import pytest

from prefect_slipway.infra.domain.errors import (
    InvalidOption,
    SourceMissing,
    StateFolderUnusable,
    TemporaryFolderUnusable,
)
from prefect_slipway.infra.local.causes import local_cause


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM])
@pytest.mark.parametrize("where", ["home", "home/sources/x", "."])
def test_a_state_folder_that_cannot_be_written_is_named(number: int, where: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    cause = local_cause(OSError(number, os.strerror(number), str(tmp_path / where)), home)
    assert isinstance(cause, StateFolderUnusable)
    assert cause.cause == f"the state directory {home} cannot be used ({os.strerror(number)})"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EROFS, "Read-only file system", "/elsewhere/file"),
        OSError(errno.EACCES, "Permission denied"),
        OSError(errno.EACCES, "Permission denied", 7),
        OSError(errno.EIO, "Input/output error", "home"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "a"),
        FileNotFoundError(errno.ENOENT, "No such file or directory"),
        SourceMissing("a does not exist"),
        RuntimeError("No usable temporary directory"),
    ],
)
def test_other_errors_have_other_causes(error: Exception, tmp_path: Path) -> None:
    assert local_cause(error, tmp_path / "home") is None


def test_no_temporary_folder_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where none can be written to, and where each is on a full disk, `tempfile` says the same."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc/1/fdinfo", "/nonexistent"])
    with pytest.raises(FileNotFoundError) as missing:
        tempfile.mkdtemp()
    cause = local_cause(missing.value, tmp_path)
    assert isinstance(cause, TemporaryFolderUnusable)
    assert cause.cause.endswith("can be written to: /proc/1/fdinfo, /nonexistent")


def test_a_full_disk_is_told_without_a_temporary_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/nonexistent"])
    cause = local_cause(OSError(errno.ENOSPC, "No space left on device"), tmp_path)
    assert cause is not None
    assert "full" in cause.cause


def test_a_current_folder_that_is_gone_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(FileNotFoundError) as missing:
        Path("a").resolve()
    cause = local_cause(missing.value, tmp_path / "home")
    assert isinstance(cause, InvalidOption)
    assert cause.cause == "the current directory does not exist any more"
