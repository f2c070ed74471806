"""The registry credentials' Secret on an API server in this process: it follows its source, and answers for it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.domain.errors import NotOurs, VaultSealed
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.docker_config import parse_docker_config
from prefect_slipway.infra.kubernetes.access.kinds import SECRET, Object
from prefect_slipway.infra.kubernetes.access.kubeconfig import ClusterAccess
from prefect_slipway.infra.kubernetes.access.lease import timestamp
from prefect_slipway.infra.kubernetes.builders.manifests import owned, registry_credentials, run_lease
from prefect_slipway.infra.kubernetes.builders.secrets import RegistrySecret
from prefect_slipway.infra.kubernetes.builders.spec import BuilderSpec, Run
from tests.kubernetes.server import KubernetesServer

SPEC, RUN = BuilderSpec(), Run("a1b2", {"team": "web"})
OLD, NEW = Credential("robot", "old"), Credential("robot", "new")


class Source:
    """Says `current`, or fails while there is none. `asked`: how often it was."""

    def __init__(self) -> None:
        self.current: Credential | None = OLD
        self.asked = 0

    async def credential(self, host: str) -> Credential | None:
        self.asked += 1
        if self.current is None:
            raise VaultSealed("Vault is sealed")
        return self.current


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[KubernetesApi]:
    async with KubernetesServer(None) as server, KubernetesApi(ClusterAccess(str(server.kubeconfig(tmp_path)))) as api:
        yield api


async def secret_of(api: KubernetesApi, source: Source, *, every_s: float) -> RegistrySecret:
    root = await api.create(run_lease(SPEC, RUN, 300, timestamp(api.now())))
    return RegistrySecret(
        api, source, ["reg.example"], lambda text: owned(registry_credentials(SPEC, RUN, text), root), every_s=every_s
    )


async def there(api: KubernetesApi) -> Object:
    found = await api.get(SECRET, "registry-creds-a1b2")
    assert found is not None
    return found


async def held(api: KubernetesApi) -> Credential:
    text = base64.b64decode((await there(api))["data"][".dockerconfigjson"]).decode()
    return parse_docker_config(text)["reg.example"]


async def test_the_secret_is_labelled_and_owned_by_the_run_root(api: KubernetesApi) -> None:
    """Of the type that kubelets and docker read."""
    secret = await secret_of(api, Source(), every_s=60)
    await secret.start()
    await secret.stop()
    made = await there(api)
    assert made["type"] == "kubernetes.io/dockerconfigjson"
    assert made["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "slipway",
        "slipway.dev/run": "a1b2",
        "slipway.dev/builder": "buildkitd-a1b2",
        "team": "web",
    }
    assert [owner["name"] for owner in made["metadata"]["ownerReferences"]] == ["slipway-a1b2"]


async def test_it_is_rewritten_when_the_source_says_something_else(api: KubernetesApi) -> None:
    """Though no build asks: people's pods read it, too. A source that is away for a while is asked again."""
    source = Source()
    secret = await secret_of(api, source, every_s=0.01)
    await secret.start()
    assert await held(api) == OLD
    source.current = None
    asked = source.asked
    while source.asked < asked + 3:
        await asyncio.sleep(0.01)
    assert await held(api) == OLD
    source.current = NEW
    while await held(api) != NEW:
        await asyncio.sleep(0.01)
    await secret.stop()


async def test_each_use_asks_the_source_first_and_does_without_it(api: KubernetesApi) -> None:
    """A rotation is picked up by the next callback; while the source is away the Secret's own value is given."""
    source = Source()
    secret = await secret_of(api, source, every_s=60)
    await secret.start()
    source.current = NEW
    assert await secret.credential("reg.example") == NEW
    source.current = None
    assert await secret.credential("reg.example") == NEW
    data = registry_credentials(SPEC, RUN, '{"auths": {"reg.example": {"username": "a", "password": "b"}}}')["data"]
    await api.merge(SECRET, "registry-creds-a1b2", {"data": data})
    assert await secret.credential("reg.example") == Credential("a", "b")
    await api.delete(await there(api), kind=SECRET)
    with pytest.raises(VaultSealed):
        await secret.credential("reg.example")
    await secret.stop()


async def test_somebody_elses_secret_is_refused_and_kept(api: KubernetesApi) -> None:
    metadata = {"name": "registry-creds-a1b2"}
    before = await api.create(
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {".dockerconfigjson": "e30="}}
    )
    with pytest.raises(NotOurs, match="secret/registry-creds-a1b2"):
        await (await secret_of(api, Source(), every_s=60)).start()
    assert await there(api) == before
