"""Gates in reports: what each answered, and the record of each."""

from __future__ import annotations

from collections.abc import Sequence

from prefect_slipway.flows.reporting import markdown
from prefect_slipway.flows.values.gates import GateOutcome

_SHOWN = 20
_LONGEST = 100_000


def gates_as_markdown(outcomes: Sequence[GateOutcome]) -> list[str]:
    """The section of a report; empty without gates."""
    if not outcomes:
        return []
    several = len({each.image for each in outcomes}) > 1
    header = ("gate", *(("image",) if several else ()), "outcome", "seconds", "why", "waived")
    rows: list[Sequence[str]] = [header]
    for each in outcomes:
        name = markdown.link(each.gate, each.url) if each.url else markdown.text(each.gate)
        image = (markdown.text(each.image.partition("@")[0]),) if several else ()
        waived = ", ".join(markdown.text(f"{one.finding} until {one.until} by {one.by}") for one in each.waivers)
        rows.append((name, *image, each.outcome, f"{each.seconds:.1f}", markdown.text(each.why), waived))
    lines = ["", "## Gates", "", *markdown.table(rows)]
    for each in outcomes:
        if found := [*each.failed, *(f"warning: {one}" for one in each.warned)]:
            lines += ["", f"**{markdown.text(each.gate)}**", "", *markdown.items(found[:_SHOWN])]
            if len(found) > _SHOWN:
                lines.append(f"- and {len(found) - _SHOWN} more")
        elif each.output and not each.holds:
            lines += ["", f"**{markdown.text(each.gate)}**", "", markdown.block("\n".join(each.output))]
    return lines


def gate_as_markdown(outcome: GateOutcome, report: bytes | None) -> str:
    """The artifact of one gate: its findings, the last lines of its output, and its report."""
    lines = [f"# {markdown.text(f'Gate {outcome.gate} {outcome.outcome}')}", ""]
    facts = [("image", outcome.image), ("kind", outcome.kind), ("seconds", f"{outcome.seconds:.1f}")]
    facts += [("why", outcome.why)] if outcome.why else []
    lines += markdown.table((markdown.text(label), markdown.text(value)) for label, value in facts)
    pages = [url for url in (outcome.url, *outcome.links) if url]
    lines += ["", *(f"- {markdown.link(url, url)}" for url in pages)] if pages else []
    for title, found in (("Failed", outcome.failed), ("Warned", outcome.warned)):
        lines += ["", f"## {title}", "", *markdown.items(found)] if found else []
    if outcome.waivers:
        told = [f"{each.finding}: {each.reason} ({each.by}, until {each.until})" for each in outcome.waivers]
        lines += ["", "## Waived", "", *markdown.items(told)]
    if outcome.output:
        lines += ["", "## Last lines of its output", "", markdown.block("\n".join(outcome.output))]
    if report:
        lines += ["", "## Report", "", markdown.block(report[:_LONGEST].decode(errors="replace"))]
    return "\n".join(lines) + "\n"
