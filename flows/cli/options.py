"""Command line options made from the request model, so that options, form fields and parameters are the same."""

from __future__ import annotations

import argparse
import types
from collections.abc import Collection, Iterator
from enum import StrEnum
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from prefect_slipway.flows.cli.cache_options import add_cache_options, given_cache
from prefect_slipway.flows.cli.typed_build import typed_build
from prefect_slipway.flows.request.build import Build
from prefect_slipway.flows.request.model import Request
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.infra.domain.options import pair

Model = TypeVar("Model", bound=Request)

_REPEATED = {
    "credentials": "WHERE",
    "platforms": "PLATFORM",
    "environments": "ENVIRONMENT",
    "secrets": "id=ID,vault=PLACE",
    "ssh": "ID=vault:PLACE",
    "cache_from": "CACHE",
    "cache_to": "CACHE",
    "no_cache_filter": "STAGE",
    "annotations": "KEY=VALUE",
    "attest": "type=TYPE",
    "add_hosts": "HOST:IP",
    "ulimits": "NAME=LIMIT",
    "allow": "PERMISSION",
}
# Help of options that turn a default off, because the field's description says what it does when on.
_TURNED_OFF = {"rollback": "Do not restore the previous image if the rollout fails or is interrupted."}
_SINGULAR = {
    "build_args": "build-arg",
    "labels": "label",
    "platforms": "platform",
    "builder_options": "builder-option",
    "run_labels": "run-label",
    "environments": "environment",
    "files": "file",
    "secrets": "secret",
    "contexts": "build-context",
    "annotations": "annotation",
    "add_hosts": "add-host",
    "ulimits": "ulimit",
    "variables": "var",
}


def add_request_options(
    parser: argparse._ActionsContainer,
    model: type[Request] = ReleaseRequest,
    *,
    positional: str | None = "source",
    without: Collection[str] = (),
) -> None:
    """One option for each field of the model, with the field's description as its help; `positional` is an argument.

    `without`: fields that the command has no options for, as it has none for models within the model.
    """
    for name, field, kind in _options(model, without):
        text = (field.description or "").replace("%", "%%")
        if name == positional:
            parser.add_argument(name, nargs="?", default=None, metavar=name.upper(), help=text)
        elif kind is bool and field.default is True:
            flag = _flag(name).replace("--", "--no-", 1)
            parser.add_argument(flag, dest=name, action="store_const", const=False, help=_TURNED_OFF[name])
        elif kind is bool:
            parser.add_argument(_flag(name), dest=name, action="store_const", const=True, help=text)
        elif get_origin(kind) in (list, dict):
            metavar = "KEY=VALUE" if get_origin(kind) is dict else _REPEATED.get(name, name.upper())
            parser.add_argument(_flag(name), dest=name, action="append", metavar=metavar, help=text)
        else:
            parser.add_argument(_flag(name), dest=name, choices=_choices(kind), metavar=_metavar(name, kind), help=text)


def add_release_options(parser: argparse.ArgumentParser) -> None:
    """The options of a release of one image, which `request_of` reads."""
    add_request_options(parser)
    more = parser.add_argument_group("more options of the build", "As docker buildx build has them.")
    add_request_options(more, Build, positional=None)
    add_cache_options(parser)


def request_of(args: argparse.Namespace) -> ReleaseRequest:
    """The request from the command line. Raises the UsageErrors of the model."""
    values = given_options(args, ReleaseRequest)
    if build := given_options(args, Build):
        values["build"] = typed_build(build)
    if cache := given_cache(args):
        values["cache"] = cache
    return ReleaseRequest.read(values)


def read_request(args: argparse.Namespace, model: type[Model]) -> Model:
    """The same for another model."""
    return model.read(given_options(args, model))


def given_options(args: argparse.Namespace, model: type[Request], *, without: Collection[str] = ()) -> dict[str, Any]:
    """The model's fields from the command line. Raises InvalidOption."""
    values: dict[str, Any] = {}
    for name, _, kind in _options(model, without):
        if (given := getattr(args, name)) is not None:
            values[name] = read_pairs(_flag(name), given) if get_origin(kind) is dict else given
    return values


def _options(model: type[Request], without: Collection[str]) -> Iterator[tuple[str, FieldInfo, Any]]:
    for name, field in model.model_fields.items():
        kind = _plain_type(field)
        if name not in without and not (isinstance(kind, type) and issubclass(kind, Request)):
            yield name, field, kind


def _flag(name: str) -> str:
    return "--" + _SINGULAR.get(name, name).replace("_", "-")


def _plain_type(field: FieldInfo) -> Any:
    """The annotation without `| None`."""
    annotation = field.annotation
    if get_origin(annotation) in (Union, types.UnionType):
        return next(part for part in get_args(annotation) if part is not type(None))
    return annotation


def _choices(kind: Any) -> list[str] | None:
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return [member.value for member in kind]
    return list(get_args(kind)) if get_origin(kind) is Literal else None


def _metavar(name: str, kind: Any) -> str | None:
    return None if _choices(kind) else name.rpartition("_")[2].upper()


def read_pairs(option: str, texts: list[str]) -> dict[str, str]:
    """KEY=VALUE each. Raises InvalidOption."""
    return dict(pair(option, text) for text in texts)
