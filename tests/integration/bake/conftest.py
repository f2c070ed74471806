"""A set of images in a git repository with a remote, and what its releases leave."""

from __future__ import annotations

import json
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.git_repository import commit, git, make_bare
from tests.releases import BASE, Traces, digest_of_tag, registry_login, run_line
from tests.warm import Ended

TARGETS = ("base", "web", "api")


@dataclass(frozen=True)
class ImageSet:
    """`base`, and `web` and `api` based on it. `prefix`: where its images go in the stack's registry."""

    source: Path
    remote: Path
    traces: Traces

    @property
    def prefix(self) -> str:
        return self.source.name

    def write(self, target: str, line: str, message: str = "feat: change") -> None:
        """Give a target one more instruction."""
        begin = BASE if target == "base" else "FROM base\n"
        commit(self.source, message, {f"{target}.Dockerfile": begin + line})

    def tags(self, target: str) -> list[str]:
        return self.traces.tags(f"{self.prefix}/{target}")

    def digest(self, target: str, tag: str) -> str:
        connection = self.traces.connection
        return digest_of_tag(str(connection.registry), f"{self.prefix}/{target}", tag, registry_login(connection))

    def git_tags(self) -> list[str]:
        return git(self.remote, "tag").split()

    def reservations(self) -> list[str]:
        return git(self.remote, "for-each-ref", "--format=%(refname)", "refs/slipway").split()

    def assert_released(self, *versions: str) -> None:
        """Every image has these versions' tags, git as well, and nothing else is left anywhere."""
        assert {target: self.tags(target) for target in TARGETS} == dict.fromkeys(TARGETS, sorted(versions))
        assert self.git_tags() == sorted(f"v{version}" for version in versions)
        assert self.reservations() == []
        self.traces.assert_nothing_left()


def unique(text: str = "") -> str:
    """A step nobody has built before."""
    return run_line(f"echo {uuid.uuid4().hex}; {text or 'true'}")


def bake_file(**more: Any) -> dict[str, Any]:
    """`web` and `api` on `base`; `default` is all three."""
    heirs = {name: {"inherits": ["_all"], "dockerfile": f"{name}.Dockerfile"} for name in ("web", "api")}
    return {
        "group": {"default": {"targets": list(TARGETS)}},
        "target": {
            "_all": {"contexts": {"base": "target:base"}},
            "base": {"dockerfile": "base.Dockerfile"},
            **heirs,
            **more,
        },
    }


@pytest.fixture
def image_set(tmp_path: Path, traces: Traces) -> ImageSet:
    source = tmp_path / f"set-{uuid.uuid4().hex[:8]}"
    source.mkdir()
    shutil.copy2(shutil.which("busybox") or "/bin/busybox", source / "busybox")
    git(source, "init", "--quiet", "--initial-branch=main")
    files = {f"{name}.Dockerfile": "FROM base\n" + unique() for name in ("web", "api")}
    commit(
        source,
        "feat: begin",
        {**files, "base.Dockerfile": BASE + unique(), "docker-bake.json": json.dumps(bake_file())},
    )
    remote = make_bare(tmp_path / "remote.git", source)
    git(source, "remote", "add", "origin", str(remote))
    return ImageSet(source, remote, traces)


def versions(ended: Ended) -> dict[str, str]:
    """Digests by image that a successful run printed."""
    assert ended.code == 0, ended.stderr
    return {image["image"].rpartition("/")[2]: image["digest"] for image in json.loads(ended.stdout)["images"]}
