"""What other tools write beside an image is verified here just as well, and neither side loses the other's.

Debian's cosign has no support for Vault, and imports no keys but Ed25519; it generates ECDSA P-256.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from prefect_slipway.flows.trust.signing import attest, sign
from prefect_slipway.flows.trust.verifying import verify_attested, verify_signed
from prefect_slipway.infra.domain.errors import UntrustedKey
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.domain.signing import PublicKey
from prefect_slipway.infra.signing.keys import TrustedKeys, read_public_keys
from prefect_slipway.infra.signing.statement import PROVENANCE, Statement
from prefect_slipway.infra.signing.verification import Signature
from tests.contract.signing.conftest import Stores
from tests.contract.signing.test_real_verifiers import PREDICATES
from tests.contract.signing.tools import Tools
from tests.signers import LocalSigner

WITHOUT_LOG = ("--tlog-upload=false", "--allow-http-registry", "--yes")


@pytest.fixture(params=["ecdsa-p256", "ed25519"])
def local(request: pytest.FixtureRequest, tmp_path: Path, tools: Tools) -> PublicKey:
    """The public half of a key that cosign has in its file `local.key`."""
    if request.param == "ecdsa-p256":
        made = tools.cosign("generate-key-pair", "--output-key-prefix", "local")
    else:
        (tmp_path / "private.pem").write_text(LocalSigner(request.param).private_pem)
        made = tools.cosign("import-key-pair", "--key", "private.pem", "--output-key-prefix", "local")
    assert made.returncode == 0, made.stderr
    return read_public_keys((tmp_path / "local.pub").read_text(), "local.pub")[0]


def cosign_sign(tools: Tools, image: ImageReference, *options: str) -> None:
    signed = tools.cosign("sign", "--key", "local.key", *options, *WITHOUT_LOG, str(image))
    assert signed.returncode == 0, signed.stderr


def cosign_attest(tools: Tools, folder: Path, image: ImageReference, *options: str) -> None:
    (folder / "predicate.json").write_text(json.dumps(PREDICATES[PROVENANCE]))
    attested = tools.cosign(
        *("attest", "--key", "local.key", "--type", "slsaprovenance1", "--predicate", "predicate.json"),
        *(*options, *WITHOUT_LOG, str(image)),
    )
    assert attested.returncode == 0, attested.stderr


async def test_cosigns_signature_is_accepted(
    local: PublicKey, image: ImageReference, stores: Stores, tools: Tools
) -> None:
    """`cosign sign --key local.key -a team=a`: accepted with its claims, by that key alone."""
    cosign_sign(tools, image, "-a", "team=a")
    found = await verify_signed(image, TrustedKeys([local]), tagged=stores.tagged, referrers=stores.referrers)
    assert [each.claims for each in found if isinstance(each, Signature)] == [{"team": "a"}]
    with pytest.raises(UntrustedKey):
        other = TrustedKeys([LocalSigner().key])
        await verify_signed(image, other, tagged=stores.tagged, referrers=stores.referrers)


@pytest.mark.parametrize("options", [(), ("--new-bundle-format",)], ids=["tag", "bundle"])
async def test_cosigns_attestation_is_accepted(
    local: PublicKey, image: ImageReference, stores: Stores, tools: Tools, tmp_path: Path, options: tuple[str, ...]
) -> None:
    """`cosign attest`, in its older format and as a bundle, by that key alone."""
    cosign_attest(tools, tmp_path, image, *options)
    verify = partial(verify_attested, image, PROVENANCE, referrers=stores.referrers, envelopes=stores.envelopes)
    found = await verify(TrustedKeys([local]))
    assert found[0].statement.predicate["runDetails"]["builder"] == {"id": "https://example.com/builder"}
    with pytest.raises(UntrustedKey):
        await verify(TrustedKeys([LocalSigner().key]))


@pytest.mark.parametrize("local", ["ecdsa-p256"], indirect=True)
async def test_skopeos_signature_is_accepted(
    local: PublicKey, image: ImageReference, stores: Stores, tools: Tools, tmp_path: Path
) -> None:
    """`skopeo copy --sign-by-sigstore-private-key` names the tag, too: it is a signature of the same repository."""
    signed = tools.skopeo_sign(image, tmp_path / "local.key")
    assert signed.returncode == 0, signed.stderr
    assert await verify_signed(image, TrustedKeys([local]), tagged=stores.tagged, referrers=stores.referrers)


@pytest.mark.parametrize("local", ["ecdsa-p256"], indirect=True)
@pytest.mark.parametrize("first", ["ours", "cosign"])
async def test_both_sign_the_same_image(
    local: PublicKey, image: ImageReference, stores: Stores, tools: Tools, tmp_path: Path, first: str
) -> None:
    """Whoever comes second adds to what is there: both signatures and both attestations hold, for both tools."""
    ours = LocalSigner()

    async def sign_here() -> None:
        await sign(image, ours, stores.tagged)
        await attest(image, [Statement.about(image, PROVENANCE, PREDICATES[PROVENANCE])], ours, stores.referrers)

    if first == "ours":
        await sign_here()
    cosign_sign(tools, image)
    cosign_attest(tools, tmp_path, image, "--new-bundle-format")
    if first == "cosign":
        await sign_here()
    for key in (local, ours.key):
        trusted = TrustedKeys([key])
        await verify_signed(image, trusted, tagged=stores.tagged, referrers=stores.referrers)
        await verify_attested(image, PROVENANCE, trusted, referrers=stores.referrers)
        verified = tools.cosign_verify(image, key)
        assert verified.returncode == 0, verified.stderr
        attested = tools.cosign_verify_attestation(image, key, PROVENANCE)
        assert attested.returncode == 0, attested.stderr
        pulled = tools.skopeo_verify(image, key)
        assert pulled.returncode == 0, pulled.stderr
