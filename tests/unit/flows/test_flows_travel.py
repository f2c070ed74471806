"""A flow that is served travels to its process by value (Prefect pickles it with cloudpickle): nothing may get lost."""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import inspect
import json
import pickle
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from prefect import Flow

import prefect_slipway.flows

REQUESTS = {
    "release": {"source": "."},
    "deploy": {"reference": "r.example/app:1.0.0", "workload": "deployment/app"},
    "rollback": {"workload": "deployment/app"},
    "promote": {"environments": [{"name": name, "workload": "deployment/app"} for name in ("dev", "live")]},
    "deploy-git": {"reference": "r.example/app:1.0.0", "git": {"repository": "https://git.example/config"}},
    "rollback-git": {"git": {"repository": "https://git.example/config"}},
    "promote-git": {
        "environments": [{"name": each, "repository": "https://git.example/c"} for each in ("dev", "live")]
    },
    "check-bases": {"applications": [{"deployment": "release/app"}]},
    "sweep": {},
    "dashboard": {},
}


def modules_with_flows() -> list[str]:
    """By their text, as importing all that there is takes long."""
    found = []
    for module in pkgutil.walk_packages(prefect_slipway.flows.__path__, "prefect_slipway.flows."):
        spec = importlib.util.find_spec(module.name)
        assert spec is not None and spec.origin is not None
        tree = ast.parse(Path(spec.origin).read_text())
        decorators = [
            ast.unparse(getattr(each, "func", each))
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            for each in node.decorator_list
        ]
        if "flow" in decorators:
            found.append(module.name)
    return found


@functools.cache
def flows() -> dict[str, Flow[..., Any]]:
    """By name; not looked for while tests are collected, which each of pytest's processes does."""
    return {
        value.name: value
        for name in modules_with_flows()
        for value in vars(importlib.import_module(name)).values()
        if isinstance(value, Flow)
    }


# Each flow is unpickled for itself, as its own process would do it.
_THERE = """
import cloudpickle, json, pickle, sys
told = {}
for name, pickled in pickle.load(sys.stdin.buffer).items():
    flow, parameters = cloudpickle.loads(pickled)
    request = flow.validate_parameters(parameters)["request"]
    told[name] = type(request).__name__, flow.flow_run_name.format(request=request)
print(json.dumps(told))
"""


def test_every_flow_is_known_here() -> None:
    """Whoever adds a flow gives it a request here."""
    assert flows().keys() == REQUESTS.keys()


@pytest.mark.parametrize("name", REQUESTS)
def test_its_annotations_are_types(name: str) -> None:
    """With `from __future__ import annotations` they would be strings, which nobody can read where it was unpickled:
    "ReleaseModel is not fully defined"."""
    for parameter in inspect.signature(flows()[name].fn).parameters.values():
        assert isinstance(parameter.annotation, type), parameter


def test_they_arrive_whole(tmp_path: Path) -> None:
    """In another process and folder parameters are validated and runs get their names; changed flows as well."""
    sent = {}
    for name, flow in flows().items():
        parameters = {"request": REQUESTS[name]}
        sent[name] = cloudpickle.dumps((flow, parameters))
        sent[f"{name}, changed"] = cloudpickle.dumps((flow.with_options(description="mine"), parameters))
    done = subprocess.run(
        [sys.executable, "-c", _THERE], input=pickle.dumps(sent), cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    told = json.loads(done.stdout)
    assert told.keys() == sent.keys()
    for name, (kind, shown) in told.items():
        flow = flows()[name.partition(",")[0]]
        assert kind == inspect.signature(flow.fn).parameters["request"].annotation.__name__
        assert shown and "None" not in shown
