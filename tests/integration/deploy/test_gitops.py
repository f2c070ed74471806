"""Images written to a real git repository over HTTP, with a credential and a signing key from a real Vault; promoted
and rolled back there; and the workload that follows the repository."""

from __future__ import annotations

import asyncio
import json
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from prefect_slipway.blocks import Policy
from prefect_slipway.flows.deploy_git import deploy_git
from prefect_slipway.flows.promote_git import promote_git
from prefect_slipway.flows.reporting.events import DEPLOY_FAILED, IMAGE_DEPLOYED, IMAGE_ROLLED_BACK, NOT_CHANGED
from prefect_slipway.flows.request.gitops import GitDeployRequest, GitPromoteRequest, GitRollbackRequest
from prefect_slipway.flows.rollback_git import rollback_git
from prefect_slipway.flows.rollouts.values import PromoteResult
from prefect_slipway.flows.run.approval import Approval
from prefect_slipway.flows.values.gitops import GitWrite
from prefect_slipway.infra.domain.errors import (
    BranchRefused,
    ForgeUnreachable,
    ImagePlaceMissing,
    InvalidOption,
    NotFollowed,
    NotPromoted,
    NotSigned,
    ReleaseUnknown,
)
from prefect_slipway.infra.kubernetes.workloads.workload import Workload
from prefect_slipway.infra.kubernetes.workloads.workload_name import WorkloadName
from prefect_slipway.infra.vault.access import TokenAuth, VaultAccess
from prefect_slipway.infra.vault.session import VaultSession
from prefect_slipway.infra.vault.transit import TransitKey, TransitPath
from tests.conftest import Run
from tests.docs.events_page import EVENTS
from tests.forges.double import REPOSITORY, TOKEN, forge_double
from tests.git_repository import commit, git, make_bare, make_repository
from tests.git_server import GitServer, serve_git
from tests.kubernetes.deploy_place import DeployPlace
from tests.servers import VaultServer, vault_server
from tests.signers import LocalSigner
from tests.ssh_server import serve_ssh, ssh_key
from tests.waiting import calmly_until

PASSWORD = "hidden-treasure-4711"
STAGES = ("staging", "production")
KUSTOMIZATION = "# kept\nresources: []\n"


@dataclass
class Config:
    """A repository that a cluster follows, with a folder for each stage."""

    place: DeployPlace
    bare: Path
    server: GitServer
    vault: VaultServer

    def target(self, stage: str = "staging", **more: Any) -> dict[str, Any]:
        return {
            "repository": self.server.url("config.git"),
            "path": f"{stage}/app",
            "credentials": "vault:secret/git",
            "author": "Robot <robot@example.com>",
            **more,
        }

    async def deploy(
        self,
        behaviour: str,
        stage: str = "staging",
        require: list[str] | None = None,
        approval: bool = False,
        **more: Any,
    ) -> GitWrite:
        git_target = self.target(stage, **more)
        with self.place.prefect():
            return await deploy_git(
                GitDeployRequest.read(
                    {
                        "reference": self.place.images[behaviour],
                        "credentials": ["vault:secret/registry"],
                        "require": require or [],
                        "approval": approval,
                        "git": git_target,
                    }
                )
            )

    async def roll_back(self, **more: Any) -> GitWrite:
        values = {"credentials": ["vault:secret/registry"], "git": self.target(), **more}
        with self.place.prefect():
            return await rollback_git(GitRollbackRequest.read(values))

    async def promote(self, **more: Any) -> PromoteResult[GitWrite]:
        stages = [
            self.target(stage, name=stage, approval=False, image=self.place.images.repository) for stage in STAGES
        ]
        values = {"credentials": ["vault:secret/registry"], "environments": stages, **more}
        with self.place.prefect():
            return await promote_git(GitPromoteRequest.read(values))

    def text(self, stage: str = "staging", branch: str = "main") -> str:
        return git(self.bare, "show", f"{branch}:{stage}/app/kustomization.yaml") + "\n"

    def digest(self, stage: str = "staging", branch: str = "main") -> str | None:
        images = yaml.safe_load(self.text(stage, branch)).get("images", [{}])
        return str(images[0].get("digest"))

    @property
    def commits(self) -> int:
        return int(git(self.bare, "rev-list", "--count", "main"))


@pytest.fixture
def config(place: DeployPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Config]:
    files = {f"{stage}/app/kustomization.yaml": KUSTOMIZATION for stage in STAGES}
    bare = make_bare(tmp_path / "served" / "config.git", make_repository(tmp_path / "work", files))
    git(bare, "config", "uploadpack.allowFilter", "true")
    assert place.login is not None
    with serve_git(bare.parent, password=PASSWORD) as server, vault_server(tmp_path / "vault") as vault:
        vault.put("secret/git", {"username": "robot", "password": PASSWORD})
        vault.put("secret/registry", dict(zip(("username", "password"), place.login, strict=True)))
        vault.root.call("POST", "sys/mounts/transit", {"type": "transit"})
        vault.root.call("POST", "transit/keys/commits", {"type": "ed25519"})
        monkeypatch.setenv("VAULT_ADDR", vault.address)
        monkeypatch.setenv("VAULT_TOKEN", str(vault.token(policies=["root"])["client_token"]))
        yield Config(place, bare, server, vault)


async def test_deploys_and_rollbacks(config: Config, tmp_path: Path) -> None:
    """Each release is a commit with version and digest, the same again is none; a rollback is a commit that reverts."""
    place = config.place
    first = await config.deploy("good")
    assert first.changed
    assert first.version == "1.0.0"
    assert config.text().startswith(KUSTOMIZATION)
    assert yaml.safe_load(config.text())["images"] == [
        {"name": place.images.repository, "newTag": "1.0.0", "digest": place.images.digests["good"]}
    ]
    assert not (await config.deploy("good")).changed
    assert config.commits == 2
    (told,) = await place.events(IMAGE_DEPLOYED)
    assert told["payload"].keys() == EVENTS[IMAGE_DEPLOYED].payload.keys()
    assert told["payload"]["git"] == {
        "repository": first.repository,
        "branch": "main",
        "path": "staging/app",
        "commit": first.commit,
    }
    before = config.text()

    second = await config.deploy("better", sign="vault:transit/commits")
    assert config.digest() == place.images.digests["better"]
    said = git(config.bare, "log", "-1", "--format=%an %ae%n%B", "main")
    assert said.startswith("Robot robot@example.com\nchore(deploy): ")
    for fact in ("1.1.0", place.images.digests["better"], f"Before: {place.images.repository}:1.0.0@", "Slipway-Run: "):
        assert fact in said
    root = TokenAuth(str(config.vault.token(policies=["root"])["client_token"]))
    async with VaultSession(VaultAccess(config.vault.address, root)) as session:
        (key,) = await TransitKey(session, TransitPath.parse("vault:transit/commits")).public_keys()
    public = load_der_public_key(key.spki).public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    (tmp_path / "allowed").write_text(f"robot@example.com {public}\n")
    settings = ["-c", "gpg.format=ssh", "-c", f"gpg.ssh.allowedSignersFile={tmp_path / 'allowed'}"]
    subprocess.run(["git", *settings, "verify-commit", str(second.commit)], cwd=config.bare, check=True)

    back = await config.roll_back()
    assert back.version == "1.0.0"
    assert config.text() == before
    assert f"This reverts commit {second.commit}." in git(config.bare, "log", "-1", "--format=%B", "main")
    with pytest.raises(ReleaseUnknown):  # nothing was there before the first, and the second was rolled back
        await config.roll_back()
    (told,) = await place.events(IMAGE_ROLLED_BACK)
    assert (told["payload"]["version"], "cause" in told["payload"]) == ("1.0.0", False)
    assert (await config.roll_back(to="1.1.0")).version == "1.1.0"
    assert config.digest() == place.images.digests["better"]


async def test_promotion(config: Config) -> None:
    """Just what is in the first environment goes on, and only if it has what is required."""
    place = config.place
    with pytest.raises(NotPromoted):
        await config.promote()
    await config.deploy("good")
    with pytest.raises(NotPromoted, match="staging"):
        await config.promote(reference=place.images["better"])
    with pytest.raises(NotSigned):
        await config.promote(require=["vault:transit/commits"])
    assert config.text("production") == KUSTOMIZATION
    done = await config.promote()
    assert done.digest == config.digest("production") == place.images.digests["good"]
    assert done.environments["production"].changed
    assert not (await config.promote()).environments["production"].changed


@pytest.mark.parametrize("kind", ["github", "gitlab", "gitea"])
async def test_a_pull_request(config: Config, kind: str) -> None:
    """The branch stays, and another one has the commit; the forge gets one pull request, also after it was out of
    reach."""
    done = await config.deploy("good", pull_request=True)
    assert done.branch.startswith("slipway/") and done.pull_request is None
    assert config.text() == KUSTOMIZATION
    assert config.digest(branch=done.branch) == config.place.images.digests["good"]
    config.vault.put("secret/forge", {"token": TOKEN})
    with forge_double(kind) as double:
        forge = {"forge": kind, "forge_url": double.api, "forge_repository": REPOSITORY[kind]}
        asked: dict[str, Any] = {"pull_request": True, "forge_token": "vault:secret/forge", **forge}
        again = await config.deploy("good", **asked)
        (pull,) = double.pulls
        assert (again.changed, again.commit) == (False, done.commit)
        assert again.pull_request is not None and again.pull_request.startswith("http://127.0.0.1")
        assert pull["title"].startswith("chore(deploy): ")
        writes = list(double.writes)
        assert (await config.deploy("good", **asked)).pull_request == again.pull_request
        assert double.writes == writes
    with pytest.raises(ForgeUnreachable):
        await config.deploy("better", **asked)
    assert TOKEN not in str(git(config.bare, "log", "--all", "--format=%B"))


async def test_pull_requests_of_two_places(config: Config) -> None:
    """One version of an image for two places: each has a branch of its own, and neither takes the other's."""
    first = await config.deploy("good", pull_request=True)
    second = await config.deploy("good", "production", pull_request=True)
    assert first.branch != second.branch
    assert config.digest(branch=first.branch) == config.place.images.digests["good"]
    assert config.text(branch=second.branch) == config.text("production", branch=first.branch) == KUSTOMIZATION
    assert not (await config.deploy("good", pull_request=True)).changed


async def test_a_promotion_of_a_part(config: Config, tmp_path: Path) -> None:
    """An image that some places of an environment lack has not been there."""
    images = config.place.images
    await config.deploy("better")
    await config.deploy("good")
    old = git(config.bare, "show", "main~1:staging/app/kustomization.yaml").partition("images:\n")[2]
    git(tmp_path, "clone", "--quiet", str(config.bare), "clone")
    commit(tmp_path / "clone", "by hand", {"staging/app/kustomization.yaml": f"{config.text()}{old}\n"})
    git(tmp_path / "clone", "push", "--quiet")
    with pytest.raises(NotPromoted, match=images.digests["better"]):
        await config.promote(reference=images["good"])
    assert config.text("production") == KUSTOMIZATION


async def test_a_token_without_a_pull_request(config: Config) -> None:
    with pytest.raises(InvalidOption):
        await config.deploy("good", forge_token="vault:secret/forge")


async def test_the_workload_that_follows(config: Config) -> None:
    """The run ends when the workload runs what was written; if nobody sets it there, it says so."""
    place = config.place
    await place.make(behaviour="good")
    place.options["pull_credentials"] = "vault:secret/registry"
    await place.deploy("good")

    async def reconcile() -> None:
        await calmly_until(lambda: config.digest() == place.images.digests["better"])
        workload = Workload(place.api, WorkloadName.parse("deployment/app"))
        await workload.set_image(place.images["better"], version=None, run="whoever follows")

    following: dict[str, Any] = {"workload": "deployment/app", "timeout_s": 60.0, "namespace": place.api.namespace}
    reconciler = asyncio.create_task(reconcile())
    done = await config.deploy("better", **following)
    await reconciler
    assert done.workload == "deployment/app"
    assert done.seconds is not None
    (told,) = [each["payload"] for each in await place.events(IMAGE_DEPLOYED, 2) if each["payload"]["git"] is not None]
    assert (told["workload"], told["namespace"], told["version"]) == ("deployment/app", place.api.namespace, "1.1.0")
    with pytest.raises(NotFollowed, match="was not set to"):
        await config.deploy("good", **{**following, "timeout_s": 0.5})
    (failed,) = await place.events(DEPLOY_FAILED)
    assert failed["payload"].keys() == EVENTS[DEPLOY_FAILED].payload.keys()
    assert (failed["payload"]["cause"], failed["payload"]["outcome"]) == ("NotFollowed", NOT_CHANGED)
    assert config.digest() == place.images.digests["good"]


async def test_a_namespaces_policy_holds_for_what_its_workloads_follow(config: Config) -> None:
    """Of deploys and promotions whose workload is named: refused before anything is written."""
    place = config.place
    following: dict[str, Any] = {"workload": "deployment/app", "timeout_s": 0.5, "namespace": place.api.namespace}
    await config.deploy("good")
    with place.prefect():
        name = f"policy-{uuid.uuid4().hex[:8]}"
        await Policy(trusted_keys=[LocalSigner().key.pem], namespaces=[place.api.namespace]).asave(name)
        try:
            with pytest.raises(NotSigned, match=name):
                await config.deploy("better", **following)
            with pytest.raises(NotSigned, match=name):
                await config.roll_back(to="1.1.0", git=config.target(**following))
            stages = [config.target(stage, name=stage, approval=False) for stage in STAGES]
            stages[1] |= following
            with pytest.raises(NotSigned, match=name):
                await config.promote(environments=stages, reference=place.images["good"])
        finally:
            await Policy.adelete(name)
    assert config.commits == 2
    assert config.text("production") == KUSTOMIZATION
    assert {each["payload"]["outcome"] for each in await place.events(DEPLOY_FAILED)} == {""}


async def test_a_rollback_of_values_that_name_no_image(config: Config, tmp_path: Path) -> None:
    """A chart's values often have a tag alone: the image is asked for, and with it the rollback finds its way."""
    git(tmp_path, "clone", "--quiet", str(config.bare), "clone")
    commit(tmp_path / "clone", "values", {"staging/app/values.yaml": "image:\n  tag: 0.0.0\n"})
    git(tmp_path / "clone", "push", "--quiet")
    for behaviour in ("good", "better"):
        await config.deploy(behaviour, kind="helm")
    for to in ({}, {"to": "1.0.0"}):
        with pytest.raises(ReleaseUnknown, match="names no image") as told:
            await config.roll_back(git=config.target(kind="helm"), **to)
        assert "--image" in told.value.action
    back = await config.roll_back(git=config.target(kind="helm"), image=config.place.images.repository)
    assert back.version == "1.0.0"


async def test_what_goes_wrong(config: Config) -> None:
    """Nothing is written, and each has its own cause."""
    with pytest.raises(ImagePlaceMissing):
        await config.deploy("good", kind="helm", path="staging/app/kustomization.yaml")
    with pytest.raises(InvalidOption, match="git ref"):
        await config.deploy("good", branch="..")
    config.server.writable = False
    with pytest.raises(BranchRefused):
        await config.deploy("good")
    assert config.commits == 1


def test_the_commands(config: Config, slipway: Run, stack: Any) -> None:
    """`slipway deploy --git`, `rollback --git` and `promote` with `git=` in environments."""
    url = config.server.url("config.git")
    config.server.password = None
    place = config.place
    options = ("--git", url, "--git-path", "staging/app", "--credentials", stack.connection.registry_secret)
    done = slipway("deploy", place.images["good"], *options, "--format", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["commit"] == git(config.bare, "rev-parse", "main")
    assert slipway("deploy", place.images["better"], *options).returncode == 0
    back = slipway("rollback", *options)
    assert back.returncode == 0, back.stderr
    assert config.digest() == place.images.digests["good"]
    stages = [f"{stage}:git={url},path={stage}/app,approval=false" for stage in STAGES]
    promoted = slipway("promote", place.images["good"], *(f"--environment={each}" for each in stages), *options[-2:])
    assert promoted.returncode == 0, promoted.stderr
    assert config.digest("production") == place.images.digests["good"]
    wrong = slipway("deploy", place.images["good"], *options, "--settle-s", "1")
    assert (wrong.returncode, "--settle-s cannot be combined with --git" in wrong.stderr) == (2, True)


def test_over_ssh_with_keys_from_vault(config: Config, slipway: Run, stack: Any, tmp_path: Path) -> None:
    """One key of a secret opens the connection, another one signs the commit; neither is anywhere afterwards."""
    place = config.place
    (tmp_path / "ssh").mkdir()
    signing = ssh_key(tmp_path, "signing")
    with serve_ssh(tmp_path / "ssh") as server:
        secret = {"ssh_key": server.key, "known_hosts": server.known_hosts, "signing_key": signing.read_text()}
        config.vault.put("secret/ssh", secret)
        options = (
            *("--git", server.url(config.bare), "--git-path", "staging/app", "--git-credentials", "vault:secret/ssh"),
            *("--git-author", "Robot <robot@example.com>", "--credentials", "vault:secret/registry"),
        )
        env = {
            "VAULT_ADDR": config.vault.address,
            "VAULT_TOKEN": str(config.vault.token(policies=["root"])["client_token"]),
        }
        signed = ("--git-sign", "vault:secret/ssh#signing_key", "--format", "json")
        done = slipway("deploy", place.images["good"], *options, *signed, env=env)
        assert done.returncode == 0, done.stderr
        written = json.loads(done.stdout)
        assert written["commit"] == git(config.bare, "rev-parse", "main")
        (tmp_path / "allowed").write_text(f"robot@example.com {Path(f'{signing}.pub').read_text()}")
        settings = ["-c", "gpg.format=ssh", "-c", f"gpg.ssh.allowedSignersFile={tmp_path / 'allowed'}"]
        subprocess.run(["git", *settings, "verify-commit", written["commit"]], cwd=config.bare, check=True)
        again = slipway("deploy", place.images["good"], *options, *signed, env=env)
        assert (again.returncode, json.loads(again.stdout)["changed"]) == (0, False)

        config.vault.put("secret/ssh", {**secret, "ssh_key": signing.read_text()})
        refused = slipway("deploy", place.images["better"], *options, *signed, env=env)
        assert refused.returncode == 1 and "Next: " in refused.stderr
        config.vault.put("secret/ssh", {**secret, "signing_key": "not a key"})
        unsigned = slipway("deploy", place.images["better"], *options, *signed, env=env)
        assert unsigned.returncode != 0 and "Next: " in unsigned.stderr
        assert config.digest() == place.images.digests["good"]
        for ended in (done, again, refused, unsigned):
            assert "PRIVATE KEY" not in ended.stdout + ended.stderr and "not a key" not in ended.stderr


async def test_the_question_says_what_was_verified(config: Config) -> None:
    """Before anything is written, whoever is asked reads what the image has of what is required."""
    place = config.place
    with pytest.raises(NotSigned):
        await config.deploy("good", require=["vault:transit/commits"], approval=True)
    root = TokenAuth(str(config.vault.token(policies=["root"])["client_token"]))
    async with VaultSession(VaultAccess(config.vault.address, root)) as session:
        await place.sign("good", TransitKey(session, TransitPath.parse("vault:transit/commits")))
    deploying = asyncio.create_task(config.deploy("good", require=["vault:transit/commits"], approval=True))
    run = await place.until("deploy-git", lambda run: run["state"]["type"] == "PAUSED")
    assert "verified: signed by vault:transit/commits" in await place.question(run)
    assert config.commits == 1
    await place.answer("deploy-git", Approval(answer="approve", by="Ada"))
    assert (await deploying).changed
