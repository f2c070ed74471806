"""A plan for people, before any of it is done: Markdown for Prefect's UI, plain text for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect_slipway.flows.reporting import markdown
from prefect_slipway.flows.reporting.rows import as_rows
from prefect_slipway.flows.values.plan import ReleasePlan
from prefect_slipway.infra.domain.outside import one_line
from prefect_slipway.infra.domain.text import aligned, with_rest


def plan_as_markdown(plan: ReleasePlan) -> str:
    """What, why, and each effect."""
    lines = [f"# {markdown.text(plan.reference)}", "", *markdown.table(as_rows(_facts(plan)))]
    lines += ["", "## Will", ""]
    lines += [f"{number}. {markdown.text(effect)}" for number, effect in enumerate(plan.effects(), 1)]
    lines += [*warnings_as_markdown(plan.warnings), *notes_as_markdown(plan), *commits_as_markdown(plan)]
    for image in plan.public:
        if image.labels:
            title = "Labels" if plan.only is not None else f"Labels of {markdown.text(image.target)}"
            lines += ["", f"## {title}", "", *markdown.table(as_rows(sorted(image.labels.items())))]
    return "\n".join(lines) + "\n"


def plan_as_question(plan: ReleasePlan) -> str:
    """The plan for a form, which is narrow and short: lists, without labels."""
    facts = [f"{label}: {value}" for label, value in _facts(plan)]
    lines = [f"**{markdown.text(plan.reference)}**", "", *markdown.items(facts), "", "This will:", ""]
    lines += [*markdown.items(plan.effects()), *warnings_as_markdown(plan.warnings), *commits_as_markdown(plan)]
    return "\n".join(lines) + "\n"


def plan_as_text(plan: ReleasePlan) -> str:
    """The same for a terminal."""
    if plan.nothing_to_release:
        return f"{plan.name}: nothing to release: {plan.why}"
    lines = [plan.reference, *aligned(_facts(plan))]
    commits = [f"commit {commit}" for commit in plan.deciding_commits]
    lines += [f"  {line}" for line in with_rest(commits, plan.deciding_commit_count)]
    lines += [f"  WARN: {warning}" for warning in plan.warnings]
    lines += ["  would:", *(f"    - {one_line(effect)}" for effect in plan.effects())]
    return "\n".join(lines)


def notes_as_markdown(plan: ReleasePlan) -> list[str]:
    """The section on what is new; empty without notes."""
    return ["", "## Notes", "", plan.notes.markdown] if plan.notes is not None else []


def commits_as_markdown(plan: ReleasePlan) -> list[str]:
    """The section on the commits that decided the version; empty without any."""
    if not plan.deciding_commits:
        return []
    return ["", "## Commits that decided", "", *markdown.items(deciding_commits(plan))]


def warnings_as_markdown(warnings: tuple[str, ...]) -> list[str]:
    """A list of them; empty if there is none."""
    return ["", *markdown.items([f"WARN: {warning}" for warning in warnings])] if warnings else []


def deciding_commits(plan: ReleasePlan) -> list[str]:
    """The newest of them, and how many more there are."""
    return with_rest(plan.deciding_commits, plan.deciding_commit_count)


def source_facts(plan: ReleasePlan) -> list[tuple[str, str]]:
    """Labels and values of the source's known facts."""
    facts = []
    if plan.previous_version:
        facts.append(("previous version", plan.previous_version))
    if plan.source.revision:
        facts.append(("revision", plan.source.revision + (" (dirty)" if plan.source.dirty else "")))
    if plan.source.url:
        facts.append(("source", plan.source.url))
    return facts


def build_facts(plan: ReleasePlan) -> list[tuple[str, str]]:
    """Rows with the options of the build in force and its source policy; none without any."""
    policy = [("source policy", plan.source_policy)] if plan.source_policy else []
    said = [_said(name.replace("_", " "), value) for name, value in plan.build_options.items()]
    return [*([("build options", one_line("; ".join(said)))] if said else []), *policy]


def _said(name: str, value: Any) -> str:
    if value is True:
        return name
    if isinstance(value, Mapping):
        value = [f"{key}={inner}" for key, inner in value.items()]
    return f"{name} {', '.join(value) if isinstance(value, list) else value}"


def _facts(plan: ReleasePlan) -> list[tuple[str, str]]:
    return [("why", plan.why), *source_facts(plan), *build_facts(plan)]
