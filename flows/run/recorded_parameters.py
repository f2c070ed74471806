"""Validate a flow's parameters before Prefect records them, so that a secret is rejected first."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from prefect_slipway.flows.request.model import Request

if TYPE_CHECKING:
    from prefect import Flow

Models = Mapping[str, type[Request]]
"""By the name of the parameter that is read as one."""

P = ParamSpec("P")
R = TypeVar("R")


def read_before_recorded(flow: Flow[P, R]) -> Flow[P, R]:
    """Let a flow check plain values before its run is created.

    Prefect creates the run, with its parameters, before it validates them (flow_engine.py, `create_flow_run`).
    """
    serialize = flow.serialize_parameters

    @functools.wraps(serialize)
    def checked(parameters: dict[str, Any]) -> dict[str, Any]:
        read_requests(request_models(flow.fn), parameters)
        return serialize(parameters)

    flow.__dict__["serialize_parameters"] = checked
    return flow


def read_requests(models: Models, parameters: Mapping[str, Any]) -> None:
    """Read the parameters as the flow will. Raises the request models' UsageErrors."""
    for name, model in models.items():
        if isinstance(given := parameters.get(name), dict):
            model.read(given)


def check_shapes(models: Models, parameters: Mapping[str, Any]) -> None:
    """Raises RequestOutdated for parameters that an earlier version of the flow took."""
    for name, model in models.items():
        if isinstance(given := parameters.get(name), Mapping):
            model.check_shape(given)


@functools.cache
def request_models(function: Callable[..., Any]) -> Models:
    """Those of a flow's function."""
    hints = typing.get_type_hints(function)
    return {name: hint for name, hint in hints.items() if inspect.isclass(hint) and issubclass(hint, Request)}
