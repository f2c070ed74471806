"""Real git repositories for tests, made with a fixed identity and none of the user's settings."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

_ENV = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Test",
    "GIT_AUTHOR_EMAIL": "test@example.com",
    "GIT_COMMITTER_NAME": "Test",
    "GIT_COMMITTER_EMAIL": "test@example.com",
}


def git(folder: Path, *args: str, stdin: str = "", **env: str) -> str:
    """Run git in `folder` and return what it prints, without the last line break."""
    done = subprocess.run(
        ["git", "-c", "protocol.file.allow=always", *args],
        cwd=folder,
        env={**os.environ, **_ENV, **env},
        input=stdin,
        check=True,
        capture_output=True,
        text=True,
        errors="replace",
    )
    return done.stdout.rstrip("\n")


def make_repository(folder: Path, files: dict[str, str] | None = None) -> Path:
    """A work tree with one commit on `main`."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder, "feat: begin", files or {"Dockerfile": "FROM scratch\n"})
    return folder


def commit(folder: Path, message: str, files: dict[str, str]) -> str:
    """Write the files, commit them and return the commit's id."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message)
    return git(folder, "rev-parse", "HEAD")


def make_long_history(folder: Path, messages: Iterable[str]) -> Path:
    """A work tree with a commit on `main` for each message, made at once."""
    lines = []
    for number, message in enumerate(messages):
        text = message.encode()
        who = f"Test <test@example.com> {1_600_000_000 + number} +0000"
        lines.append(f"commit refs/heads/main\ncommitter {who}\ndata {len(text)}\n".encode() + text)
        lines.append(b"M 644 inline Dockerfile\ndata 13\nFROM scratch\n\n")
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    subprocess.run(["git", "fast-import", "--quiet"], cwd=folder, input=b"".join(lines), check=True)
    git(folder, "reset", "--quiet", "--hard", "main")
    return folder


def make_bare(folder: Path, source: Path) -> Path:
    """A bare copy of a repository."""
    git(source.parent, "clone", "--quiet", "--bare", str(source), str(folder))
    return folder
