"""Gates: what was verified is tested by its digest, before it is signed and before any tag points to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from prefect import get_run_logger
from prefect.artifacts import MarkdownArtifact
from prefect.runtime import flow_run

from prefect_slipway.flows.gates.command import run_command
from prefect_slipway.flows.gates.document import document_of
from prefect_slipway.flows.gates.findings import LIMIT, Finding, ReadReport, read_report
from prefect_slipway.flows.gates.prepared import (
    PreparedGate,
    PreparedGates,
    prepare_command,
    prepare_deployment,
    prepare_policy,
    read_place,
)
from prefect_slipway.flows.gates.tested import TestedImage
from prefect_slipway.flows.gates.verdict import Verdict, of_command, of_policy, of_run
from prefect_slipway.flows.gates.waivers import about_waivers, read_waivers
from prefect_slipway.flows.planning.source import FetchedSource
from prefect_slipway.flows.reporting import markdown
from prefect_slipway.flows.reporting.artifact_keys import key_of
from prefect_slipway.flows.reporting.gates import gate_as_markdown
from prefect_slipway.flows.reporting.watch import watcher
from prefect_slipway.flows.run.child_run import find, is_supervised, run_child
from prefect_slipway.flows.run.open_run import OpenRun
from prefect_slipway.flows.run.registries import Registries
from prefect_slipway.flows.steps.step import step
from prefect_slipway.flows.values.gates import GateOutcome, Outcome
from prefect_slipway.flows.values.plan import ReleasePlan
from prefect_slipway.flows.values.result import VerifiedImage
from prefect_slipway.infra.common.concurrently import run_concurrently
from prefect_slipway.infra.domain.errors import (
    DeploymentUnknown,
    GateFailed,
    GateMissing,
    GateTimedOut,
    PolicyInvalid,
    PolicyTimedOut,
    SignatureMalformed,
)
from prefect_slipway.infra.rego.evaluator import evaluate
from prefect_slipway.infra.signing.gate_result import GateReport, GateResult
from prefect_slipway.infra.source.checkout import remove
from prefect_slipway.infra.source.workdir import fetch_folder

_SHOWN = 10
_STATED = 1000


@dataclass(frozen=True, slots=True)
class Gated:
    """`outcomes`: of each gate about each image. `results`: the same to be signed, by the image's name."""

    outcomes: tuple[GateOutcome, ...] = ()
    results: tuple[tuple[str, GateResult], ...] = ()

    def about(self, image: str) -> list[GateResult]:
        return [result for name, result in self.results if name == image]


@dataclass(frozen=True, slots=True)
class _Answer:
    verdict: Verdict
    output: tuple[str, ...] = ()
    report: bytes | None = None
    read: ReadReport | None = None
    url: str = ""
    links: tuple[str, ...] = ()


async def check_gates(run: OpenRun, source: FetchedSource) -> PreparedGates:
    """What the gates need, before anything is built. Raises as `prepare_gates`."""
    return await prepare_gates(run, source) if run.request.gates.run else PreparedGates()


@step("read gates")
async def prepare_gates(run: OpenRun, source: FetchedSource) -> PreparedGates:
    """Raises GateMissing, GateForbidden, WaiverInvalid, PolicyInvalid, PartMissing, InvalidOption, PrefectErrors."""
    asked = run.request.gates
    prepared = []
    for gate in asked.asked:
        if gate.kind == "command":
            prepared.append(prepare_command(gate, supervised=is_supervised()))
        elif gate.kind == "policy":
            prepared.append(await prepare_policy(run, source.checkout, gate))
        else:
            try:
                await find(gate.what)
            except DeploymentUnknown as error:
                raise GateMissing(f"the gate {gate.name!r}: {error.cause}", action=error.action) from None
            prepared.append(prepare_deployment(gate))
    if asked.waivers is None:
        return PreparedGates(tuple(prepared))
    text = await read_place(run, source.checkout, "--waivers", asked.waivers)
    return PreparedGates(tuple(prepared), read_waivers(asked.waivers, text))


def waiver_warnings(gates: PreparedGates) -> tuple[str, ...]:
    """About waivers that end soon, and those that have ended."""
    return tuple(about_waivers(gates.waivers, [each.name for each in gates.gates], datetime.now(UTC).date()))


async def pass_gates(
    run: OpenRun,
    registries: Registries,
    plan: ReleasePlan,
    images: Sequence[VerifiedImage],
    gates: PreparedGates,
    note: Callable[[tuple[GateOutcome, ...]], None],
) -> Gated:
    """Ask all gates about all public images. `note`: gets the outcomes, whatever they are. Raises GateFailed,
    GateTimedOut, and as `ask_gates`."""
    public = [each for each in images if each.planned.public]
    if not gates.gates or not public:
        return Gated()
    gated = await ask_gates(run, registries, plan, public, gates)
    note(gated.outcomes)
    if failed := [each for each in gated.outcomes if not each.holds]:
        raise _failure(failed)
    return gated


@step("gates")
async def ask_gates(
    run: OpenRun,
    registries: Registries,
    plan: ReleasePlan,
    images: Sequence[VerifiedImage],
    gates: PreparedGates,
) -> Gated:
    """All at the same time; none is ended because another has failed, so that all of it is known. Raises GateMissing,
    ParametersRefused, PrefectErrors, RegistryErrors."""
    asked = [
        (gate, TestedImage(each, plan.version or "", registries.insecure(TestedImage(each, "", False).name.registry)))
        for each in images
        for gate in gates.gates
    ]
    named = len(images) > 1
    found = await run_concurrently(*(_one(run, registries, gates, gate, image, named) for gate, image in asked))
    return Gated(
        tuple(outcome for outcome, _ in found),
        tuple((image.name.name, result) for (_, image), (_, result) in zip(asked, found, strict=True) if result),
    )


async def _one(
    run: OpenRun, registries: Registries, gates: PreparedGates, gate: PreparedGate, image: TestedImage, named: bool
) -> tuple[GateOutcome, GateResult | None]:
    logger = get_run_logger()
    label = f"{gate.name} {image.verified.planned.target}" if named else gate.name

    def say(text: str) -> None:
        text = "\n".join(f"{label}: {line}" for line in text.split("\n"))
        logger.info("%s", text)
        watcher().say(text)

    started, timeout_s = time.monotonic(), run.request.gates.timeout_s
    answer: _Answer | None = None
    try:
        async with asyncio.timeout(timeout_s):
            answer = await _ask(run, registries, gate, image, say)
    except (TimeoutError, PolicyTimedOut):
        pass
    seconds = round(time.monotonic() - started, 3)
    if answer is None:
        why = f"no answer within {timeout_s} s"
        outcome = GateOutcome(gate.name, gate.gate.kind, image.reference, "timed out", seconds, why)
        result = None
    else:
        verdict = answer.verdict.waived(gate.name, gates.waivers, datetime.now(UTC).date())
        outcome = _outcome(gate, image, verdict, answer, seconds)
        result = _result(gate, verdict, answer) if outcome.holds else None
    say(outcome.said.removeprefix(gate.name).strip())
    await MarkdownArtifact(
        markdown=gate_as_markdown(outcome, answer.report if answer is not None else None),
        key=key_of("gate", f"{gate.name} {image.name.name}".lower()),
        description=markdown.text(f"Gate {gate.name} of {image.reference}"),
    ).acreate()
    return outcome, result


async def _ask(
    run: OpenRun, registries: Registries, gate: PreparedGate, image: TestedImage, say: Callable[[str], None]
) -> _Answer:
    if gate.gate.kind == "command":
        return await _ask_command(run, registries, gate, image, say)
    if gate.gate.kind == "policy":
        return await _ask_policy(run, registries, gate, image)
    key = f"slipway-gate {flow_run.id} {flow_run.run_count} {gate.name} {image.reference}"
    ended = await run_child(gate.gate.what, image.parameters(), required="reference", key=key)
    verdict = of_run(ended.kind, ended.name, ended.message)
    return _Answer(verdict, url=ended.url, links=ended.links)


async def _ask_command(
    run: OpenRun, registries: Registries, gate: PreparedGate, image: TestedImage, say: Callable[[str], None]
) -> _Answer:
    host = image.name.registry
    credential = await registries.credentials().credential(host)
    variables = {"SLIPWAY_GATE": gate.name, **image.variables()}
    # A killed process' folder is removed by the next one.
    async with fetch_folder(run.home / "work") as folder:
        try:
            code, output, report = await run_command(gate.argv, variables, folder, (host, credential), say)
        finally:
            remove(folder)
    read = read_report(report) if report is not None else None
    return _Answer(of_command(code, read), output, report, read)


async def _ask_policy(run: OpenRun, registries: Registries, gate: PreparedGate, image: TestedImage) -> _Answer:
    queries = [f"data.{gate.package}.{rule}" for rule in ("deny", "warn")]
    modules = {gate.gate.what: gate.text}
    try:
        document = await document_of(await registries.client(image.name), image)
        denied, warned = await evaluate(modules, document, queries, timeout_s=run.request.gates.timeout_s)
        return _Answer(of_policy(denied, warned, gate.gate.what))
    except (PolicyInvalid, SignatureMalformed) as error:
        verdict = Verdict("failed", error.cause, final=True)
        return _Answer(verdict, output=tuple(error.details.splitlines()))


def _outcome(gate: PreparedGate, image: TestedImage, verdict: Verdict, answer: _Answer, seconds: float) -> GateOutcome:
    outcome: Outcome = verdict.outcome
    return GateOutcome(
        gate=gate.name,
        kind=gate.gate.kind,
        image=image.reference,
        outcome=outcome,
        seconds=seconds,
        why=verdict.why,
        failed=_said(verdict.failed),
        warned=_said(verdict.warned),
        waivers=verdict.waivers,
        output=answer.output,
        url=answer.url,
        links=answer.links,
        report=answer.read.media_type if answer.read is not None else "",
    )


def _result(gate: PreparedGate, verdict: Verdict, answer: _Answer) -> GateResult:
    report = None
    # Of a larger one only the beginning was read: its digest would be that of nothing.
    if answer.report is not None and answer.read is not None and len(answer.report) <= LIMIT:
        report = GateReport.of(f"{gate.name} report", answer.read.media_type, answer.report)
    return GateResult(
        gate=gate.name,
        answer="WARNED" if verdict.outcome == "warned" else "PASSED",
        kind=gate.gate.kind,
        definition=gate.definition,
        passed=verdict.passed[:_STATED] or ((gate.name,) if verdict.outcome == "passed" else ()),
        warned=tuple(each.id for each in verdict.warned[:_STATED])
        or ((gate.name,) if verdict.outcome == "warned" else ()),
        waivers=verdict.waivers,
        url=answer.url or flow_run.ui_url or "",
        finished=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        report=report,
    )


def _said(findings: Sequence[Finding]) -> tuple[str, ...]:
    return tuple(each.said for each in findings)


def _failure(failed: Sequence[GateOutcome]) -> GateFailed | GateTimedOut:
    """About all of them; that one has not answered is the cause only if no other has failed."""
    answered = [each for each in failed if each.outcome == "failed"]
    kind = GateFailed if answered else GateTimedOut
    first = (answered or failed)[0]
    cause = f"the gate {first.gate!r} {first.outcome}: {first.why}"
    if len(failed) > 1:
        cause = (
            f"{len(failed)} gates did not let the image pass: {', '.join(dict.fromkeys(each.gate for each in failed))}"
        )
    lines = []
    for each in failed:
        lines.append(f"{each.said} {each.url}".rstrip())
        lines += [f"  {text}" for text in each.failed[:_SHOWN]]
        if (more := len(each.failed) - _SHOWN) > 0:
            lines.append(f"  … and {more} more")
        if not each.failed:
            lines += [f"  | {text}" for text in each.output[-_SHOWN:]]
    pushed = dict.fromkeys(each.image for each in failed)
    lines += [f"{image} was pushed and has no tag" for image in pushed]
    return kind(cause, details="\n".join(lines))
