"""Options that are on or off, written like those of Go tools."""

from __future__ import annotations

import argparse

from prefect_slipway.infra.domain.options import FALSE, TRUE


def add_switch(parser: argparse.ArgumentParser, *names: str, help: str) -> None:
    """`--push`, `--push=true`, `--push=false`: a value may be given, but only after `=`, and the last one counts."""
    first = parser.add_argument(*names, action="store_true", help=help)
    for words, value in ((TRUE, True), (FALSE, False)):
        spelled = [f"{name}={word}" for name in names for word in words]
        parser.add_argument(*spelled, dest=first.dest, action="store_const", const=value, help=argparse.SUPPRESS)
