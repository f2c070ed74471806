"""Which request a flow of Slipway's takes, by its entrypoint: known without the flow, whose import brings Prefect."""

from __future__ import annotations

from importlib import import_module

from prefect_slipway.flows.request.model import Request

_FLOWS = "prefect_slipway.flows."
_MODELS = {
    f"{_FLOWS}release.release": ("release", "ReleaseRequest"),
    f"{_FLOWS}deploy_git.deploy_git": ("gitops", "GitDeployRequest"),
    f"{_FLOWS}deploy.deploy": ("rollout", "DeployRequest"),
    f"{_FLOWS}promote_git.promote_git": ("gitops", "GitPromoteRequest"),
    f"{_FLOWS}promote.promote": ("rollout", "PromoteRequest"),
    f"{_FLOWS}rollback_git.rollback_git": ("gitops", "GitRollbackRequest"),
    f"{_FLOWS}rollback.rollback": ("rollout", "RollbackRequest"),
    f"{_FLOWS}check_bases.check_bases": ("base_check", "BaseCheck"),
    f"{_FLOWS}dashboard.dashboard": ("dashboard", "DashboardRequest"),
    f"{_FLOWS}sweep.sweep": ("sweep", "SweepRequest"),
}


def request_models(entrypoint: str) -> dict[str, type[Request]] | None:
    """The models by parameter; None for a flow that is not among those."""
    if entrypoint not in _MODELS:
        return None
    module, name = _MODELS[entrypoint]
    return {"request": getattr(import_module(f"{__package__}.{module}"), name)}
