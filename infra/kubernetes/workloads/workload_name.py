"""The name of a workload as kubectl writes it: `deployment/app`."""

from __future__ import annotations

from dataclasses import dataclass

from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.kubernetes.access.kinds import CRON_JOB, DAEMON_SET, DEPLOYMENT, STATEFUL_SET, Kind, shown

_NAMES = {
    **dict.fromkeys(("deployment", "deployments", "deploy", "deployment.apps"), DEPLOYMENT),
    **dict.fromkeys(("statefulset", "statefulsets", "sts", "statefulset.apps"), STATEFUL_SET),
    **dict.fromkeys(("daemonset", "daemonsets", "ds", "daemonset.apps"), DAEMON_SET),
    **dict.fromkeys(("cronjob", "cronjobs", "cj", "cronjob.batch"), CRON_JOB),
}


@dataclass(frozen=True, slots=True)
class WorkloadName:
    """A workload whose pods an image is deployed to."""

    kind: Kind
    name: str

    @classmethod
    def parse(cls, text: str) -> WorkloadName:
        """Kinds may be written as kubectl lets them be (`deploy`, `sts`, `ds`, `cj`). Raises InvalidOption."""
        kind, _, name = text.partition("/")
        if kind.lower() not in _NAMES or not name or "/" in name:
            raise InvalidOption(
                f"{text!r} is not a workload",
                action="use deployment/NAME, statefulset/NAME, daemonset/NAME or cronjob/NAME",
            )
        return cls(_NAMES[kind.lower()], name)

    def __str__(self) -> str:
        return shown(self.kind, self.name)
