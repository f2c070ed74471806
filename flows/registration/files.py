"""The files that define what to register: `deployments/` of this installation, or a prefect.yaml of the user's."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from prefect_slipway.infra.domain.errors import InvalidOption

SHIPPED = Path(__file__).parents[2] / "deployments"
"""What Slipway itself brings."""

PREFECT_FILE = SHIPPED / "prefect.yaml"

SAMPLES = SHIPPED / "samples"
"""Files that are only registered on request: deployments to copy, a notification."""


@dataclass(frozen=True)
class Pool:
    """A work pool as a file describes it. `template`: Prefect's base job template."""

    name: str
    type: str
    template: dict[str, Any]

    def with_defaults(self, values: Mapping[str, str]) -> Pool:
        """The pool with other defaults for its job variables. Raises InvalidOption for an unknown variable."""
        template = copy.deepcopy(self.template)
        properties = template["variables"]["properties"]
        for name, value in values.items():
            if name not in properties:
                raise InvalidOption(
                    f"the jobs of the work pool {self.name} have no variable {name!r}",
                    action=f"use one of {', '.join(properties)}",
                )
            properties[name]["default"] = value
        return replace(self, template=template)


def shipped_pools() -> list[Pool]:
    """The work pools of `deployments/pools`: NAME.TYPE.json holds a base job template."""
    pools = []
    for path in sorted((SHIPPED / "pools").glob("*.json")):
        name, _, kind = path.stem.rpartition(".")
        pools.append(Pool(name, kind, json.loads(path.read_text(encoding="utf-8"))))
    return pools


def automation_files(folder: Path = SHIPPED) -> list[dict[str, Any]]:
    """The files of `automations` in a folder: a document with `automations` (and `blocks`), or one automation."""
    documents = [read_yaml(path) for path in sorted((folder / "automations").glob("*.yaml"))]
    return [document if "automations" in document else {"automations": [document]} for document in documents]


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping. Raises InvalidOption."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidOption(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise InvalidOption(f"{path} is not YAML{where}", action="fix the file") from error
    if not isinstance(document, dict):
        raise InvalidOption(f"{path} is not a YAML mapping", action="write it as Prefect's documentation shows")
    return document
