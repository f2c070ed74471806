"""A set of targets as `docker buildx bake --print` shows it, which is itself a bake file."""

from __future__ import annotations

from typing import Any

from prefect_slipway.flows.bake.targets import Target, TargetSet

_NAMES = {"dockerfile_inline": "dockerfile-inline", "secrets": "secret", "outputs": "output"}


def as_bake(targets: TargetSet) -> dict[str, Any]:
    """The groups that led to the targets, and every target with the fields that are not empty."""
    return {
        "group": {name: {"targets": list(members)} for name, members in sorted(targets.groups.items())},
        "target": {name: _printed(target) for name, target in sorted(targets.targets.items())},
    }


def _escaped(value: Any) -> Any:
    """As it is written in HCL's JSON form, where strings are templates."""
    if isinstance(value, str):
        return value.replace("${", "$${").replace("%{", "%%{")
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    if isinstance(value, dict):
        return {_escaped(key): _escaped(item) for key, item in value.items()}
    return value


def _printed(target: Target) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for field, value in target._asdict().items():
        if value and field not in {"name", "bases"}:
            name = _NAMES.get(field, field.replace("_", "-"))
            shown[name] = list(value) if isinstance(value, tuple) else value
    links = {name: f"target:{base}" for name, base in target.bases.items()}
    if links or target.contexts:
        shown["contexts"] = {**target.contexts, **links}
    found: dict[str, Any] = _escaped(shown)
    return found
