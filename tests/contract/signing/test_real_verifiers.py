"""What Slipway writes, in both formats and with each type of key, is what the verifiers that people run accept."""

from __future__ import annotations

from typing import Any

from prefect_slipway.flows.trust.signing import attest, sign
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.signing.statement import CYCLONEDX, PROVENANCE, SIGNED, SPDX, TEST_RESULT, Statement
from prefect_slipway.infra.vault.transit import TransitKey
from tests.contract.signing.conftest import Stores
from tests.contract.signing.tools import Tools
from tests.signers import LocalSigner

PREDICATES: dict[str, dict[str, Any]] = {
    SIGNED: {},
    PROVENANCE: {
        "buildDefinition": {"buildType": "https://example.com/build", "externalParameters": {}},
        "runDetails": {"builder": {"id": "https://example.com/builder"}},
    },
    SPDX: {"spdxVersion": "SPDX-2.3", "name": "app ünïcode <&>", "packages": []},
    CYCLONEDX: {"bomFormat": "CycloneDX", "specVersion": "1.6"},
    TEST_RESULT: {"result": "PASSED", "configuration": [], "passedTests": ["smoke"]},
}


async def test_cosign_and_skopeo_accept_the_older_format(
    transit: TransitKey, image: ImageReference, stores: Stores, tools: Tools
) -> None:
    """`cosign verify --key` and a node's policy.json accept the signature by its key, and by no other."""
    assert await sign(image, transit, stores.tagged)
    key, other = await transit.public_key(), LocalSigner(transit.path.key).key

    verified = tools.cosign_verify(image, key)
    assert verified.returncode == 0, verified.stderr
    refused = tools.cosign_verify(image, other)
    assert refused.returncode != 0
    assert "no matching signatures" in refused.stderr, refused.stderr

    pulled = tools.skopeo_verify(image, key)
    assert pulled.returncode == 0, pulled.stderr
    rejected = tools.skopeo_verify(image, other)
    assert rejected.returncode != 0
    assert "signature" in rejected.stderr, rejected.stderr


async def test_cosign_and_npm_accept_bundles(
    transit: TransitKey, image: ImageReference, stores: Stores, tools: Tools
) -> None:
    """`cosign verify-attestation` and @sigstore/verify accept a bundle by its key, and by no other."""
    assert image.digest is not None
    statement = Statement.about(image, PROVENANCE, PREDICATES[PROVENANCE])
    assert await attest(image, [statement], transit, stores.referrers) == 1
    key, other = await transit.public_key(), LocalSigner(transit.path.key).key

    verified = tools.cosign_verify_attestation(image, key, PROVENANCE)
    assert verified.returncode == 0, verified.stderr
    assert tools.cosign_verify_attestation(image, other, PROVENANCE).returncode != 0

    (attached,) = await stores.referrers.attached(image.digest)
    bundle = await stores.referrers.content(attached)
    verified = tools.npm_verify(bundle, key)
    assert verified.returncode == 0, verified.stderr
    refused = tools.npm_verify(bundle, other, hint=key.hint)
    assert refused.returncode != 0
    assert "signature verification failed" in refused.stderr


async def test_each_statement_is_found_by_its_type(image: ImageReference, stores: Stores, tools: Tools) -> None:
    """A signature alone, provenance, SBOMs and a test's result beside each other, for both verifiers."""
    assert image.digest is not None
    signer = LocalSigner()
    statements = [Statement.about(image, kind, predicate) for kind, predicate in PREDICATES.items()]
    assert await attest(image, statements, signer, stores.referrers) == len(PREDICATES)
    for kind in PREDICATES:
        verified = tools.cosign_verify_attestation(image, signer.key, kind)
        assert verified.returncode == 0, f"{kind}: {verified.stderr}"
    for attached in await stores.referrers.attached(image.digest):
        verified = tools.npm_verify(await stores.referrers.content(attached), signer.key)
        assert verified.returncode == 0, verified.stderr
