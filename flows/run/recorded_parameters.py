"""A flow's parameters: read before Prefect records them, so that a secret is rejected first; refused with a report."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from prefect_slipway.flows.request.model import Request
from prefect_slipway.infra.domain.errors import UsageError

if TYPE_CHECKING:
    from prefect import Flow

Models = Mapping[str, type[Request]]
"""By the name of the parameter that is read as one."""

P = ParamSpec("P")
R = TypeVar("R")


def read_before_recorded(flow: Flow[P, R]) -> Flow[P, R]:
    """Let a flow check plain values before its run is created, and say what is wrong in Slipway's words.

    Prefect creates the run, with its parameters, before it validates them (flow_engine.py, `create_flow_run`). Those of
    a deployment's run are recorded already: such a run fails before its flow begins, and gets its name and report here.
    """
    from prefect_slipway.flows.run.refused_parameters import (
        report_early_failure,  # flows alone have Prefect loaded here
    )

    serialize, validate = flow.serialize_parameters, flow.validate_parameters

    @functools.wraps(serialize)
    def checked(parameters: dict[str, Any]) -> dict[str, Any]:
        read_requests(request_models(flow.fn), parameters)
        # Prefect has FastAPI write them down, in the same way, and imports it for that: 0.05 s.
        written = {
            name: value.model_dump(mode="json", by_alias=True)
            for name, value in parameters.items()
            if isinstance(value, Request)
        }
        return serialize({name: value for name, value in parameters.items() if name not in written}) | written

    @functools.wraps(validate)
    def read(parameters: dict[str, Any]) -> dict[str, Any]:
        read_requests(request_models(flow.fn), parameters)
        return validate(parameters)

    flow.__dict__["serialize_parameters"] = checked
    flow.__dict__["validate_parameters"] = read
    flow.on_failure(report_early_failure)
    return flow


def read_requests(models: Models, parameters: Mapping[str, Any]) -> None:
    """Read the parameters as the flow will. Raises the request models' UsageErrors."""
    for name, model in models.items():
        if isinstance(given := parameters.get(name), dict):
            model.read(given)


def run_name(models: Models, parameters: Mapping[str, Any]) -> str | None:
    """What the flow will call its run at its beginning; None if these parameters do not say it."""
    for name, model in models.items():
        try:
            return str(model.read(parameters[name]).run_name)  # type: ignore[attr-defined]  # sections have none
        except (KeyError, TypeError, ValueError, AttributeError, UsageError):
            return None
    return None


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
