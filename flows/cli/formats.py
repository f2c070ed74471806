"""`--format`: what a command prints, for people or for programs."""

from __future__ import annotations

import argparse
from typing import Any

from prefect_slipway.infra.domain.errors import SlipwayError


def add_format_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=["text", "json"], default="text", help="Output format. Default: text.")


def add_quiet_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="Print only the references of the released images, by digest."
    )


def failure(error: SlipwayError) -> dict[str, Any]:
    """A failed command as JSON. `error.cause`: its name, as in docs/reference/errors.md; `details`: a line each."""
    return {
        "error": {
            "cause": error.name,
            "message": error.cause,
            "details": error.details.splitlines(),
            "next": error.action or None,
        },
        "flow_run_id": error.run,
        "ui_url": error.page,
    }
