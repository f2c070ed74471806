"""Deploys of images whose key is in Vault, and requirements that cannot be met by anything."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from prefect_slipway.blocks import Policy
from prefect_slipway.flows.run.approval import Approval
from prefect_slipway.infra.domain.errors import InvalidOption, NotSigned
from prefect_slipway.infra.vault.access import TokenAuth, VaultAccess
from prefect_slipway.infra.vault.session import VaultSession
from prefect_slipway.infra.vault.transit import TransitKey, TransitPath
from tests.kubernetes.deploy_place import DeployPlace
from tests.servers import vault_server
from tests.signers import LocalSigner

KEY = "vault:transit/release"


async def test_a_key_in_vault_takes_the_session_of_the_run(
    place: DeployPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pull credential and key are read after one login: the secret id is good for one, and for the whole run."""
    assert place.login is not None
    user, password = place.login
    place.options["pull_credentials"] = "vault:secret/registry"
    await place.make()
    with vault_server(tmp_path / "vault") as vault:
        vault.put("secret/registry", {"username": user, "password": password})
        vault.root.call("POST", "sys/mounts/transit", {"type": "transit"})
        vault.root.call("POST", "transit/keys/release", {"type": "ed25519"})
        monkeypatch.setenv("VAULT_ADDR", vault.address)
        rules = ('path "transit/keys/release"', 'path "secret/data/registry"')
        policy = "\n".join(f'{rule} {{ capabilities = ["read"] }}' for rule in rules)

        def log_in_once() -> None:
            role = vault.approle("deployer", policy, secret_id_num_uses=1)
            monkeypatch.setenv("VAULT_ROLE_ID", role["role_id"])
            monkeypatch.setenv("VAULT_SECRET_ID", role["secret_id"])

        log_in_once()
        with pytest.raises(NotSigned):
            await place.deploy("good", require=[KEY])
        root = TokenAuth(str(vault.token(policies=["root"])["client_token"]))
        async with VaultSession(VaultAccess(vault.address, root)) as session:
            await place.sign("good", TransitKey(session, TransitPath.parse(KEY)))
        log_in_once()
        assert (await place.deploy("good", require=[KEY])).changed


@pytest.mark.parametrize(
    ("require", "said"),
    [
        (["provenance"], "nobody is trusted"),
        (["block:no-such-policy"], "there is no 'Slipway Policy' block"),
        (["/no/such/key.pem"], "cannot be read"),
    ],
)
async def test_what_cannot_be_required_is_told(place: DeployPlace, require: list[str], said: str) -> None:
    """And nothing is written."""
    await place.make()
    before = (await place.state()).obj
    with pytest.raises(InvalidOption, match=said):
        await place.deploy("better", require=require)
    assert (await place.state()).obj == before


async def test_the_question_says_what_was_verified(place: DeployPlace, tmp_path: Path) -> None:
    """Each requirement that the image meets, with the policy that asks for it; of an unsigned image nobody is asked."""
    await place.make()
    signer = LocalSigner()
    key = tmp_path / "key.pem"
    key.write_text(signer.key.pem)
    with pytest.raises(NotSigned):
        await place.deploy("better", require=[str(key)], approval=True)
    await place.sign("better", signer)
    with place.prefect():
        await Policy(trusted_keys=[signer.key.pem]).asave("asked-about", overwrite=True)
    deploying = asyncio.create_task(place.deploy("better", require=[str(key), "block:asked-about"], approval=True))
    run = await place.until("deploy", lambda run: run["state"]["type"] == "PAUSED")
    question = await place.question(run)
    assert f"verified: signed by {key}" in question.replace("\\", "")
    assert "verified: signed by a key of the policy (policy asked-about)" in question.replace("\\", "")
    await place.answer("deploy", Approval(answer="approve", by="Ada"))
    assert (await deploying).changed
