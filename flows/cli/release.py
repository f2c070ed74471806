"""Build the source, push the image under the next semantic version, verify it and record it."""

from __future__ import annotations

import argparse

FAILED = {"released": False}
"""Of the answer in JSON, if it failed."""


def add_options(parser: argparse.ArgumentParser) -> None:
    from prefect_slipway.flows.cli.display.choice import add_progress_option
    from prefect_slipway.flows.cli.formats import add_format_option, add_quiet_option
    from prefect_slipway.flows.cli.options import add_request_options

    add_request_options(parser)
    add_format_option(parser)
    add_progress_option(parser)
    add_quiet_option(parser)


def run(args: argparse.Namespace) -> int:
    """0: released, or nothing to release. Raises SlipwayError."""
    from prefect_slipway.flows.cli.options import request_of
    from prefect_slipway.flows.cli.run_flow import follow
    from prefect_slipway.flows.run.release_file import with_release_file

    return follow(with_release_file(request_of(args)), args)
