"""A base image moves in the real registry: a patch release is scheduled, once, of the commit that was released."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from prefect_slipway.flows.trust.signing import sign
from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.registry.signatures import TaggedAttachments
from tests.conftest import RunningStack
from tests.contract.registry.conftest import Fixed
from tests.git_repository import commit
from tests.integration.bases.conftest import Application, make_application
from tests.releases import complaint, registry_login
from tests.signers import LocalSigner
from tests.warm import WarmStarter

DOCKERFILE = "ARG TAG=1\nFROM PLACE/base:$TAG\nCOPY Dockerfile /\n"


@pytest.fixture(scope="module")
def application(
    stack: RunningStack, commands: WarmStarter, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Application]:
    folder = tmp_path_factory.mktemp("bases")
    yield make_application(stack, commands, folder, "bases", DOCKERFILE)
    shutil.rmtree(folder)


def test_a_base_moves(application: Application) -> None:
    """Nothing before the first release, nothing while the base stands still; then one patch release, whoever asks how
    often, which builds the released commit and not what came after; after it all is quiet."""
    application.move("1")
    assert application.check()["outcome"] == "not released yet"
    first = application.release()
    commit(application.folder / "app.git", "feat: not released", {"Dockerfile": "FROM nowhere.example.com/x\n"})
    for _ in range(2):
        quiet = application.check()
        assert quiet["outcome"] == "1 base image, none changed"
        assert quiet["version"] == first["version"]
    assert application.probe.runs() == []

    application.move("2")
    moved = application.check()
    assert moved["outcome"].startswith(f"{application.place}/base:1 changed: patch release ")
    [run] = application.probe.runs()
    assert run["id"] == moved["run_id"]
    assert run["state"]["type"] == "SCHEDULED"
    assert run["parameters"]["request"] == {
        "source": str(application.folder / "app.git"),
        "image": application.image,
        "bump": "patch",
        "checkout": {"ref": application.revision},
        "version": {"again": True},
    }
    [said] = moved["moved"]
    before, after = said.rpartition(" -> ")[0].rpartition(" ")[2], said.rpartition(" -> ")[2]
    assert before.startswith("sha256:")
    assert after.startswith("sha256:")
    assert before != after

    again = application.check()
    assert "changed: the patch release" in again["outcome"]
    assert again["run_id"] == run["id"]
    assert len(application.probe.runs()) == 1

    second = application.release("--ref", application.revision, "--again")
    assert second["digest"] != first["digest"]
    after_it = application.check()
    assert after_it["outcome"] == "1 base image, none changed"
    assert after_it["version"] == second["version"]
    assert len(application.probe.runs()) == 1


async def test_only_what_is_signed_is_built_again(stack: RunningStack, commands: WarmStarter, tmp_path: Path) -> None:
    """Whoever can push an image must not choose what is built: with `--require`, a moved base of an image that lacks it
    fails the run, starts nothing, and counts as moved still."""
    application = make_application(stack, commands, tmp_path, f"bases-{uuid4().hex[:8]}", DOCKERFILE)
    signer, key = LocalSigner(), tmp_path / "key.pem"
    key.write_text(signer.key.pem)
    application.move("1")
    released = application.release()
    assert application.check()["outcome"] == "1 base image, none changed"
    application.move("2")
    asked = ("check-bases", application.probe.name, "--require")
    assert "is not signed" in complaint(commands.run(*asked, key))
    assert "nobody is trusted" in complaint(commands.run(*asked, "provenance"), 2)
    assert application.probe.runs() == []

    image = ImageReference.parse(application.image)
    login = Fixed(Credential(*registry_login(stack.connection)))
    async with RegistryClient(image.api_host, login, insecure=True, ca_file=None) as client:
        for digest in (released["digest"], *released["platforms"].values()):
            await sign(image.with_digest(digest), signer, TaggedAttachments(client, image.repository))
    assert complaint(commands.run(*asked, key, "--require", "sbom"))
    assert application.probe.runs() == []
    moved = application.check("--require", str(key))
    assert "changed: patch release " in moved["outcome"]
    assert [run["id"] for run in application.probe.runs()] == [moved["run_id"]]


def test_what_cannot_be_checked(application: Application) -> None:
    """An unknown deployment fails the run, and says which."""
    said = complaint(application.commands.run("check-bases", application.probe.name, "release/none-such"), 2)
    assert "no deployment has the name 'release/none-such'" in said
