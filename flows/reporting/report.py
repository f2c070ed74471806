"""The report of a release: Markdown for the Prefect UI, plain text for the terminal, from the same facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from prefect_slipway.flows.reporting import markdown
from prefect_slipway.flows.reporting.artifact_keys import key_of, set_key
from prefect_slipway.flows.reporting.gates import gates_as_markdown
from prefect_slipway.flows.reporting.links import Link
from prefect_slipway.flows.reporting.plan_report import (
    build_facts,
    commits_as_markdown,
    deciding_commits,
    notes_as_markdown,
    source_facts,
    warnings_as_markdown,
)
from prefect_slipway.flows.reporting.rows import as_rows, describe, link_rows
from prefect_slipway.flows.reporting.several import images_as_markdown
from prefect_slipway.flows.reporting.timeline import as_data_uri, as_svg, as_text
from prefect_slipway.flows.values.plan import ReleasePlan
from prefect_slipway.flows.values.result import BuiltImage, LeftBehind, ReleaseResult, StepTime, VerifiedImage
from prefect_slipway.infra.domain.outside import one_line
from prefect_slipway.infra.domain.predicates import predicate_name
from prefect_slipway.infra.domain.text import aligned, human_size


@dataclass(frozen=True)
class Report:
    """Everything known about a release at its end, whatever its outcome.

    `timeline`: of the only image's build, or of all builds; `error`: None when it succeeded; `failed`: the target whose
    build failed, if one did; `pull`: the commands that get the images; `verify`: those that verify their
    signatures.
    """

    plan: ReleasePlan
    result: ReleaseResult
    built: tuple[BuiltImage, ...] = ()
    verified: tuple[VerifiedImage, ...] = ()
    timeline: tuple[StepTime, ...] = ()
    error: BaseException | None = None
    failed: str | None = None
    links: tuple[Link, ...] = ()
    pull: tuple[str, ...] = ()
    verify: tuple[str, ...] = ()

    def leaving(self, left_behind: tuple[LeftBehind, ...]) -> Self:
        """The same, with what the clean-up could not remove."""
        return replace(self, result=replace(self.result, left_behind=left_behind))

    @property
    def key(self) -> str:
        """Of the artifact: one for each image, or for each set of them."""
        return report_key("release", self.plan)

    @property
    def title(self) -> str:
        plan, result = self.plan, self.result
        name = f"{plan.name} {plan.version or ''}".strip()
        if self.error is not None:
            return f"{name} was not released"
        if not result.released:
            return f"{name}: {result.reason}"
        return f"{name} released" if plan.only is not None else f"{name}: {len(result.images)} images released"

    @property
    def warnings(self) -> tuple[str, ...]:
        return (*self.plan.warnings, *self.result.warnings)

    def facts(self) -> list[tuple[str, str]]:
        """Labels and values, in the order of interest."""
        plan, result = self.plan, self.result
        facts = [("image", plan.reference)] if plan.only is not None else [("version", plan.version or "none")]
        if plan.only is not None and result.released:
            facts += [("tags", ", ".join(result.tags)), ("digest", result.digest or "")]
        if result.released or self.error is not None:  # otherwise it is in the title
            facts.append(("why", plan.why))
        facts += [*source_facts(plan), *build_facts(plan)]
        if plan.git_tag and result.released:
            facts.append(("git tag", plan.git_tag))
        facts += [(f"deploy {each.target}", each.line) for each in result.deploys]
        if result.forge is not None and result.forge.page:
            facts.append(("release page", result.forge.page))
        if self.failed is not None and plan.only is None:
            facts.append(("failed", self.failed))
        if plan.only is not None and self.verified:
            (one,) = self.verified
            facts.append(("size", f"{human_size(one.size)} in {one.layers} layer{'' if one.layers == 1 else 's'}"))
            facts += [(platform or "image", digest) for platform, digest in one.platforms.items()]
            if one.attestations:
                facts.append(("attestations", ", ".join(map(predicate_name, one.attestations))))
        if self.error is not None and self.verified:
            facts += [
                ("pushed", f"{each.planned.image}@{each.digest}") for each in self.verified if each.planned.public
            ]
        facts += [(f"gate {each.gate}", each.said.removeprefix(each.gate).strip()) for each in result.gates]
        if result.signed_by:
            facts.append(("signed by", ", ".join(result.signed_by)))
        if plan.only is not None and self.built and self.built[0].nodes:
            facts.append(("built", "; ".join(self.built[0].nodes)))
        if result.steps:
            share = 100 * result.cached_steps // result.steps
            facts.append(("steps", f"{result.steps}, {result.cached_steps} cached ({share} %)"))
        for cache in result.caches:
            label = "cache" if plan.only is not None else f"cache of {cache.target}"
            facts.append((label, "; ".join(cache.lines())))
        facts.append(("duration", f"{result.duration_s:.1f} s"))
        return facts

    def as_markdown(self) -> str:
        """For a Markdown artifact. Pictures are data URIs, so they show without a network."""
        lines = [f"# {markdown.text(self.title)}", ""]
        if self.error is not None:
            lines += [markdown.block(describe(self.error)), ""]
        lines += markdown.table([*as_rows(self.facts()), *link_rows(self.links)])
        if self.plan.only is None:
            lines += images_as_markdown(self.plan, self.result, self.built, self.verified, self.failed)
        lines += [*warnings_as_markdown(self.warnings), *left_behind_as_markdown(self.result.left_behind)]
        lines += gates_as_markdown(self.result.gates)
        lines += notes_as_markdown(self.plan)
        lines += commits_as_markdown(self.plan)
        if self.timeline:
            title = "Steps" if self.plan.only is not None else "Times"
            lines += ["", f"## {title}", "", f"![timeline]({as_data_uri(as_svg(self.timeline))})"]
        for title, commands in self._commands():
            lines += ["", f"## {title}", "", markdown.block("\n".join(commands))]
        return "\n".join(lines) + "\n"

    def as_text(self, width: int = 100) -> str:
        """For the terminal."""
        facts = self.facts()
        if self.result.ui_url:
            facts.append(("in the UI", self.result.ui_url))
        facts += [("commits", commit) for commit in deciding_commits(self.plan)]
        lines = [one_line(self.title), *aligned(facts)]
        lines += [f"  WARN: {one_line(warning)}" for warning in self.warnings]
        if self.timeline:
            lines += ["", *(f"  {line}" for line in as_text(self.timeline, width - 2))]
        for title, commands in self._commands():
            lines += ["", f"  {title.lower()}:", *(f"    {command}" for command in commands)]
        lines += left_behind_as_text(self.result.left_behind)
        return "\n".join(lines)

    def _commands(self) -> list[tuple[str, tuple[str, ...]]]:
        return [(title, commands) for title, commands in (("Pull", self.pull), ("Verify", self.verify)) if commands]


def report_key(kind: str, plan: ReleasePlan) -> str:
    """The key of an artifact about a release's images."""
    if plan.only is not None:
        return key_of(kind, plan.only.image)
    return set_key(kind, plan.source.name, [image.image for image in plan.public])


def left_behind_as_markdown(left_behind: Sequence[LeftBehind]) -> list[str]:
    """The section of a report on what the clean-up could not remove; empty without any."""
    if not left_behind:
        return []
    lines = [line for each in left_behind for line in each.lines()]
    return ["", "## Left behind", "", markdown.block("\n".join(lines))]


def left_behind_as_text(left_behind: Sequence[LeftBehind]) -> list[str]:
    """The same for the terminal."""
    if not left_behind:
        return []
    return ["", "  left behind:", *(f"    {one_line(line)}" for each in left_behind for line in each.lines())]


@dataclass(frozen=True)
class FailureReport:
    """The report of a run that ended early. `facts`: labels and values, None for an unset value."""

    title: str
    facts: tuple[tuple[str, str | None], ...]
    error: BaseException
    duration_s: float
    links: tuple[Link, ...] = ()

    def as_markdown(self) -> str:
        """For a Markdown artifact."""
        lines = [f"# {markdown.text(self.title)}", "", markdown.block(describe(self.error)), ""]
        facts = [(label, value) for label, value in self.facts if value]
        facts.append(("duration", f"{self.duration_s:.1f} s"))
        lines += markdown.table([*as_rows(facts), *link_rows(self.links)])
        return "\n".join(lines) + "\n"
