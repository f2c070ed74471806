"""Components with what else a release can have: an approval, changelogs, pull requests, a set as one of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from prefect_slipway.infra.registry.client import RegistryClient
from tests.forges.double import REPOSITORY, TOKEN, forge_double
from tests.git_repository import commit, git, make_bare
from tests.git_server import GitServer, serve_git
from tests.integration.release.conftest import Release
from tests.integration.release.keys import Place
from tests.integration.release.shop import make_shop
from tests.releases import Traces, complaint, result_of
from tests.warm import WarmStarter

FILE = """\
[components.base]
[components.api]
depends_on = ["base"]
[components.web]
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """base ← api, and web alone."""
    return make_shop(tmp_path, FILE, {"api": "base"})


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    (tmp_path / "served").mkdir()
    with serve_git(tmp_path / "served") as server:
        yield server


def served(server: GitServer, shop: Path) -> Path:
    """A bare copy that takes pushes."""
    bare = make_bare(server.root / f"{shop.name}.git", shop)
    git(bare, "config", "http.receivepack", "true")
    return bare


def push(shop: Path, bare: Path, message: str, files: dict[str, str]) -> str:
    git(shop, "pull", "--quiet", "--rebase", str(bare), "main")
    revision = commit(shop, message, files)
    git(shop, "push", "--quiet", str(bare), "main")
    return revision


def states(result: Any) -> dict[str, str]:
    components = result["components"] if isinstance(result, dict) else [vars_of(each) for each in result.components]
    return {each["name"]: f"{each['state']} {each['version']}" for each in components}


def vars_of(each: Any) -> dict[str, Any]:
    return {"name": each.name, "state": each.state, "version": each.version}


def test_one_approval_is_for_all(commands: WarmStarter, shop: Path, traces: Traces) -> None:
    """The question shows the plan of all, and nothing happens before the answer; a component whose table asks for an
    approval waits for one more of its own."""
    name = f"release {shop.name}"
    waiting = commands.start("release", shop, "--approval", "--format", "json")
    waiting.until("waiting until")
    (run,) = traces.runs(shop.name)
    assert run["state_type"] == "PAUSED" and run["name"] == name
    assert commands.run("approve", name, "--refuse", "--comment", "later", "--by", "Ada").code == 0
    ended = waiting.end()
    said = complaint(ended)
    assert said.startswith("Ada refused: later\n")
    for line in ("3 of 3 components to release", "base", "order: base, web → api"):
        assert line in ended.stderr
    assert git(shop, "tag") == "" and git(shop, "for-each-ref", "refs/slipway") == ""
    assert traces.state(name)["name"] == "Refused"

    text = FILE + "[components.web.approval]\nrequired = true\n"
    commit(shop, "feat: web asks by itself", {"slipway.toml": text, "web/more": ""})
    options = ("--approval", "--config-allow", "approval", "--format", "json")
    waiting = commands.start("release", shop, *options)
    waiting.until("waiting until")
    assert commands.run("approve", name).code == 0
    waiting.until("web: waiting until")
    assert commands.run("approve", f"{name}/web 0.1.0").code == 0
    result = result_of(waiting.end())
    assert states(result) == dict.fromkeys(("base", "web", "api"), "released 0.1.0")
    again = result_of(commands.run("release", shop, *options))
    assert set(states(again).values()) == {"unchanged 0.1.0"}, "there is nothing to ask"


async def test_each_changelog_is_its_own(run_release: Release, shop: Path, server: GitServer) -> None:
    """Of components that are released side by side from a git server; they are no reason for another release."""
    bare = served(server, shop)
    asked = {"source": server.url(bare.name), "notes": {"changelog": "CHANGELOG.md"}}
    first = await run_release(**asked)
    assert states(first) == dict.fromkeys(("base", "web", "api"), "released 0.1.0")
    assert not first.warnings
    head = git(shop, "rev-parse", "HEAD")
    for name in ("base", "web", "api"):
        assert git(bare, "rev-parse", f"{name}/v0.1.0^{{commit}}") == head
        assert "0.1.0" in git(bare, "show", f"main:{name}/CHANGELOG.md")
    assert set(states(await run_release(**asked)).values()) == {"unchanged 0.1.0"}
    every = await run_release(**asked, components={"all": True})
    assert set(states(every).values()) == {"unchanged 0.1.0"}, "from the same commit, but for changelogs"
    push(shop, bare, "fix: web", {"web/more": ""})
    second = await run_release(**asked)
    assert states(second) == {"base": "unchanged 0.1.0", "web": "released 0.1.1", "api": "unchanged 0.1.0"}
    log = git(bare, "show", "main:web/CHANGELOG.md")
    assert log.index("0.1.1") < log.index("0.1.0") and "changelog" not in log.lower().partition("\n")[2]


async def test_changelogs_in_a_work_tree(run_release: Release, shop: Path) -> None:
    """Without a remote they are on its branch and in its files."""
    asked = {"source": str(shop), "notes": {"changelog": "CHANGELOG.md"}}
    first = await run_release(**asked)
    assert states(first) == dict.fromkeys(("base", "web", "api"), "released 0.1.0")
    assert git(shop, "status", "--porcelain") == ""
    for name in ("base", "web", "api"):
        assert "0.1.0" in (shop / name / "CHANGELOG.md").read_text()
    assert set(states(await run_release(**asked)).values()) == {"unchanged 0.1.0"}


def test_each_has_a_pull_request(
    commands: WarmStarter, shop: Path, server: GitServer, place: Place, traces: Traces
) -> None:
    """Merging one releases that component; what is based on it waits for its own."""
    commit(shop, "feat: versions", {f"{name}/version": "0.0.0\n" for name in ("base", "api", "web")})
    bare = served(server, shop)
    place.vault.put("secret/forge", {"token": TOKEN})
    with forge_double("gitea") as double:
        forge = ("--forge", double.kind, "--forge-url", double.api, "--forge-repository", REPOSITORY[double.kind])
        options = (
            *(server.url(bare.name), "--pull-request", "--version-file", "version", *forge),
            *("--forge-token", "vault:secret/forge", "--image", f"{traces.connection.registry}/{shop.name}"),
            *("--config-allow", "image"),
            *place.credentials,
        )
        plan = json.loads(commands.run("plan", *options, env=place.as_root()).stdout)
        assert all(each["pull_request"] for each in plan["components"]) and double.pulls == []

        def release() -> dict[str, str]:
            return states(result_of(commands.run("release", *options, env=place.as_root())))

        def merge(component: str) -> None:
            branch = f"slipway/release-main-{component}-v"
            git(shop, "fetch", "--quiet", str(bare), branch)
            git(shop, "merge", "--quiet", "--no-ff", "--message", "Merge", "FETCH_HEAD")
            git(shop, "push", "--quiet", str(bare), "main")
            for pull in double.pulls:
                if pull["head"]["ref"] == branch:
                    pull["state"] = "closed"

        assert set(release().values()) == {"waiting None"}
        assert len(double.pulls) == 3 and git(bare, "tag") == ""
        heads = git(bare, "for-each-ref", "--format=%(refname:short)", "refs/heads").splitlines()
        assert heads == ["main", *(f"slipway/release-main-{name}-v" for name in ("api", "base", "web"))]
        changed = git(bare, "diff", "--name-only", "main", "slipway/release-main-api-v").splitlines()
        assert changed == ["api/CHANGELOG.md", "api/version"]

        merge("web")
        assert release() == {"base": "waiting None", "web": "released 0.1.0", "api": "waiting None"}
        merge("api")
        assert release() == {"base": "waiting None", "web": "unchanged 0.1.0", "api": "waiting None"}
        merge("base")
        assert release() == {"base": "released 0.1.0", "web": "unchanged 0.1.0", "api": "released 0.1.0"}
        assert len(double.pulls) == 3

        push(shop, bare, "feat: base", {"base/message": "two"})
        assert release()["base"] == "waiting None" and release()["api"] == "unchanged 0.1.0"
        merge("base")
        assert release() == {"base": "released 0.2.0", "web": "unchanged 0.1.0", "api": "waiting None"}
        merge("api")
        assert release() == {"base": "unchanged 0.2.0", "web": "unchanged 0.1.0", "api": "released 0.1.1"}
        assert set(release().values()) == {"unchanged 0.2.0", "unchanged 0.1.0", "unchanged 0.1.1"}


SET = """\
image = "{place}"
platforms = ["linux/amd64"]
[components.base]
[components.{name}]
depends_on = ["base"]
[components.{name}.bake]
"""
BAKE = """\
group "default" { targets = ["one", "two"] }
target "one" { args = { NAME = "one" } }
target "two" { args = { NAME = "two" } }
"""


async def test_a_set_is_a_component(run_release: Release, shop: Path, traces: Traces, registry: RegistryClient) -> None:
    """All its images have its version, and are based on the component that was just released."""
    name = f"set-{uuid4().hex[:8]}"
    place = f"{traces.connection.registry}/{shop.name}"
    files = {
        "slipway.toml": SET.format(place=place, name=name),
        f"{name}/docker-bake.hcl": BAKE,
        f"{name}/Dockerfile": "FROM base\nARG NAME\nLABEL name=$NAME\nCOPY message /stack\n",
        f"{name}/message": "one",
    }
    commit(shop, "feat: a set", files)
    allowed = {"allow": ["image", "bake"]}
    result = await run_release(source=str(shop), config=allowed)
    assert states(result) == {"base": "released 0.1.0", name: "released 0.1.0"}
    assert git(shop, "tag").split() == ["base/v0.1.0", f"{name}/v0.1.0"]
    for target in ("one", "two"):
        assert await registry.tags(f"{name}/{target}") == ["0.1.0"]
    commit(shop, "feat: base", {"base/message": "two"})
    result = await run_release(source=str(shop), config=allowed)
    assert states(result) == {"base": "released 0.2.0", name: "released 0.1.1"}
    for version in ("0.1.0", "0.1.1"):
        image = await registry.manifest(f"{name}/two", version)
        image = await registry.manifest(f"{name}/two", next(c for c in image.children if c.is_image).digest)
        base = await registry.manifest(f"{shop.name}/base", "0.1.0" if version == "0.1.0" else "0.2.0")
        base = await registry.manifest(f"{shop.name}/base", next(c for c in base.children if c.is_image).digest)
        layers = [blob.digest for blob in base.blobs[1:]]
        assert [blob.digest for blob in image.blobs[1:]][: len(layers)] == layers
