"""Releases that write their image into a real git repository, as their release file and their request say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prefect.settings import PREFECT_API_URL, temporary_settings

from prefect_slipway.blocks import Policy
from prefect_slipway.flows.reporting.events import DEPLOY_FAILED, IMAGE_DEPLOYED
from tests.git_repository import commit, git, make_bare, make_repository
from tests.git_server import GitServer, serve_git
from tests.releases import Traces, complaint, make_source, result_of
from tests.signers import LocalSigner
from tests.warm import WarmStarter


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The bare repository that a cluster would follow."""
    return make_bare(
        tmp_path / "served" / "config.git", make_repository(tmp_path / "c", {"app/values.yaml": "image:\n"})
    )


@pytest.fixture
def server(config: Path) -> Iterator[GitServer]:
    with serve_git(config.parent) as served:
        yield served


def test_a_release_writes_what_its_file_says(
    commands: WarmStarter, traces: Traces, tmp_path: Path, config: Path, server: GitServer
) -> None:
    """If whoever runs it allows that; the plan says so; what cannot be written is told before anything is built."""
    commit_of = tmp_path / "work"
    git(tmp_path, "clone", "--quiet", str(config), str(commit_of))
    commit(commit_of, "image", {"app/values.yaml": "image:\n  tag: 0.0.0 # the version\n"})
    git(commit_of, "push", "--quiet", "origin", "main")
    source = make_source(tmp_path / "app-followed")
    url = server.url("config.git")
    file = source / "slipway.toml"
    file.write_text(f'[deploy.staging]\nrepository = "{url}"\npath = "app"\nkind = "helm"\n')
    said = complaint(commands.run("release", source), code=2)
    assert "`deploy.staging.repository`" in said
    assert "line 2" in said

    allowed = ("--config-allow", "deploy.staging.path", "--config-allow", "deploy.staging.kind", "--config-allow")
    refused = commands.run("release", source, *allowed, "deploy.staging.repository=https://other.example/*")
    assert "`deploy.staging.repository`" in complaint(refused, code=2)
    plan = commands.run("plan", source, *allowed, f"deploy.staging.repository={url}")
    assert f"write it to staging: app of {url} (main), when it is public" in plan.stdout

    result = result_of(commands.run("release", source, "--config-allow", "deploy", "--format", "json"))
    (done,) = result["deploys"]
    assert (done["target"], done["changed"], done["failure"]) == ("staging", True, None)
    assert done["commit"] == git(config, "rev-parse", "main")
    text = git(config, "show", "main:app/values.yaml")
    assert "# the version" in text
    assert yaml.safe_load(text)["image"] == {"tag": result["version"], "digest": result["digest"]}
    assert done["commit"][:12] in traces.report(result["flow_run_id"])
    told = traces.told(IMAGE_DEPLOYED, result["image"])
    assert (told["version"], told["workload"]) == (result["version"], None)
    assert (told["git"]["path"], told["git"]["commit"]) == ("app", done["commit"])

    file.write_text(file.read_text().replace('path = "app"', 'path = "gone"'))
    before = traces.tags("app-followed")
    said = complaint(commands.run("release", source, "--config-allow", "deploy"))
    assert "has no such file at gone" in said
    assert traces.tags("app-followed") == before


def test_a_target_that_refuses_leaves_a_public_image(
    commands: WarmStarter, traces: Traces, tmp_path: Path, config: Path, server: GitServer
) -> None:
    """The exit code, the state and the result say so; `slipway deploy --git` does the rest."""
    source = make_source(tmp_path / "app-refused")
    url = server.url("config.git")
    (source / "slipway.toml").write_text(
        f'[deploy.live]\nrepository = "{url}"\npath = "app/values.yaml"\nkind = "kustomize"\n'
    )
    server.writable = False
    ended = commands.run("release", source, "--config-allow", "deploy", "--format", "json")
    assert ended.code == 5, ended.stderr
    result = json.loads(ended.stdout)
    assert result["released"]
    assert result["deploys"][0]["failure"].startswith("BranchRefused: ")
    (run,) = traces.runs("app-refused")[:1]
    assert (run["state"]["type"], run["state"]["name"]) == ("COMPLETED", "NotDeployed")
    told = traces.told(DEPLOY_FAILED, result["image"])
    assert (told["cause"], told["outcome"]) == ("BranchRefused", "")
    server.writable = True
    options = ("--git", url, "--git-path", "app/values.yaml")
    assert commands.run("deploy", result["reference"], *options).code == 0
    assert yaml.safe_load(git(config, "show", "main:app/values.yaml"))["images"][0]["digest"] == result["digest"]


async def test_a_target_whose_namespace_has_a_policy(
    commands: WarmStarter, traces: Traces, tmp_path: Path, config: Path, server: GitServer
) -> None:
    """An image that the workload's namespace does not accept is not written for it."""
    source = make_source(tmp_path / "app-guarded")
    (source / "slipway.toml").write_text(
        f'[deploy.live]\nrepository = "{server.url("config.git")}"\npath = "app/values.yaml"\nkind = "kustomize"\n'
        'workload = "deployment/app"\nnamespace = "guarded"\n'
    )
    cluster = {"name": "c", "cluster": {"server": "https://127.0.0.1:9"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    user = {"name": "u", "user": {"token": "t"}}
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        json.dumps({"current-context": "c", "clusters": [cluster], "contexts": [context], "users": [user]})
    )
    with temporary_settings({PREFECT_API_URL: traces.connection.prefect_api_url}):
        await Policy(trusted_keys=[LocalSigner().key.pem], namespaces=["guarded"]).asave("guarded", overwrite=True)
    before = git(config, "rev-parse", "main")
    env = {"KUBECONFIG": str(kubeconfig)}
    ended = commands.run("release", source, "--config-allow", "deploy", "--format", "json", env=env)
    assert ended.code == 5, ended.stderr
    assert json.loads(ended.stdout)["deploys"][0]["failure"].startswith("NotSigned: ")
    assert git(config, "rev-parse", "main") == before


def test_the_same_release_finishes_its_targets(
    commands: WarmStarter, tmp_path: Path, config: Path, server: GitServer
) -> None:
    """A target that never got the image gets it, of a component as well; one that was rolled back stays so."""
    source = make_repository(tmp_path / "app-finished", {"README": ""})
    target = f'repository = "{server.url("config.git")}"\npath = "app/values.yaml"\nkind = "kustomize"\n'
    make_source(tmp_path / "parts")
    for name in ("Dockerfile", "busybox"):
        (tmp_path / "parts" / name).rename(source / name)
    commit(source, "feat: one", {"slipway.toml": f"[deploy.live]\n{target}"})
    options = (source, "--config-allow", "deploy", "--format", "json")
    server.writable = False
    ended = commands.run("release", *options)
    assert ended.code == 5, ended.stderr
    digest = json.loads(ended.stdout)["digest"]
    ended = commands.run("release", *options)
    assert ended.code == 5 and not json.loads(ended.stdout)["released"]

    server.writable = True
    result = result_of(commands.run("release", *options))
    assert not result["released"] and result["deploys"][0]["digest"] == digest
    assert yaml.safe_load(git(config, "show", "main:app/values.yaml"))["images"][0]["digest"] == digest
    assert result_of(commands.run("release", *options))["deploys"] == []
    work = tmp_path / "rolled-back"
    git(tmp_path, "clone", "--quiet", str(config), str(work))
    git(work, "revert", "--no-edit", "HEAD")
    git(work, "push", "--quiet", "origin", "main")
    before = git(config, "rev-parse", "main")
    assert result_of(commands.run("release", *options))["deploys"] == []
    assert git(config, "rev-parse", "main") == before

    (source / "part").mkdir()
    for name in ("Dockerfile", "busybox"):
        (source / name).rename(source / "part" / name)
    commit(source, "feat: a component", {"slipway.toml": f"[components.part]\n[components.part.deploy.live]\n{target}"})
    server.writable = False
    ended = commands.run("release", *options)
    assert ended.code == 5, ended.stderr
    assert json.loads(ended.stdout)["deploys"][0]["failure"].startswith("BranchRefused: ")
    server.writable = True
    result = result_of(commands.run("release", *options))
    assert result["components"][0]["state"] == "unchanged" and result["deploys"][0]["changed"]


def test_components_and_the_source_itself(
    commands: WarmStarter, tmp_path: Path, config: Path, server: GitServer
) -> None:
    """A target of another image is left alone, and a commit to the source's own repository starts no pipeline."""
    work = tmp_path / "shop-own"
    git(tmp_path, "clone", "--quiet", server.url("config.git"), str(work))
    make_source(tmp_path / "parts")
    for name in ("Dockerfile", "busybox"):
        (tmp_path / "parts" / name).rename(work / name)
    url = server.url("config.git")
    targets = f'repository = "{url}"\npath = "app/values.yaml"\n'
    commit(
        work,
        "feat: own",
        {"slipway.toml": f'[deploy.own]\n{targets}\n[deploy.other]\nimage = "r.example/other"\n{targets}'},
    )
    git(work, "push", "--quiet", "origin", "main")
    result = result_of(commands.run("release", work, "--config-allow", "deploy", "--format", "json"))
    (done,) = result["deploys"]
    assert done["target"] == "own"
    assert "[skip ci]" in git(config, "log", "-1", "--format=%s", "main")
