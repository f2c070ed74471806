"""Remove the credential helper from the configurations that `slipway login` added it to."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prefect_slipway.flows.run.logins import Login, Logins


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("registry", nargs="?", metavar="REGISTRY", help="HOST[:PORT]. Default: the embedded registry.")
    parser.add_argument("--all", action="store_true", help="Log out of every registry.")


def run(args: argparse.Namespace) -> int:
    """Raises InvalidOption."""
    from prefect_slipway.flows.run.logins import Logins
    from prefect_slipway.infra.domain.reference import normalize_registry_host
    from prefect_slipway.infra.local.home import stack_home

    logins = Logins.of_this_user()
    if args.all:
        chosen = list(logins)
    elif args.registry is not None:
        chosen = [login for login in logins if login.registry == normalize_registry_host(args.registry)]
    else:
        chosen = logins.of_home(stack_home(os.environ))
    log_out(logins, chosen)
    print("\n".join(f"{login.registry}: logged out" for login in chosen) or "not logged in")
    return 0


def log_out(logins: Logins, chosen: Sequence[Login]) -> None:
    """Raises InvalidOption."""
    from prefect_slipway.flows.cli.helper_program import take_off_path

    for login in chosen:
        logins.leave(login)
    if not list(logins):
        take_off_path()
