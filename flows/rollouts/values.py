"""What a deploy, a rollback or a promotion did: plain values that Prefect can store and show."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

from prefect_slipway.flows.values.gitops import GitWrite
from prefect_slipway.infra.domain.naming import image_title


@dataclass(frozen=True, slots=True)
class DeployedImage:
    """An image that a registry holds. `name`: REGISTRY/REPOSITORY; `version`: None where nobody says it."""

    name: str
    digest: str
    version: str | None = None

    @property
    def reference(self) -> str:
        return f"{self.name}@{self.digest}"

    @property
    def shown(self) -> str:
        """As people read it."""
        return f"{self.name} {self.version}" if self.version else self.reference

    @property
    def title(self) -> str:
        """For the names of runs."""
        return f"{image_title(self.name)} {self.version}" if self.version else image_title(self.reference)

    def tags(self, tags: Iterable[str]) -> list[str]:
        """A run's tags, and those that say what it is about."""
        version = [f"version:{self.version}"] if self.version else []
        return sorted({*tags, f"image:{self.name.rpartition('/')[2]}", *version})


@dataclass(frozen=True, slots=True)
class DeployResult:
    """An image that is rolled out. `changed`: False if it was already. `previous`: the image that ran before.

    `duration_s` is wall time.
    """

    image: str
    digest: str
    reference: str
    workload: str
    namespace: str
    container: str
    changed: bool
    version: str | None = None
    context: str | None = None
    previous: str | None = None
    flow_run_id: str | None = None
    ui_url: str | None = None
    duration_s: float = 0.0

    @property
    def summary(self) -> str:
        """A line for states and lists."""
        what = f"{self.image} {self.version}" if self.version else self.reference
        where = f"{self.workload} in namespace {self.namespace}"
        return f"{what} rolled out to {where}" if self.changed else f"{what} was rolled out to {where} already"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


Outcome = TypeVar("Outcome", DeployResult, GitWrite)


@dataclass(frozen=True, slots=True)
class PromoteResult(Generic[Outcome]):
    """An image that went through environments. `environments`: their names in order, with what was done in each."""

    image: str
    digest: str
    environments: dict[str, Outcome]
    version: str | None = None
    flow_run_id: str | None = None
    ui_url: str | None = None

    @property
    def summary(self) -> str:
        return f"{self.image} {self.version or self.digest} is in {', '.join(self.environments)}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
