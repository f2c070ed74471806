"""Check each part of the embedded stack and, if KUBECONFIG, --context or --namespace names a cluster, the permissions
there that a release with --builder kubernetes needs. Exits with 1 if something is missing."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import os
from typing import TYPE_CHECKING

from prefect_slipway.flows.cli.cluster_options import add_cluster_options
from prefect_slipway.flows.cli.folding import print_facts
from prefect_slipway.flows.cli.formats import add_format_option
from prefect_slipway.flows.cli.stack_options import stack_config
from prefect_slipway.infra.domain.errors import ClusterError

if TYPE_CHECKING:
    from prefect_slipway.infra.local.findings import Finding


def add_options(parser: argparse.ArgumentParser) -> None:
    add_format_option(parser)
    add_cluster_options(parser)
    parser.add_argument(
        "--workload", metavar="KIND/NAME", help="Check the permissions that a deploy to this workload needs instead."
    )


def run(args: argparse.Namespace) -> int:
    from prefect_slipway.infra.local.doctor import diagnose

    findings = diagnose(stack_config(args))
    if args.context or args.namespace or args.workload or os.environ.get("KUBECONFIG"):
        findings.append(asyncio.run(_cluster(args.context, args.namespace, args.workload)))
    if args.format == "json":
        print(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    else:
        width = max(len(finding.part) for finding in findings)
        for finding in findings:
            print_facts(f"{'ok  ' if finding.ok else 'FIX '}  {finding.part.ljust(width)}  {finding.found}")
            if finding.fix:
                print_facts(f"      {' ' * width}  -> {finding.fix}")
    return 0 if all(finding.ok for finding in findings) else 1


async def _cluster(context: str | None, namespace: str | None, workload: str | None) -> Finding:
    from prefect_slipway.flows.run.cluster import check_rights_of_builder, check_rights_of_deploy, open_api
    from prefect_slipway.infra.local.findings import Finding

    try:
        async with open_api(context, namespace) as api:
            if workload is not None:
                await check_rights_of_deploy(api, workload)
                return Finding("cluster", f"{api.host}, namespace {api.namespace}: you can deploy to {workload}")
            await check_rights_of_builder(api)
            return Finding("cluster", f"{api.host}, namespace {api.namespace}: you can create builders")
    except ClusterError as error:
        return Finding("cluster", error.cause, fix=error.action)
