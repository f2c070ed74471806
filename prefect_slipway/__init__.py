"""Slipway: release container images with Prefect, BuildKit and Vault.

This is the public interface; docs/reference/python.md lists it. Each name is imported at first use, so
`import prefect_slipway` is fast, and a process that needs one flow does not load the others.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it for true, as typing's own, which would cost more than all the rest

if TYPE_CHECKING:
    from prefect_slipway.blocks import Builder as Builder
    from prefect_slipway.blocks import GateFile as GateFile
    from prefect_slipway.blocks import KubernetesBuilder as KubernetesBuilder
    from prefect_slipway.blocks import Policy as Policy
    from prefect_slipway.blocks import Registry as Registry
    from prefect_slipway.blocks import Source as Source
    from prefect_slipway.blocks import SourcePolicy as SourcePolicy
    from prefect_slipway.blocks import Vault as Vault
    from prefect_slipway.flows.request.base_check import Application as Application
    from prefect_slipway.flows.request.base_check import BaseCheck as BaseCheck
    from prefect_slipway.flows.check_bases import Checked as Checked
    from prefect_slipway.flows.check_bases import check_bases as check_bases
    from prefect_slipway.flows.deploy import deploy as deploy
    from prefect_slipway.flows.values.plan import ReleasePlan as ReleasePlan
    from prefect_slipway.flows.values.result import BuiltImage as BuiltImage
    from prefect_slipway.flows.values.result import ReleaseResult as ReleaseResult
    from prefect_slipway.flows.promote import promote as promote
    from prefect_slipway.flows.release import release as release
    from prefect_slipway.flows.request.approval import Approval as Approval
    from prefect_slipway.flows.request.bake import Bake as Bake
    from prefect_slipway.flows.request.build import Build as Build
    from prefect_slipway.flows.request.builder import BuilderChoice as BuilderChoice
    from prefect_slipway.flows.request.gates import Gates as Gates
    from prefect_slipway.flows.request.checkout import Checkout as Checkout
    from prefect_slipway.flows.request.credentials import RegistryAccess as RegistryAccess
    from prefect_slipway.flows.request.release import ReleaseRequest as ReleaseRequest
    from prefect_slipway.flows.request.rollout import DeployRequest as DeployRequest
    from prefect_slipway.flows.request.rollout import Environment as Environment
    from prefect_slipway.flows.request.rollout import PromoteRequest as PromoteRequest
    from prefect_slipway.flows.request.rollout import RollbackRequest as RollbackRequest
    from prefect_slipway.flows.request.version import VersionChoice as VersionChoice
    from prefect_slipway.flows.rollback import rollback as rollback
    from prefect_slipway.flows.rollouts.values import DeployResult as DeployResult
    from prefect_slipway.flows.rollouts.values import PromoteResult as PromoteResult
    from prefect_slipway.flows.request.sweep import SweepRequest as SweepRequest
    from prefect_slipway.flows.sweep import sweep as sweep
    from prefect_slipway.flows.tasks import build_image as build_image
    from prefect_slipway.flows.tasks import builder as builder
    from prefect_slipway.flows.tasks import deploy_image as deploy_image
    from prefect_slipway.flows.tasks import next_version as next_version
    from prefect_slipway.flows.tasks import tag_image as tag_image
    from prefect_slipway.flows.testing import fake_release as fake_release
    from prefect_slipway.infra.domain import errors as errors

    __version__: str

# The same for the interpreter; tests/unit/test_interface.py compares the two.
_NAMES = {
    "__version__": "infra.common.distribution:VERSION",
    # flows
    "release": "flows.release:release",
    "deploy": "flows.deploy:deploy",
    "rollback": "flows.rollback:rollback",
    "promote": "flows.promote:promote",
    "check_bases": "flows.check_bases:check_bases",
    "sweep": "flows.sweep:sweep",
    # a release's steps one by one, and one that releases nothing
    "next_version": "flows.tasks:next_version",
    "builder": "flows.tasks:builder",
    "build_image": "flows.tasks:build_image",
    "tag_image": "flows.tasks:tag_image",
    "deploy_image": "flows.tasks:deploy_image",
    "fake_release": "flows.testing:fake_release",
    "ReleasePlan": "flows.values.plan:ReleasePlan",
    "BuiltImage": "flows.values.result:BuiltImage",
    # what they are asked
    "ReleaseRequest": "flows.request.release:ReleaseRequest",
    "Checkout": "flows.request.checkout:Checkout",
    "VersionChoice": "flows.request.version:VersionChoice",
    "Build": "flows.request.build:Build",
    "BuilderChoice": "flows.request.builder:BuilderChoice",
    "RegistryAccess": "flows.request.credentials:RegistryAccess",
    "Approval": "flows.request.approval:Approval",
    "Bake": "flows.request.bake:Bake",
    "Gates": "flows.request.gates:Gates",
    "DeployRequest": "flows.request.rollout:DeployRequest",
    "RollbackRequest": "flows.request.rollout:RollbackRequest",
    "PromoteRequest": "flows.request.rollout:PromoteRequest",
    "Environment": "flows.request.rollout:Environment",
    "BaseCheck": "flows.request.base_check:BaseCheck",
    "Application": "flows.request.base_check:Application",
    "SweepRequest": "flows.request.sweep:SweepRequest",
    # what they return, and raise
    "ReleaseResult": "flows.values.result:ReleaseResult",
    "DeployResult": "flows.rollouts.values:DeployResult",
    "PromoteResult": "flows.rollouts.values:PromoteResult",
    "Checked": "flows.check_bases:Checked",
    "errors": "infra.domain.errors",
    # blocks
    "Builder": "blocks:Builder",
    "GateFile": "blocks:GateFile",
    "KubernetesBuilder": "blocks:KubernetesBuilder",
    "Policy": "blocks:Policy",
    "Registry": "blocks:Registry",
    "Source": "blocks:Source",
    "SourcePolicy": "blocks:SourcePolicy",
    "Vault": "blocks:Vault",
}
__all__ = [*_NAMES]

if not TYPE_CHECKING:  # a type checker would take every name for one of ours

    def __getattr__(name: str) -> object:
        if name not in _NAMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from pkgutil import resolve_name

        value = globals()[name] = resolve_name(f"{__name__}.{_NAMES[name]}")
        return value

    def __dir__() -> list[str]:
        # `prefect block register -m prefect_slipway` registers the blocks that it finds by it.
        return sorted({*globals(), *__all__})
