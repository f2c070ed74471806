"""`slipway doctor`: what each part needs, what is there, and the command that mends the rest."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

from flows.cli.stack_options import add_output_option, stack_config


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    parser = subparsers.add_parser(
        "doctor",
        description="Checks each part of the embedded stack. Exits with 1 if something is missing.",
    )
    add_output_option(parser)


def run(args: argparse.Namespace) -> int:
    from infra.local.doctor import diagnose

    findings = diagnose(stack_config(args))
    if args.output == "json":
        print(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    else:
        width = max(len(finding.part) for finding in findings)
        for finding in findings:
            print(f"{'ok  ' if finding.ok else 'MEND'}  {finding.part.ljust(width)}  {finding.found}")
            if finding.mend:
                print(f"      {' ' * width}  -> {finding.mend}")
    return 0 if all(finding.ok for finding in findings) else 1
