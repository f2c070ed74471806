"""The report of a release: Markdown for the Prefect UI, plain text for the terminal, from the same facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from prefect_slipway.flows.reporting import markdown
from prefect_slipway.flows.reporting.artifact_keys import key_of
from prefect_slipway.flows.reporting.links import Link
from prefect_slipway.flows.reporting.timeline import as_data_uri, as_svg, as_text
from prefect_slipway.infra.domain.errors import SlipwayError
from prefect_slipway.infra.domain.outside import one_line
from prefect_slipway.infra.domain.plan import (
    BuiltImage,
    LeftBehind,
    ReleasePlan,
    ReleaseResult,
    StepTime,
    VerifiedImage,
)
from prefect_slipway.infra.domain.text import aligned, human_size, with_rest


@dataclass(frozen=True)
class Report:
    """What is known of a release at its end, however it ended.

    `error`: None when it succeeded. `pull`: the commands that get the image.
    """

    plan: ReleasePlan
    result: ReleaseResult
    built: BuiltImage | None = None
    verified: VerifiedImage | None = None
    timeline: tuple[StepTime, ...] = ()
    error: BaseException | None = None
    links: tuple[Link, ...] = ()
    pull: tuple[str, ...] = ()

    def leaving(self, left_behind: tuple[LeftBehind, ...]) -> Self:
        """The same, with what the clean-up could not remove."""
        return replace(self, result=replace(self.result, left_behind=left_behind))

    @property
    def key(self) -> str:
        """Of the artifact: one for each image."""
        return key_of("release", self.plan.image)

    @property
    def title(self) -> str:
        name = f"{self.plan.image} {self.plan.version or ''}".strip()
        if self.error is not None:
            return f"{name} was not released"
        return f"{name} released" if self.result.released else f"{name}: {self.result.reason}"

    def facts(self) -> list[tuple[str, str]]:
        """Label and value, in the order in which people ask for them."""
        plan, result = self.plan, self.result
        facts = [("image", plan.reference)]
        if result.tags:
            facts.append(("tags", ", ".join(result.tags)))
        if result.digest:
            facts.append(("digest", result.digest))
        facts.append(("why", plan.why))
        if plan.previous_version:
            facts.append(("previous version", plan.previous_version))
        if plan.source.revision:
            facts.append(("revision", plan.source.revision + (" (dirty)" if plan.source.dirty else "")))
        if plan.source.url:
            facts.append(("source", plan.source.url))
        if plan.git_tag and result.released:
            facts.append(("git tag", plan.git_tag))
        if self.verified:
            facts.append(("size", f"{human_size(self.verified.size)} in {self.verified.layers} layer(s)"))
        if result.steps:
            share = 100 * result.cached_steps // result.steps
            facts.append(("steps", f"{result.steps}, {result.cached_steps} cached ({share} %)"))
        facts.append(("duration", f"{result.duration_s:.1f} s"))
        return facts

    def as_markdown(self) -> str:
        """For a Markdown artifact. The picture is a data URI, so it shows without a network."""
        lines = [f"# {markdown.text(self.title)}", ""]
        if self.error is not None:
            lines += [markdown.block(describe(self.error)), ""]
        lines += markdown.table([*as_rows(self.facts()), *link_rows(self.links)])
        lines += ["", *markdown.items([f"WARN: {warning}" for warning in self.result.warnings])]
        lines += left_behind_as_markdown(self.result.left_behind)
        lines += _commits(self.plan)
        if self.timeline:
            lines += ["", "## Steps", "", f"![timeline]({as_data_uri(as_svg(self.timeline))})"]
        if self.pull:
            lines += ["", "## Pull", "", markdown.block("\n".join(self.pull))]
        return "\n".join(lines) + "\n"

    def as_text(self) -> str:
        """For the terminal."""
        facts = self.facts()
        if self.result.ui_url:
            facts.append(("in the UI", self.result.ui_url))
        facts += [("commits", commit) for commit in _deciding(self.plan)]
        lines = [one_line(self.title), *aligned(facts)]
        lines += [f"  WARN: {one_line(warning)}" for warning in self.result.warnings]
        if self.timeline:
            lines += ["", *(f"  {line}" for line in as_text(self.timeline))]
        if self.pull:
            lines += ["", *(f"  {command}" for command in self.pull)]
        lines += left_behind_as_text(self.result.left_behind)
        return "\n".join(lines)


def left_behind_as_markdown(left_behind: Sequence[LeftBehind]) -> list[str]:
    """The section of a report on what the clean-up could not remove; nothing where there is none."""
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
    """Of a run that ended before there was more to tell. `facts`: label and value, None where it was not said."""

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


def as_rows(facts: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Facts as rows of a Markdown table; where the source is can be followed."""
    return [
        (markdown.text(label), markdown.link(value, value) if label == "source" else markdown.text(value))
        for label, value in facts
    ]


def link_rows(links: Sequence[Link]) -> list[tuple[str, str]]:
    """The same of links."""
    return [(markdown.text(link.what), markdown.link(link.text, link.url)) for link in links]


def _plan_facts(plan: ReleasePlan) -> list[tuple[str, str]]:
    facts = [("why", plan.why)]
    if plan.previous_version:
        facts.append(("previous version", plan.previous_version))
    if plan.source.revision:
        facts.append(("revision", plan.source.revision + (" (dirty)" if plan.source.dirty else "")))
    if plan.source.url:
        facts.append(("source", plan.source.url))
    return facts


def plan_as_markdown(plan: ReleasePlan) -> str:
    """The plan for people, before any of it is done: what, why, and each effect."""
    lines = [f"# {markdown.text(plan.reference)}", "", *markdown.table(as_rows(_plan_facts(plan)))]
    lines += ["", "## Will", ""]
    lines += [f"{number}. {markdown.text(effect)}" for number, effect in enumerate(plan.effects(), 1)]
    lines += _commits(plan)
    if plan.labels:
        lines += ["", "## Labels", "", *markdown.table(as_rows(sorted(plan.labels.items())))]
    return "\n".join(lines) + "\n"


def plan_as_question(plan: ReleasePlan) -> str:
    """The same for a form, which is narrow and shows a few lines at a time: lists, and no labels."""
    facts = [f"{label}: {value}" for label, value in _plan_facts(plan)]
    lines = [f"**{markdown.text(plan.reference)}**", "", *markdown.items(facts), "", "This will:", ""]
    return "\n".join([*lines, *markdown.items(plan.effects()), *_commits(plan)]) + "\n"


def plan_as_text(plan: ReleasePlan) -> str:
    """The same for a terminal."""
    if plan.nothing_to_release:
        return f"{plan.image}: nothing to release: {plan.why}"
    lines = [plan.reference, *aligned(_plan_facts(plan))]
    lines += [f"  commit {commit}" for commit in _deciding(plan)]
    lines += ["  would:", *(f"    - {one_line(effect)}" for effect in plan.effects())]
    return "\n".join(lines)


def describe(error: BaseException) -> str:
    """An error for people: a named cause with its next action; for anything else just its kind.

    The text of an unexpected exception stays out: nobody checked it for secrets.
    """
    if isinstance(error, SlipwayError):
        return f"{error.name}: {error}"
    return type(error).__name__


def _commits(plan: ReleasePlan) -> list[str]:
    if not plan.deciding_commits:
        return []
    return ["", "## Commits that decided", "", *markdown.items(_deciding(plan))]


def _deciding(plan: ReleasePlan) -> list[str]:
    return with_rest(plan.deciding_commits, plan.deciding_commit_count)
