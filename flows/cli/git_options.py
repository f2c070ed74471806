"""Options of `deploy`, `rollback` and `promote` for git repositories that a cluster follows."""

from __future__ import annotations

import argparse
from typing import TypeVar

from prefect_slipway.flows.cli.options import Model, add_request_options, given_options, read_request
from prefect_slipway.flows.request.git_target import GitTarget
from prefect_slipway.flows.request.model import Request
from prefect_slipway.infra.domain.errors import InvalidOption

Usual = TypeVar("Usual", bound=Request)

# What the command has for the workload is for the one to wait for.
_SHARED = ("workload", "container", "context", "namespace", "timeout_s")
_WITHOUT = [f"git.{name}" for name in (*_SHARED, "image")]


def add_git_options(parser: argparse.ArgumentParser) -> None:
    """Those of a GitTarget."""
    group = parser.add_argument_group(
        "Git",
        "Write the image into a git repository that a cluster follows, instead of into the workload. With a workload, "
        "wait until it runs the image.",
    )
    add_request_options(group, GitTarget, positional=None, without=_WITHOUT, section="git")


def read_either(args: argparse.Namespace, usual: type[Usual], model: type[Model]) -> Usual | Model:
    """The command's usual request, or the one to write to git. Raises InvalidOption."""
    git = given_options(args, GitTarget, without=_WITHOUT, section="git")
    if not git:
        return read_request(args, usual)
    if "repository" not in git:
        raise InvalidOption("options of git need the repository", action="add --git URL")
    given = given_options(args, usual)
    git |= {name: given.pop(name) for name in _SHARED if name in given}
    if others := [f"--{name.replace('_', '-')}" for name in given if name not in model.model_fields]:
        raise InvalidOption(f"{', '.join(others)} cannot be combined with --git", action=f"remove {others[0]}")
    return model.read({**given, "git": git})
