"""`slipway build`'s options: those of `docker buildx build`, read into a BuildRequest."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from flows.access import Network
from flows.build_values import (
    attest,
    build_arg,
    byte_count,
    cache_entry,
    host,
    named_context,
    outputs,
    pair,
    secret,
    ssh,
)
from flows.domain.errors import InvalidOption
from flows.domain.urls import check_texts
from infra.buildkit import BuildRequest

_LEFT_OUT = "leave it out; a git server's token is given by --secret id=GIT_AUTH_TOKEN,env=NAME"

_REPEATED: dict[str, Any] = {"action": "append", "default": []}


def add_build_options(parser: argparse.ArgumentParser) -> None:
    """The options, named and meant as `docker buildx build` has them."""
    add = parser.add_argument
    add(
        "context",
        metavar="PATH|URL|-",
        help="A directory, a URL that the daemon fetches, - for a tar archive.",
    )
    add("-f", "--file", metavar="FILE", help="The Dockerfile, - for standard input. Default: the context's.")
    add("-t", "--tag", **_REPEATED, metavar="NAME[:TAG]", help="Name of the image.")
    add("--target", default="", metavar="STAGE", help="Stage to build. Default: the last one.")
    add("--build-arg", **_REPEATED, metavar="KEY[=VALUE]", help="Value of an ARG; the environment's without =VALUE.")
    add("--build-context", **_REPEATED, metavar="NAME=WHERE", help="Further context: a directory, image or URL.")
    add("--label", **_REPEATED, metavar="KEY=VALUE", help="Label of the image.")
    add("--annotation", **_REPEATED, metavar="KEY=VALUE", help="Annotation of its manifest.")
    add("--platform", **_REPEATED, metavar="OS/ARCH[,…]", help="Platforms. Default: the builder's own.")
    add("--pull", action="store_true", help="Ask registries for newer base images.")
    add("--no-cache", action="store_true", help="Build every step anew.")
    add("--no-cache-filter", **_REPEATED, metavar="STAGE", help="Build this stage anew.")
    add("--cache-from", **_REPEATED, metavar="ENTRY", help="Cache import: REF or type=…,key=value,…")
    add("--cache-to", **_REPEATED, metavar="ENTRY", help="Cache export: REF or type=…,key=value,…")
    add("--secret", **_REPEATED, metavar="id=ID[,src=FILE|,env=NAME]", help="For RUN --mount=type=secret.")
    add("--ssh", **_REPEATED, metavar="ID[=SOCKET|KEY,…]", help="Agent or keys for RUN --mount=type=ssh.")
    add("--attest", **_REPEATED, metavar="type=TYPE[,…]", help="Attestation: sbom or provenance.")
    add("--sbom", metavar="true|false|…", help="Short for --attest type=sbom.")
    add("--provenance", metavar="true|false|mode=…", help="Short for --attest type=provenance.")
    add("--network", choices=["default", "host", "none"], help="Network of the RUN steps.")
    add("--allow", **_REPEATED, metavar="ENTITLEMENT", help="network.host or security.insecure.")
    add("--add-host", **_REPEATED, metavar="HOST:IP", help="Further name for the RUN steps.")
    add("--shm-size", default="0", metavar="BYTES", help="Size of /dev/shm of the RUN steps, e.g. 64m.")
    add("--ulimit", **_REPEATED, metavar="NAME=SOFT[:HARD]", help="Limit of the RUN steps.")
    add("--cgroup-parent", default="", metavar="PATH", help="Parent cgroup of the RUN steps.")
    add("-o", "--output", **_REPEATED, metavar="OUTPUT", help="type=registry|image|local|tar|oci|docker|cacheonly,…")
    add("--push", action="store_true", help="Short for --output type=registry.")
    add("--load", action="store_true", help="Short for --output type=docker: into the engine's images.")
    add("--insecure-registry", action="store_true", help="The registry speaks plain HTTP (loopback is taken so).")


def build_request(args: argparse.Namespace, network: Network, env: Mapping[str, str]) -> BuildRequest:
    """What was typed. `network`: what the builder needs if none was named. Raises InvalidOption."""
    if args.context == args.file == "-":
        raise InvalidOption("standard input cannot be both context and Dockerfile", action="name one of them")
    for option in ("context", "file", "build_context", "cache_from", "cache_to", "output"):
        # The daemon keeps them in its history and names its steps by them.
        check_texts(f"--{option.replace('_', '-')}", getattr(args, option), action=_LEFT_OUT)
    context: Path | str | BinaryIO = Path(args.context)
    if args.context == "-":
        context = sys.stdin.buffer
    elif "://" in args.context:
        context = args.context
    dockerfile, content = Path("Dockerfile"), None
    if args.file == "-":
        content = sys.stdin.buffer.read()
    elif args.file is not None:
        # As docker has it: relative to here, not to the context (whose daemon-side twin has no "here").
        dockerfile = Path(args.file).absolute() if isinstance(context, Path) else Path(args.file)
    epoch = env.get("SOURCE_DATE_EPOCH")
    return BuildRequest(
        context=context,
        dockerfile=dockerfile,
        dockerfile_content=content,
        contexts=dict(named_context(text) for text in args.build_context),
        outputs=outputs(args.output, args.tag, push=args.push, load=args.load, insecure=args.insecure_registry),
        target=args.target,
        build_args=dict(build_arg(text, env) for text in args.build_arg if "=" in text or text in env),
        labels=dict(pair("--label", text) for text in args.label),
        annotations=dict(pair("--annotation", text) for text in args.annotation),
        platforms=tuple(platform for text in args.platform for platform in text.split(",")),
        no_cache=args.no_cache,
        no_cache_stages=tuple(stage for text in args.no_cache_filter for stage in text.split(",")),
        pull=args.pull,
        source_date_epoch=int(epoch) if epoch and epoch.isdecimal() else None,
        attests=attest(args.attest, sbom=args.sbom, provenance=args.provenance),
        cache_imports=tuple(cache_entry("--cache-from", text) for text in args.cache_from),
        cache_exports=tuple(cache_entry("--cache-to", text) for text in args.cache_to),
        secrets=dict(secret(text) for text in args.secret),
        ssh=dict(ssh(text) for text in args.ssh),
        network=args.network or network,
        allow=tuple(args.allow),
        add_hosts=dict(host(text) for text in args.add_host),
        shm_size=byte_count("--shm-size", args.shm_size),
        ulimits=tuple(args.ulimit),
        cgroup_parent=args.cgroup_parent,
    )
