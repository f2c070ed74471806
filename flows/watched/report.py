"""The report of a release: Markdown for the Prefect UI, plain text for the terminal, from the same facts."""

from __future__ import annotations

from dataclasses import dataclass

from flows.domain.errors import SlipwayError
from flows.domain.plan import BuiltImage, ReleasePlan, ReleaseResult, StepTime, VerifiedImage
from flows.domain.text import aligned, human_size, table_cell, with_rest
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
        lines = [f"# {self.title}", ""]
        if self.error is not None:
            lines += ["```", describe(self.error), "```", ""]
        lines += ["| | |", "|---|---|"]
        lines += [f"| {label} | {table_cell(value)} |" for label, value in self.facts()]
        lines += [f"| {link.what} | [{table_cell(link.text)}]({link.url}) |" for link in self.links]
        lines += _commits(self.plan)
        if self.timeline:
            lines += ["", "## Steps", "", f"![timeline]({as_data_uri(as_svg(self.timeline))})"]
        if self.result.reference:
            lines += ["", "## Pull", "", "```", f"docker pull {self.result.reference}", "```"]
        return "\n".join(lines) + "\n"

    def as_text(self) -> str:
        """For the terminal."""
        facts = self.facts()
        if self.result.ui_url:
            facts.append(("in the UI", self.result.ui_url))
        facts += [("commits", commit) for commit in _deciding(self.plan)]
        lines = [self.title, *aligned(facts)]
        if self.timeline:
            lines += ["", *(f"  {line}" for line in as_text(self.timeline))]
        if self.result.reference:
            lines += ["", f"  docker pull {self.result.reference}"]
        return "\n".join(lines)


def plan_as_markdown(plan: ReleasePlan) -> str:
    """The plan for people, before any of it is done: what, why, and each effect."""
    lines = [f"# {plan.reference}", "", "| | |", "|---|---|", f"| why | {table_cell(plan.why)} |"]
    if plan.previous_version:
        lines.append(f"| previous version | {plan.previous_version} |")
    if plan.source.revision:
        lines.append(f"| revision | {plan.source.revision}{' (dirty)' if plan.source.dirty else ''} |")
    if plan.source.url:
        lines.append(f"| source | {table_cell(plan.source.url)} |")
    lines += ["", "## Will", "", *(f"{number}. {effect}" for number, effect in enumerate(plan.effects(), 1))]
    lines += _commits(plan)
    lines += ["", "## Labels", "", "| | |", "|---|---|"]
    lines += [f"| {table_cell(name)} | {table_cell(value)} |" for name, value in sorted(plan.labels.items())]
    return "\n".join(lines) + "\n"


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
    return ["", "## Commits that decided", "", *(f"- {table_cell(commit)}" for commit in _deciding(plan))]


def _deciding(plan: ReleasePlan) -> list[str]:
    return with_rest(plan.deciding_commits, plan.deciding_commit_count)
