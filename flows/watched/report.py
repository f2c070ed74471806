"""The report of a release: Markdown for the Prefect UI, plain text for the terminal, from the same facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flows.domain import markdown
from flows.domain.errors import SlipwayError
from flows.domain.outside import one_line
from flows.domain.plan import BuiltImage, ReleasePlan, ReleaseResult, StepTime, VerifiedImage
from flows.domain.text import aligned, human_size
from flows.watched.links import Link
from flows.watched.timeline import as_data_uri, as_svg, as_text


@dataclass(frozen=True)
class Report:
    """What is known of a release at its end, however it ended. `error` is None when it succeeded."""

    plan: ReleasePlan
    result: ReleaseResult
    built: BuiltImage | None = None
    verified: VerifiedImage | None = None
    timeline: tuple[StepTime, ...] = ()
    error: BaseException | None = None
    links: tuple[Link, ...] = ()

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
        lines += _commits(self.plan)
        if self.timeline:
            lines += ["", "## Steps", "", f"![timeline]({as_data_uri(as_svg(self.timeline))})"]
        if self.result.reference:
            lines += ["", "## Pull", "", markdown.block(f"docker pull {self.result.reference}")]
        return "\n".join(lines) + "\n"

    def as_text(self) -> str:
        """For the terminal."""
        facts = self.facts()
        if self.result.ui_url:
            facts.append(("in the UI", self.result.ui_url))
        facts += [("commits", commit) for commit in self.plan.deciding_commits]
        lines = [one_line(self.title), *aligned(facts)]
        if self.timeline:
            lines += ["", *(f"  {line}" for line in as_text(self.timeline))]
        if self.result.reference:
            lines += ["", f"  docker pull {self.result.reference}"]
        return "\n".join(lines)


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
    lines += [f"  commit {commit}" for commit in plan.deciding_commits]
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
    return ["", "## Commits that decided", "", *markdown.items(plan.deciding_commits)]
