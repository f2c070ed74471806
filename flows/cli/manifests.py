"""Print a shared builder's objects for kubectl or GitOps, with new certificates (the output contains their keys).
Slipway never removes these objects; releases reach the builder with --builder tcp://..."""

from __future__ import annotations

import argparse
import os

from prefect_slipway.flows.cli.cluster_options import add_builder_options, add_cluster_options, builder_options
from prefect_slipway.infra.domain.errors import KubeconfigInvalid


def add_options(parser: argparse.ArgumentParser) -> None:
    add_cluster_options(parser)
    add_builder_options(parser)
    parser.add_argument("--no-secrets", action="store_true", help="Do not print the Secrets.")


def run(args: argparse.Namespace) -> int:
    """Raises InvalidOption and KubeconfigInvalid."""
    import yaml

    from prefect_slipway.infra.kubernetes.builders.options import builder_spec
    from prefect_slipway.infra.kubernetes.builders.printed import printed_objects

    spec = builder_spec({**builder_options(args), "lifetime": "shared"}, {})
    objects = printed_objects(spec, _namespace(args.context, args.namespace))
    wanted = [obj for obj in objects if not (args.no_secrets and obj["kind"] == "Secret")]
    print(yaml.safe_dump_all(wanted, sort_keys=False), end="")
    return 0


def _namespace(context: str | None, namespace: str | None) -> str:
    """The one that was named, else the context's; `default` where there is no kubeconfig, as none is needed."""
    from prefect_slipway.infra.kubernetes.access.kubeconfig import ClusterAccess, namespace_of

    try:
        access = ClusterAccess.from_env(os.environ, context=context, namespace=namespace)
    except KubeconfigInvalid:
        if context is not None:
            raise
        return namespace or "default"
    return namespace_of(access)
