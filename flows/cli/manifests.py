"""`slipway manifests`: a builder's Kubernetes objects as YAML, for people who apply them by themselves."""

from __future__ import annotations

import argparse
from typing import Any

from flows.cli.cluster_options import add_builder_options, builder_options


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    parser = subparsers.add_parser(
        "manifests",
        description=(
            "Prints a shared builder's objects for kubectl or GitOps, with certificates made for it now (the keys "
            "are in what is printed). They are not Slipway's to remove; releases reach it by --builder tcp://..."
        ),
    )
    parser.add_argument("--namespace", default="default", help="Namespace that the certificate is made for.")
    add_builder_options(parser)
    parser.add_argument("--no-secrets", action="store_true", help="Leave the Secrets out.")


def run(args: argparse.Namespace) -> int:
    """Raises InvalidOption."""
    import yaml

    from flows.cluster import builder_spec
    from infra.kubernetes.printed import printed_objects

    objects = printed_objects(builder_spec({**builder_options(args), "lifetime": "shared"}, {}), args.namespace)
    wanted = [obj for obj in objects if not (args.no_secrets and obj["kind"] == "Secret")]
    print(yaml.safe_dump_all(wanted, sort_keys=False), end="")
    return 0
