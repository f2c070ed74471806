"""The definitions of several files: groups and targets by name, where later files override earlier ones."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from prefect_slipway.flows.bake.fields import Fields, merge


class Definition(NamedTuple):
    """`groups`: names of targets and groups by a group's name. `targets`: fields by a target's name. `warnings`:
    sentences for the user. `descriptions`: of groups."""

    groups: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    targets: Mapping[str, Fields] = MappingProxyType({})
    warnings: tuple[str, ...] = ()
    descriptions: Mapping[str, str] = MappingProxyType({})

    def over(self, below: Definition) -> Definition:
        """This definition merged over another: groups are replaced, targets merged."""
        targets = dict(below.targets)
        for name, fields in self.targets.items():
            targets[name] = merge(targets[name], fields) if name in targets else fields
        return Definition(
            {**below.groups, **self.groups},
            targets,
            below.warnings + self.warnings,
            {**below.descriptions, **self.descriptions},
        )
