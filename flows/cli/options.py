"""Command line options made from the request model, so that options, form fields and parameters are the same."""

from __future__ import annotations

import argparse
import types
from collections.abc import Collection, Iterator
from enum import StrEnum
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from prefect_slipway.flows.build_options.values import text_of_file
from prefect_slipway.flows.cli.tables import git_target, typed_table
from prefect_slipway.flows.cli.typed_build import typed_build
from prefect_slipway.flows.cli.typed_gates import typed_gates
from prefect_slipway.flows.request.gates import Gates
from prefect_slipway.flows.request.model import Request, option_of
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.infra.domain.options import pair

Model = TypeVar("Model", bound=Request)

# Help of options that turn a default off, because the field's description says what it does when on.
_TURNED_OFF = {"rollback": "Do not restore the previous image if the rollout fails or is interrupted."}


class _Typed(NamedTuple):
    """A field and its option: `place`, the way to it (`checkout.ref`); `flag`; `kind`, its type without None."""

    place: tuple[str, ...]
    flag: str
    kind: Any
    field: FieldInfo

    @property
    def dest(self) -> str:
        return ".".join(self.place)


def add_request_options(
    parser: argparse._ActionsContainer,
    model: type[Request] = ReleaseRequest,
    *,
    positional: str | None = "source",
    without: Collection[str] = (),
    section: str = "",
) -> None:
    """One option for each field of the model, with the field's description as its help, and a group for each of its
    sections; `positional` is an argument.

    `without`: fields (`image`, `build.target`) and sections that the command has no options for. `section`: the place
    of the model in the request.
    """
    for option in _options(model, without, section):
        _add(parser, option, positional)
    for name in model.model_fields:
        inner = model.section(name) if name not in without else None
        if inner is not None and list(_options(inner, without, name)):
            group = parser.add_argument_group(name.capitalize(), model.model_fields[name].description)
            add_request_options(group, inner, positional=None, without=without, section=name)


def _add(parser: argparse._ActionsContainer, option: _Typed, positional: str | None) -> None:
    flag, kind, dest = option.flag, option.kind, option.dest
    text = (option.field.description or "").replace("%", "%%")
    marked = option_of(option.field)
    metavar = marked.metavar or flag.rpartition("-")[2].upper()
    flags = [f"-{marked.letter}", flag] if marked.letter else [flag]
    if dest == positional:
        parser.add_argument(dest, nargs="?", default=None, metavar=dest.upper(), help=text)
    elif kind is bool and option.field.default is True:
        off = flag.replace("--", "--no-", 1)
        parser.add_argument(off, dest=dest, action="store_const", const=False, help=_TURNED_OFF[dest])
    elif kind is bool:
        parser.add_argument(*flags, dest=dest, action="store_const", const=True, help=text)
    elif get_origin(kind) is dict:
        metavar = "NAME:KEY=VALUE,…" if _is_tables(kind) else "KEY=VALUE"
        parser.add_argument(*flags, dest=dest, action="append", metavar=metavar, help=text)
    elif get_origin(kind) is list:
        parser.add_argument(*flags, dest=dest, action="append", metavar=metavar, help=text)
    else:
        choices = _choices(kind)
        parser.add_argument(*flags, dest=dest, choices=choices, metavar=None if choices else metavar, help=text)


def request_of(args: argparse.Namespace, *, without: Collection[str] = ()) -> ReleaseRequest:
    """The request from the command line. Raises the UsageErrors of the model."""
    values = given_options(args, ReleaseRequest, without=without)
    if "build" in values:
        values["build"] = typed_build(values["build"])
    return ReleaseRequest.read(values)


def read_request(args: argparse.Namespace, model: type[Model]) -> Model:
    """The same for another model."""
    return model.read(given_options(args, model))


def given_options(
    args: argparse.Namespace, model: type[Request], *, without: Collection[str] = (), section: str = ""
) -> dict[str, Any]:
    """The model's fields from the command line. Raises InvalidOption."""
    values: dict[str, Any] = {}
    for option in _options(model, without, section):
        if (given := getattr(args, option.dest)) is not None:
            values[option.place[-1]] = _value(option, given)
    for name in model.model_fields:
        inner = model.section(name) if name not in without else None
        if inner is not None and (found := given_options(args, inner, without=without, section=name)):
            values[name] = typed_gates(found) if inner is Gates else found
    return values


def _value(option: _Typed, given: Any) -> Any:
    if option_of(option.field).of_file and not given.startswith("block:"):
        return text_of_file(option.flag, given)
    if _is_tables(option.kind):
        example = f"{option.flag} production:git=https://git.example/config.git,path=app"
        return {name: git_target(values) for name, values in (typed_table(example, text) for text in given)}
    return read_pairs(option.flag, given) if get_origin(option.kind) is dict else given


def _options(model: type[Request], without: Collection[str], section: str) -> Iterator[_Typed]:
    for name, field in model.model_fields.items():
        place = (section, name) if section else (name,)
        kind = _plain_type(field)
        if ".".join(place) not in without and not (isinstance(kind, type) and issubclass(kind, Request)):
            yield _Typed(place, "--" + (option_of(field).name or name).replace("_", "-"), kind, field)


def _plain_type(field: FieldInfo) -> Any:
    """The annotation without `| None`."""
    annotation = field.annotation
    if get_origin(annotation) in (Union, types.UnionType):
        return next(part for part in get_args(annotation) if part is not type(None))
    return annotation


def _is_tables(kind: Any) -> bool:
    """Whether a field is a dictionary of tables, which are places in git."""
    inner = get_args(kind)[1] if get_origin(kind) is dict else None
    return isinstance(inner, type) and issubclass(inner, Request)


def _choices(kind: Any) -> list[str] | None:
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return [member.value for member in kind]
    return list(get_args(kind)) if get_origin(kind) is Literal else None


def read_pairs(option: str, texts: list[str]) -> dict[str, str]:
    """KEY=VALUE each. Raises InvalidOption."""
    return dict(pair(option, text) for text in texts)
