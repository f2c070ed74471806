"""`slipway notes`: what is new between two versions, commits or images."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from prefect_slipway.flows.inspecting.between import notes_between
from prefect_slipway.flows.request.noted import NotesRequest
from prefect_slipway.infra.domain.labels import OCI_REVISION
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kinds import DEPLOYMENT
from prefect_slipway.infra.kubernetes.access.kubeconfig import ClusterAccess
from tests.conftest import run_slipway
from tests.git_repository import commit, git, make_repository
from tests.images import Pusher
from tests.kubernetes.rollout_parts import make
from tests.kubernetes.server import KubernetesServer
from tests.servers import registry_server

Notes = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """1.0.0, 1.1.0, and what came since."""
    work = make_repository(tmp_path / "work")
    git(work, "tag", "v1.0.0")
    commit(work, "feat: one", {})
    git(work, "tag", "v1.1.0")
    commit(work, "fix(api): two (#7)", {})
    git(work, "remote", "add", "origin", "git@github.com:team/app.git")
    return work


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """No stack, no Vault, no Prefect server."""
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "SLIPWAY_HOME": str(tmp_path / "home")}


@pytest.fixture
def notes(env: dict[str, str], work: Path) -> Notes:
    return lambda *arguments: run_slipway("notes", *arguments, env=env, cwd=work)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    with registry_server(tmp_path / "registry") as host:
        yield host


def test_versions_and_commits_are_ends(notes: Notes, work: Path) -> None:
    """Without any: since the last version, which the end is not itself."""
    assert notes().stdout.startswith("Bug fixes\n\n- api: two (#7, ")
    assert "- one (" not in notes().stdout
    assert notes("1.0.0..1.1.0").stdout.startswith("Features\n\n- one (")
    assert notes("..1.1.0").stdout == notes("v1.0.0..v1.1.0").stdout
    both = notes("HEAD~2").stdout
    assert both == notes("1.0.0..main").stdout
    assert "- api: two" in both and "- one (" in both


def test_formats(notes: Notes, work: Path) -> None:
    """JSON has the changes as they are, Markdown has links."""
    head = git(work, "rev-parse", "HEAD")
    said = json.loads(notes("--format", "json").stdout)
    assert (said["start"], said["end"]) == (git(work, "rev-parse", "v1.1.0"), head)
    assert said["changes"]["sections"][0]["changes"][0]["pull"] == "7"
    assert notes("--format", "markdown").stdout == f"{said['markdown']}\n"
    assert "[#7](https://github.com/team/app/pull/7)" in said["markdown"]


def test_the_release_file_says_how(notes: Notes, work: Path) -> None:
    """Sections and the prefix of the tags; an option wins."""
    (work / "slipway.toml").write_text(
        'image = "registry.example/a"\n[version]\ntag_prefix = "app/v"\n[notes]\nsections = { fix = "Mended" }\n'
    )
    git(work, "tag", "app/v2.0.0", "HEAD~1")
    assert notes().stdout.startswith("Mended\n\n- api: two")
    assert notes("--notes-section", "fix=Fixed").stdout.startswith("Fixed\n\n- api: two")


def test_a_template_is_the_sources(notes: Notes, work: Path) -> None:
    """Relative to it, and nowhere else; what is wrong with it is told."""
    (work / "notes.j2").write_text(
        "{% for section in sections %}{{ section.title }}: {{ section.changes | length }}{% endfor %}"
    )
    assert notes("1.0.0", "--notes-template", "notes.j2").stdout == "Features: 1Bug fixes: 1\n"
    (work / "notes.j2").write_text("{{ environ }}")
    assert "cannot be filled in: 'environ' is undefined" in notes("--notes-template", "notes.j2").stderr
    for elsewhere in ("../other.j2", "/etc/hostname", "missing.j2"):
        assert notes("--notes-template", elsewhere).returncode != 0


def test_images_are_ends(notes: Notes, work: Path, registry: str) -> None:
    """By the commit in their label; one that has none says so."""
    with Pusher(registry, "noted", None) as pusher:
        pusher.image("1.0.0", labels={OCI_REVISION: git(work, "rev-parse", "v1.0.0")})
        pusher.image("1.1.0", labels={OCI_REVISION: git(work, "rev-parse", "v1.1.0")})
        pusher.image("bare")
        pusher.image("foreign", labels={OCI_REVISION: "0" * 40})
    image = f"{registry}/noted"
    assert notes(f"{image}:1.0.0..{image}:1.1.0").stdout == notes("1.0.0..1.1.0").stdout
    assert "does not say which commit" in notes(f"{image}:bare").stderr
    assert "does not have the commit" in notes(f"{image}:foreign").stderr


async def test_what_a_workload_runs_is_the_beginning(
    env: dict[str, str], work: Path, registry: str, tmp_path: Path
) -> None:
    """By the label of its image; the end is said as well."""
    with Pusher(registry, "app", None) as pusher:
        labels = {OCI_REVISION: git(work, "rev-parse", "v1.0.0")}
        digest = (await asyncio.to_thread(lambda: pusher.image("1.0.0", labels=labels)))["digest"]
    async with KubernetesServer(None) as server:
        env["KUBECONFIG"] = str(server.kubeconfig(tmp_path))
        async with KubernetesApi(ClusterAccess.from_env(env)) as api:
            await make(api, DEPLOYMENT, f"{registry}/app@{digest}")
        asked = {"source": str(work), "deployed": "deployment/app"}
        told = await notes_between(NotesRequest.read(asked), env)
        assert [section.title for section in told.changes.sections] == ["Features", "Bug fixes"]
        until = await notes_between(NotesRequest.read({**asked, "span": "..1.1.0"}), env)
        assert [section.title for section in until.changes.sections] == ["Features"]


@pytest.mark.parametrize("span", ["--output=x..HEAD", "9.9.9", "nowhere..HEAD", "HEAD..-x"])
def test_what_is_not_there_is_said(notes: Notes, span: str) -> None:
    """And never taken for an option of git's."""
    ended = notes("--", span) if span.startswith("-") else notes(span)
    assert ended.returncode != 0
    assert "\nNext: " in ended.stderr


def test_it_starts_fast(env: dict[str, str], work: Path) -> None:
    """Prefect is not imported, nor is anything that speaks to servers, where commits are asked for."""
    code = (
        "import sys; from prefect_slipway.flows.cli import main; main(['notes']); "
        "print({'prefect', 'httpx', 'hvac', 'kubernetes', 'rich', 'jinja2'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=work, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
