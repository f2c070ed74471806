"""What a cluster and its nodes are given is what cosign and skopeo verify with."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from prefect_slipway.flows.trust.signing import sign
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.signing.cluster import policy_json, public_key_secret
from tests.contract.signing.conftest import Stores
from tests.contract.signing.tools import Tools
from tests.images import Pusher
from tests.kubernetes.server import KubernetesServer
from tests.signers import LocalSigner


async def test_the_secret_is_the_key_that_cosign_reads_from_a_cluster(
    image: ImageReference, stores: Stores, tools: Tools, tmp_path: Path
) -> None:
    """`cosign verify --key k8s://NAMESPACE/NAME` accepts the image by the right Secret and refuses it by another."""
    signer, other = LocalSigner(), LocalSigner()
    await sign(image, signer, stores.tagged)
    async with KubernetesServer(None) as kubernetes, httpx.AsyncClient(trust_env=False) as http:
        env = {"KUBECONFIG": str(kubernetes.kubeconfig(tmp_path))}
        for name, key in (("release-key", signer.key), ("other-key", other.key)):
            secret = public_key_secret(key, name=name, namespace="policies")
            url = f"http://127.0.0.1:{kubernetes.port}/api/v1/namespaces/policies/secrets"
            (await http.post(url, json=secret)).raise_for_status()
        command = ("verify", "--insecure-ignore-tlog", "--allow-http-registry", str(image), "--key")
        verified = await asyncio.to_thread(tools.cosign, *command, "k8s://policies/release-key", env=env)
        assert verified.returncode == 0, verified.stderr
        refused = await asyncio.to_thread(tools.cosign, *command, "k8s://policies/other-key", env=env)
        assert refused.returncode != 0
        assert "no matching signatures" in refused.stderr


@pytest.mark.parametrize("scope", ["registry", "team", "repository"])
async def test_a_nodes_policy_for_a_part_of_the_names(
    image: ImageReference, stores: Stores, tools: Tools, scope: str
) -> None:
    """A host, a team's repositories or one repository: signed images are pulled there, unsigned ones are refused."""
    signer = LocalSigner()
    await sign(image, signer, stores.tagged)
    part = {"registry": image.registry, "team": f"{image.registry}/team", "repository": image.name}[scope]
    policy = policy_json({part: [signer.key]})
    pulled = tools.skopeo_copy(image, policy, [part])
    assert pulled.returncode == 0, pulled.stderr
    with Pusher(image.registry, image.repository, None) as pusher:
        unsigned = image.with_digest(pusher.image(layers=[b"another"])["digest"])
    refused = tools.skopeo_copy(unsigned, policy, [part])
    assert refused.returncode != 0
    assert "A signature was required, but no signature exists" in refused.stderr


@pytest.mark.parametrize(("others", "code"), [("insecureAcceptAnything", 0), ("reject", 1)])
async def test_a_nodes_policy_for_all_other_images(image: ImageReference, tools: Tools, others: str, code: int) -> None:
    """Images outside the named repositories are pulled as before, or not at all."""
    policy = policy_json({f"{image.registry}/other/app": [LocalSigner().key]}, others=others)
    assert tools.skopeo_copy(image, policy, []).returncode == code


async def test_a_rotated_key_is_accepted_beside_the_old_one(
    image: ImageReference, stores: Stores, tools: Tools
) -> None:
    """With several keys one of them has to have signed."""
    old, new, other = LocalSigner(), LocalSigner("ed25519"), LocalSigner()
    await sign(image, old, stores.tagged)
    pulled = tools.skopeo_verify(image, new.key, old.key)
    assert pulled.returncode == 0, pulled.stderr
    refused = tools.skopeo_verify(image, new.key, other.key)
    assert refused.returncode != 0


async def test_a_tag_of_a_signed_image_is_pulled(image: ImageReference, stores: Stores, tools: Tools) -> None:
    """The signature names the digest and the repository, and so holds for each tag of the image."""
    signer = LocalSigner()
    await sign(image, signer, stores.tagged)
    pulled = tools.skopeo_verify(ImageReference(image.registry, image.repository, "1.0.0"), signer.key)
    assert pulled.returncode == 0, pulled.stderr
