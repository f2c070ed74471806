"""The report of a deploy: Markdown for the Prefect UI, plain text for the terminal, from the same facts."""

from __future__ import annotations

from dataclasses import dataclass

from prefect_slipway.flows.reporting import markdown
from prefect_slipway.flows.reporting.links import Link
from prefect_slipway.flows.reporting.rows import as_rows, describe, link_rows
from prefect_slipway.flows.rollouts.values import DeployResult
from prefect_slipway.infra.domain.outside import one_line
from prefect_slipway.infra.domain.text import aligned


@dataclass(frozen=True)
class DeployReport:
    """`outcome`: what became of a failed deploy (rolled back, left as it is). `error` is None when it succeeded.
    `links`: where people can look further."""

    result: DeployResult
    outcome: str | None = None
    error: BaseException | None = None
    links: tuple[Link, ...] = ()

    @property
    def title(self) -> str:
        if self.error is None:
            return self.result.summary
        what = f"{self.result.image} {self.result.version or self.result.digest}"
        return f"{what} was not rolled out to {self.result.workload} in namespace {self.result.namespace}"

    def facts(self) -> list[tuple[str, str]]:
        """Labels and values, in the order of interest."""
        result = self.result
        facts = [("workload", f"{result.workload} (container {result.container})"), ("namespace", result.namespace)]
        if result.context:
            facts.append(("context", result.context))
        facts.append(("image", result.reference))
        if result.version:
            facts.append(("version", result.version))
        if result.previous:
            facts.append(("before", result.previous))
        if self.outcome:
            facts.append(("outcome", self.outcome))
        facts.append(("duration", f"{result.duration_s:.1f} s"))
        return facts

    def as_markdown(self) -> str:
        lines = [f"# {markdown.text(self.title)}", ""]
        if self.error is not None:
            lines += [markdown.block(describe(self.error)), ""]
        lines += markdown.table([*as_rows(self.facts()), *link_rows(self.links)])
        return "\n".join(lines) + "\n"

    def as_text(self) -> str:
        facts = self.facts()
        if self.result.ui_url:
            facts.append(("in the UI", self.result.ui_url))
        return "\n".join([one_line(self.title), *aligned(facts)])
