"""How far a rollout has come: what to report about it, however it ends."""

from __future__ import annotations

from prefect import get_client
from prefect.artifacts import MarkdownArtifact
from prefect.runtime import flow_run

from prefect_slipway.flows.reporting import markdown
from prefect_slipway.flows.reporting.artifact_keys import key_of
from prefect_slipway.flows.reporting.links import registry_link
from prefect_slipway.flows.reporting.origin import origin_of_this_run
from prefect_slipway.flows.rollouts.changes import Changes
from prefect_slipway.flows.rollouts.open_deploy import OpenDeploy
from prefect_slipway.flows.rollouts.report import DeployReport
from prefect_slipway.flows.rollouts.values import DeployedImage, DeployResult
from prefect_slipway.flows.run.approval import Question
from prefect_slipway.flows.run.flow_run import has_report
from prefect_slipway.flows.run.stopwatch import Stopwatch
from prefect_slipway.flows.steps.record import show_links
from prefect_slipway.flows.steps.rollout import run_id
from prefect_slipway.infra.domain.naming import place_title
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.kubernetes.workloads.workload import WorkloadState


class RolloutCourse:
    """Filled in as the rollout continues. `image`: what is rolled out; `before`: the workload as it was; `outcome`:
    what became of a failure; `verified`: what was required of the image, and holds. Nothing can be told before image
    and workload are known."""

    def __init__(self, deploy: OpenDeploy) -> None:
        self.deploy = deploy
        self.stopwatch = Stopwatch()
        self.image: DeployedImage | None = None
        self.before: WorkloadState | None = None
        self.changes = Changes()
        self.outcome: str | None = None
        self.verified: tuple[str, ...] = ()

    def plan(self, *, rolling_back: bool) -> Question:
        """What is going to happen, as it is shown and asked."""
        image, before, request = self._image, self._before, self.deploy.request
        title = f"{'Roll back to' if rolling_back else 'Deploy'} {image.shown}"
        effects = [
            f"to {before.name}, container {before.container}, in namespace {before.namespace}"
            + (f" of {request.context}" if request.context else ""),
            f"as {image.reference}",
            f"instead of {before.image}",
            *(f"verified: {each}" for each in self.verified),
            f"roll back to {before.good} if it fails" if request.rollback else "without a rollback if it fails",
        ]
        return Question(
            "\n".join([f"**{markdown.text(title)}**", "", *markdown.items(effects)]),
            "\n".join([title, *(f"  - {effect}" for effect in effects)]),
        )

    def result(self, *, changed: bool) -> DeployResult:
        """What is rolled out by now."""
        image, before = self._image, self._before
        return DeployResult(
            image=image.name,
            digest=image.digest,
            reference=image.reference,
            workload=str(before.name),
            namespace=before.namespace,
            container=before.container,
            changed=changed,
            version=image.version,
            context=self.deploy.request.context,
            previous=before.good if before.good != image.reference else before.previous,
            flow_run_id=run_id(),
            ui_url=flow_run.ui_url,
            duration_s=self.stopwatch.seconds,
        )

    def facts(self) -> dict[str, object]:
        """What each event about the rollout says."""
        image, before = self._image, self._before
        return {
            "image": image.name,
            "reference": image.reference,
            "digest": image.digest,
            "version": image.version,
            "workload": str(before.name),
            "container": before.container,
            "namespace": before.namespace,
            "context": self.deploy.request.context,
            "previous": before.image,
            "git": None,
            "run": run_id(),
        }

    async def name_run(self, *, rolling_back: bool) -> None:
        """Show image, version and workload where people look first: the run's name and tags."""
        image, before, request = self._image, self._before, self.deploy.request
        place = place_title(str(before.name), before.namespace, request.context, request.container)
        title = f"roll back {place} to {image.title}" if rolling_back else f"deploy {image.title} to {place}"
        async with get_client() as client:
            await client.update_flow_run(flow_run.id, name=title, tags=image.tags(flow_run.tags or []))

    async def show_plan(self, plan: Question) -> None:
        """The plan as an artifact of the run."""
        await self._show("deploy-plan", plan.markdown, f"Plan of {self._image.shown}")

    async def record(self, result: DeployResult, error: BaseException | None = None) -> None:
        """The report, and links to the image in its registry, the deployment and the run that this one is part of.

        `error`: what the rollout failed with.
        """
        image = self._image
        async with get_client() as client:
            origin = await origin_of_this_run(client)
            page = registry_link(ImageReference.parse(image.name), image.version or image.digest)
            links = (*([page] if page is not None else []), *origin.links)
            report = DeployReport(result, self.outcome, error, links)
            await self._show("deploy", report.as_markdown(), report.title)
            has_report()
            await show_links(client, links)

    async def _show(self, kind: str, content: str, title: str) -> None:
        """An artifact of this run, under one key for each workload."""
        before = self._before
        key = key_of(kind, f"{self.deploy.request.context or ''} {before.namespace} {before.name}")
        await MarkdownArtifact(markdown=content, key=key, description=markdown.text(title)).acreate()

    @property
    def _image(self) -> DeployedImage:
        assert self.image is not None, "what is rolled out is known"
        return self.image

    @property
    def _before(self) -> WorkloadState:
        assert self.before is not None, "the workload was looked at"
        return self.before
