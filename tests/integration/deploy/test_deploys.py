"""The flows' contract on the Kubernetes in this process, and a rollback whose registry is down."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from prefect_slipway.flows.trust.signing import sign
from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.domain.errors import NotSigned, RegistryUnreachable, UntrustedKey
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.registry import RegistryClient
from prefect_slipway.infra.registry.signatures import TaggedAttachments
from tests.contract.registry.conftest import Fixed
from tests.kubernetes.deploy_contract import DeployContract
from tests.kubernetes.deploy_place import DeployPlace
from tests.kubernetes.rollout_parts import push_images, running_images
from tests.kubernetes.server import KubernetesServer
from tests.releases import registry_login
from tests.servers import registry_server
from tests.signers import LocalSigner


class TestDeployInProcess(DeployContract):
    pass


async def test_a_rollback_goes_on_while_its_registry_is_down(
    place: DeployPlace, kubernetes: KubernetesServer, tmp_path: Path
) -> None:
    """To what the workload remembers; a version that only the registry knows has to wait for it."""
    assert kubernetes.workloads is not None
    kubernetes.workloads.pulls_with = None
    place.options.pop("pull_credentials")
    with registry_server(tmp_path) as host:
        place = replace(place, images=push_images(host, "app", None))
        await place.make()
        for behaviour in ("good", "better"):
            await place.deploy(behaviour)
    back = await place.rollback()
    assert (back.version, back.reference, back.changed) == ("1.0.0", place.images["good"], True)
    assert await running_images(place.api) == {place.images["good"]}
    with pytest.raises(RegistryUnreachable):
        await place.rollback("1.2.0")


async def test_only_what_a_trusted_key_signed_is_rolled_out(place: DeployPlace, tmp_path: Path) -> None:
    """An image that is not signed, or by another key, is refused before anything is written; the same key lets it
    through, for a rollback as well."""
    await place.make()
    await place.deploy("good")
    before = (await place.state()).obj["metadata"]["resourceVersion"]
    signer, pem = LocalSigner(), tmp_path / "release.pem"
    pem.write_text(signer.key.pem)
    with pytest.raises(NotSigned, match="is not signed"):
        await place.deploy("better", require=[str(pem)])
    await sign_in(place, "better", LocalSigner())
    with pytest.raises(UntrustedKey):
        await place.deploy("better", require=[str(pem)])
    assert (await place.state()).obj["metadata"]["resourceVersion"] == before
    await sign_in(place, "better", signer)
    assert (await place.deploy("better", require=[str(pem)])).changed
    with pytest.raises(NotSigned):
        await place.rollback(require=[str(pem)])
    await sign_in(place, "good", signer)
    assert (await place.rollback(require=[str(pem)])).reference == place.images["good"]


async def sign_in(place: DeployPlace, behaviour: str, signer: LocalSigner) -> None:
    """Sign an image of the session's registry, as a release does."""
    image = ImageReference.parse(place.images[behaviour])
    credentials = Fixed(Credential(*registry_login(place.stack.connection)))
    async with RegistryClient(image.api_host, credentials, insecure=True, ca_file=None) as client:
        await sign(image, signer, TaggedAttachments(client, image.repository))
