"""What people see of a release of components: its end for the terminal and Prefect's UI, and whose news is whose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from prefect_slipway.flows.reporting import markdown
from prefect_slipway.flows.reporting.rows import as_rows
from prefect_slipway.flows.reporting.watch import Report, StepNews, Watcher
from prefect_slipway.flows.values.components import ComponentsPlan
from prefect_slipway.flows.values.result import LeftBehind, ReleaseResult
from prefect_slipway.infra.domain.text import aligned

if TYPE_CHECKING:
    from prefect_slipway.infra.buildkit.build.events import BuildEvent


@dataclass(frozen=True, slots=True)
class ComponentsReport:
    """What became of each component."""

    plan: ComponentsPlan
    result: ReleaseResult

    @property
    def title(self) -> str:
        return f"{self.plan.source}: {self.result.reason}"

    def as_text(self, width: int) -> str:
        """For a terminal."""
        warnings = [f"WARN: {warning}" for warning in self._warnings]
        return "\n".join([self.title, *aligned([each.line() for each in self.result.components]), *warnings])

    def as_markdown(self) -> str:
        """For Prefect's UI."""
        page = _page(self.title, [each.line() for each in self.result.components])
        return "\n".join([page, *markdown.items(self._warnings), ""]) if self._warnings else page

    @property
    def _warnings(self) -> list[str]:
        return [*self.result.warnings, *self.result.not_deployed]


def plan_of_components(plan: ComponentsPlan) -> str:
    """The plan in Markdown."""
    return _page(plan.title, [each.line() for each in plan.components])


def _page(title: str, rows: Sequence[tuple[str, str]]) -> str:
    return "\n".join([f"# {markdown.text(title)}", "", *markdown.table([("component", ""), *as_rows(rows)])]) + "\n"


class Labelled:
    """Tells a watcher of a component's release, by the component's name. Its report is a part of the whole."""

    def __init__(self, name: str, watcher: Watcher) -> None:
        self._name = name
        self._to = watcher

    def runs(self, run: str | None, page: str | None) -> None:
        if page is not None:
            self.say(page)

    def step(self, news: StepNews) -> None:
        self._to.step(news._replace(name=f"{self._name}: {news.name}"))

    def build(self, image: str, event: BuildEvent) -> None:
        self._to.build(f"{self._name} {image}".rstrip(), event)

    def log(self, text: str) -> None:
        self._to.log(text)

    def say(self, text: str) -> None:
        self._to.say("\n".join(f"{self._name}: {line}" for line in text.split("\n")))

    def show(self, report: Report) -> None:
        pass

    def left(self, what: Sequence[LeftBehind]) -> None:
        self._to.left([replace(each, cause=f"{self._name}: {each.cause}") for each in what])

    def outcome(self, text: str) -> None:
        self.say(text)
