"""Options of the commands for builders in Kubernetes."""

from __future__ import annotations

import argparse


def add_cluster_options(parser: argparse.ArgumentParser) -> None:
    """Which cluster and namespace."""
    parser.add_argument("--context", metavar="NAME", help="Kubeconfig context. Default: the current one.")
    parser.add_argument("--namespace", metavar="NAME", help="Namespace. Default: the context's.")


def add_builder_options(parser: argparse.ArgumentParser) -> None:
    """Add the builder's options; the keys are those of `slipway release --builder-option`."""
    from prefect_slipway.infra.kubernetes.builders.options import OPTIONS_HELP

    text = f"Option of the builder, KEY=VALUE: {OPTIONS_HELP}."
    parser.add_argument("--builder-option", action="append", default=[], metavar="KEY=VALUE", help=text)


def builder_options(args: argparse.Namespace) -> dict[str, str]:
    """The builder's options from the command line. Raises InvalidOption."""
    from prefect_slipway.flows.cli.options import read_pairs

    return read_pairs("--builder-option", args.builder_option)
