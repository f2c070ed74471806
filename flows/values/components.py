"""The components of a source: what is planned for each, and what became of it. None holds a secret."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from prefect_slipway.flows.values.order import columns
from prefect_slipway.infra.domain.outside import one_line
from prefect_slipway.infra.domain.text import aligned


@dataclass(frozen=True, slots=True)
class PlannedComponent:
    """`path`: relative to the release file; `image`: None for a set. `version` None: it is not released, `why` says so.
    `needs`: the components that are released before it. `commits`: the newest of those that decided. `pull_request`:
    its release pull request is opened or brought up to date; merging that releases it."""

    name: str
    path: str
    image: str | None
    tag: str | None
    version: str | None
    previous: str | None
    why: str
    needs: tuple[str, ...] = ()
    commits: tuple[str, ...] = ()
    pull_request: bool = False

    def line(self) -> tuple[str, str]:
        """For people."""
        before = self.previous or "no version yet"
        what = f"{before} → {self.version}" if self.version is not None else before
        what += " by a pull request" if self.pull_request else ""
        after = f" (after {', '.join(self.needs)})" if self.needs and self.version is not None else ""
        return self.name, f"{what}{after}: {one_line(self.why)}"


@dataclass(frozen=True, slots=True)
class ComponentsPlan:
    """`components`: each after those that it needs."""

    source: str
    revision: str | None
    components: tuple[PlannedComponent, ...]

    @property
    def to_release(self) -> tuple[PlannedComponent, ...]:
        return tuple(each for each in self.components if each.version is not None)

    @property
    def releases_any(self) -> bool:
        """Whether a version becomes public, and not only a pull request for it."""
        return any(not each.pull_request for each in self.to_release)

    @property
    def title(self) -> str:
        return f"{self.source}: {len(self.to_release)} of {len(self.components)} components to release"

    def rounds(self) -> list[list[str]]:
        """The names of those to release, each column after the one before."""
        names = {each.name for each in self.to_release}
        return columns({each.name: [need for need in each.needs if need in names] for each in self.to_release})

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "order": self.rounds()}

    def as_text(self) -> str:
        """For a terminal."""
        lines = [self.title, *aligned([each.line() for each in self.to_release])]
        if len(self.to_release) > 1:
            lines.append(f"  order: {' → '.join(', '.join(names) for names in self.rounds())}")
        if rest := [each.line() for each in self.components if each.version is None]:
            lines += ["not released:", *aligned(rest)]
        return "\n".join(lines)


RELEASED, UNCHANGED, WAITING, FAILED, SKIPPED = "released", "unchanged", "waiting", "failed", "skipped"


@dataclass(frozen=True, slots=True)
class ComponentOutcome:
    """`state`: released, unchanged (there was nothing to release, or it was released before), waiting (for its release
    pull request, or for one of what it needs), failed, or skipped, because what it needs failed. `references`: its
    images by digest. `why`: the cause of a failure, or why there was nothing to release. `page`: of its run."""

    name: str
    state: str
    version: str | None = None
    references: tuple[str, ...] = ()
    why: str = ""
    page: str | None = None

    def line(self) -> tuple[str, str]:
        """For people."""
        what = f"{self.version} {self.state}" if self.version is not None and self.state == RELEASED else self.state
        return self.name, ": ".join(filter(None, (what, one_line(self.why) or ", ".join(self.references))))
