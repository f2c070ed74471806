"""Where the tests of the deploy, rollback and promote flows work: a cluster, a registry, a Vault, a Prefect server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from prefect import get_client
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, PREFECT_UI_URL, temporary_settings

from prefect_slipway.flows.deploy import deploy
from prefect_slipway.flows.promote import promote
from prefect_slipway.flows.reporting.events import resource_id
from prefect_slipway.flows.request.rollout import DeployRequest, PromoteRequest, RollbackRequest
from prefect_slipway.flows.rollback import rollback
from prefect_slipway.flows.rollouts.values import DeployResult, PromoteResult
from prefect_slipway.flows.run.approval import Approval, give_answer
from prefect_slipway.flows.trust.signing import attest, sign
from prefect_slipway.infra.domain.credentials import Anonymous, Credential
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.domain.signing import Signer
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kinds import DEPLOYMENT, Object
from prefect_slipway.infra.kubernetes.workloads.workload import Workload, WorkloadState
from prefect_slipway.infra.kubernetes.workloads.workload_name import WorkloadName
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.registry.referrers import Referrers
from prefect_slipway.infra.registry.signatures import TaggedAttachments
from prefect_slipway.infra.signing.bundle import BUNDLE
from prefect_slipway.infra.signing.statement import Statement
from tests.conftest import RunningStack
from tests.contract.registry.conftest import Fixed
from tests.kubernetes.rollout_parts import Images, make
from tests.prefect_server import PrefectServer
from tests.waiting import calm_looks


@dataclass
class DeployPlace:
    """`options`: of every request here (namespace, credentials, how long to wait). `env`: for commands.

    `revoke`: takes verbs on a resource away from the account that deploys, which has the Role that ships. `login`: user
    and password of the images' registry.
    """

    api: KubernetesApi
    images: Images
    stack: RunningStack
    options: dict[str, Any]
    env: dict[str, str]
    revoke: Callable[..., Awaitable[None]]
    login: tuple[str, str] | None = None

    @property
    def server(self) -> PrefectServer:
        return PrefectServer(self.stack.connection.prefect_api_url)

    async def make(self, name: str = "app", behaviour: str = "good") -> None:
        await make(self.api, DEPLOYMENT, self.images[behaviour], name=name)

    async def state(self, name: str = "app") -> WorkloadState:
        return await Workload(self.api, WorkloadName(DEPLOYMENT, name)).read()

    async def deploy(self, behaviour: str, name: str = "app", **changes: Any) -> DeployResult:
        values = {"reference": self.images[behaviour], "workload": f"deployment/{name}", **self.options, **changes}
        with self.prefect():
            return await deploy(DeployRequest.read(values))

    async def sign(self, behaviour: str, signer: Signer, *statements: tuple[str, Mapping[str, Any]]) -> None:
        """Sign an image, and predicates of these types about it, as a release does."""
        image = ImageReference.parse(self.images[behaviour])
        source = Fixed(Credential(*self.login)) if self.login is not None else Anonymous()
        stated = [Statement.about(image, kind, predicate) for kind, predicate in statements]
        async with RegistryClient(image.api_host, source, insecure=True, ca_file=None) as client:
            await sign(image, signer, TaggedAttachments(client, image.repository))
            await attest(image, stated, signer, Referrers(client, image.repository, BUNDLE))

    async def rollback(self, to: str = "previous", **changes: Any) -> DeployResult:
        values = {"workload": "deployment/app", "to": to, **self.options, **changes}
        with self.prefect():
            return await rollback(RollbackRequest.read(values))

    async def promote(self, *names: str, approval: bool = False, **changes: Any) -> PromoteResult[DeployResult]:
        """Through the Deployments of these names."""
        target = {key: self.options[key] for key in ("namespace", "pull_credentials") if key in self.options}
        environments = [
            {"name": name, "workload": f"deployment/{name}", "approval": approval, **target} for name in names
        ]
        options = {key: value for key, value in self.options.items() if key not in target}
        with self.prefect():
            return await promote(PromoteRequest.read({"environments": environments, **options, **changes}))

    def prefect(self) -> Any:
        connection = self.stack.connection
        return temporary_settings(
            {PREFECT_API_URL: connection.prefect_api_url, PREFECT_UI_URL: connection.prefect_ui_url}
        )

    async def ask(self, path: str, body: Any) -> Any:
        return await asyncio.to_thread(self.server.ask, "POST", path, body)

    async def runs(self, flow: str) -> list[Object]:
        """The runs of a flow, newest first."""
        query = {"flows": {"name": {"any_": [flow]}}, "sort": "START_TIME_DESC", "limit": 10}
        return list(await self.ask("/flow_runs/filter", query))

    async def events(self, name: str, number: int = 1) -> list[Object]:
        """The events of that name about the images here, `number` at least; the server writes them down some time after
        it took them."""
        about = {"id": [resource_id(self.images.repository)]}
        async for _ in calm_looks():
            answer = await self.ask(
                "/events/filter", {"filter": {"event": {"name": [name]}, "any_resource": about}, "limit": 50}
            )
            if len(answer["events"]) >= number:
                return list(answer["events"])
        raise AssertionError(f"not {number} events {name} came")

    async def report(self, run: str) -> str:
        """The Markdown of a run's report."""
        query = {"artifacts": {"flow_run_id": {"any_": [run]}, "type": {"any_": ["markdown"]}}}
        return "\n".join(str(each["data"]) for each in await self.ask("/artifacts/filter", query))

    async def links(self, run: str) -> list[str]:
        """The links on a run's page, as Markdown, sorted."""
        query = {"artifacts": {"flow_run_id": {"any_": [run]}}}
        found = [str(each["data"]) for each in await self.ask("/artifacts/filter", query) if each["key"] is None]
        return sorted(each for each in found if each.startswith("["))

    async def question(self, run: Object) -> str:
        """What the page of a paused run asks, once the form is there: a moment after the pause."""
        key = run["state"]["state_details"]["run_input_keyset"]["description"]
        with self.prefect():
            async with get_client() as client:
                async for _ in calm_looks():
                    try:
                        return str(await client.read_flow_run_input(run["id"], key))
                    except ObjectNotFound:
                        pass
        raise AssertionError("the run does not say what it asks")

    async def answer(self, flow: str, answer: Approval) -> str:
        """Answer the newest run of a flow that waits for an approval; gives its question."""
        run = await self.until(flow, lambda run: run["state"]["type"] == "PAUSED")
        with self.prefect():
            async for _ in calm_looks():
                try:
                    await give_answer(run["id"], answer)
                except InvalidOption:  # the form comes a moment after the pause
                    pass
                else:
                    return await self.report(run["id"])
        raise AssertionError("the answer was not taken")

    async def until(self, flow: str, accept: Callable[[Object], bool]) -> Object:
        """The newest run of a flow that is as wanted."""
        async for _ in calm_looks():
            for run in await self.runs(flow):
                if run["state"] is not None and accept(run):
                    return run
        raise AssertionError(f"no run of {flow} came to be as wanted")
