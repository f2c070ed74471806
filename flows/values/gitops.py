"""What was written to git: plain values that Prefect can store and show."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from prefect_slipway.infra.domain.outside import one_line


@dataclass(frozen=True, slots=True)
class GitWrite:
    """One place in a git repository. `target`: its name, "" without one. `image`: REGISTRY/REPOSITORY, `reference`: as
    it is written. `commit`: that holds it, None where none does; `changed`: False if it was there already. `previous`:
    what was there. `pull_request`: the page where one can be opened, or is open. `workload`: that runs it, None where
    nobody waited; `seconds`: until it did, since the commit. `failure`: why it was not written, or does not run."""

    target: str
    repository: str
    branch: str
    path: str
    image: str
    digest: str
    reference: str
    version: str | None = None
    commit: str | None = None
    changed: bool = False
    previous: str | None = None
    pull_request: str | None = None
    workload: str | None = None
    seconds: float | None = None
    failure: str | None = None

    def __post_init__(self) -> None:
        for name in ("path", "previous", "failure"):
            value = getattr(self, name)
            object.__setattr__(self, name, one_line(value) if value is not None else None)

    @property
    def line(self) -> str:
        """What became of it."""
        where = f"{self.path or 'the top'} of {self.repository}"
        if self.failure is not None:
            return f"{where}: {self.failure}"
        if self.commit is None:
            return f"{where} is not changed: it has {self.previous}"
        how = f"commit {self.commit[:12]} on {self.branch}"
        what = f"{where}: {how}" if self.changed else f"{where} has it already ({how})"
        if self.pull_request is not None:
            what += f", pull request: {self.pull_request}"
        return f"{what}; {self.workload} runs it after {self.seconds:.1f} s" if self.workload is not None else what

    @property
    def summary(self) -> str:
        """A line for states and lists."""
        what = f"{self.image} {self.version}" if self.version else self.reference
        return f"{what}: {self.line}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
