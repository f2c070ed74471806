"""`slipway build`'s options: those of `docker buildx build`, read into a BuildRequest."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from prefect_slipway.flows.build_options import entries, values
from prefect_slipway.flows.build_options.attest import attests
from prefect_slipway.flows.build_options.outputs import Surroundings, outputs, stays_in_engine
from prefect_slipway.flows.cli.switches import add_switch
from prefect_slipway.flows.run.endpoints import Network
from prefect_slipway.infra.buildkit.build.cache import CacheEntry
from prefect_slipway.infra.buildkit.build.contexts import is_git_over_ssh, is_remote
from prefect_slipway.infra.buildkit.build.outputs import ImageStore, LocalOutput, TarOutput
from prefect_slipway.infra.buildkit.build.request import BuildRequest
from prefect_slipway.infra.buildkit.session.sources import SshSource
from prefect_slipway.infra.buildkit.session.upload import HEAD, Archive, is_archive
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.options import byte_count, parse_bool
from prefect_slipway.infra.domain.source_policy import SourcePolicy
from prefect_slipway.infra.domain.urls import check_texts

_LEFT_OUT = "remove it; pass a git server's token with --secret id=GIT_AUTH_TOKEN,env=NAME"

# What docker buildx reads the name of its file from.
_POLICY = "EXPERIMENTAL_BUILDKIT_SOURCE_POLICY"

_REPEATED: dict[str, Any] = {"action": "append", "default": []}
# Options of `docker build` before BuildKit, which the frontend calls limits.
_LIMITS = ("memory", "memory-swap", "cpu-shares", "cpu-period", "cpu-quota", "cpuset-cpus", "cpuset-mems")
_SHORT = {"memory": ["-m"], "cpu-shares": ["-c"]}
_MEANINGLESS = ("isolation", "security-opt")


def add_build_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `docker buildx build`, with the same names and meanings."""
    add = parser.add_argument
    add(
        "context",
        metavar="PATH|URL|-",
        help="Directory, git or HTTP URL that the daemon fetches, or - for a tar archive or a Dockerfile.",
    )
    add(
        "-f",
        "--file",
        default="",
        metavar="FILE|URL",
        help="Dockerfile, or - for standard input. Default: Dockerfile in the context.",
    )
    add("-t", "--tag", **_REPEATED, metavar="NAME[:TAG]", help="Name of the image.")
    add("--target", default="", metavar="STAGE", help="Stage to build. Default: the last one.")
    add("--build-arg", **_REPEATED, metavar="KEY[=VALUE]", help="Value of an ARG. Without =VALUE: the environment's.")
    add("--build-context", **_REPEATED, metavar="NAME=WHERE", help="Additional context: a directory, image or URL.")
    add("--label", **_REPEATED, metavar="KEY[=VALUE]", help="Label of the image.")
    add("--annotation", **_REPEATED, metavar="[LEVEL:]KEY=VALUE", help="Annotation of the image's manifest or index.")
    add(
        "--platform",
        action="append",
        metavar="OS/ARCH[,…]",
        help="Platforms to build for, or local. Default: the builder's own. [DOCKER_DEFAULT_PLATFORM]",
    )
    add_switch(parser, "--pull", help="Always check registries for newer base images.")
    add_switch(parser, "--no-cache", help="Do not use the build cache.")
    add("--no-cache-filter", **_REPEATED, metavar="STAGE", help="Do not use the build cache for this stage.")
    add("--cache-from", **_REPEATED, metavar="ENTRY", help="Cache import: REF or type=…,key=value,….")
    add("--cache-to", **_REPEATED, metavar="ENTRY", help="Cache export: REF or type=…,key=value,….")
    add("--secret", **_REPEATED, metavar="id=ID[,src=FILE|,env=NAME]", help="Secret for RUN --mount=type=secret.")
    add("--ssh", **_REPEATED, metavar="ID[=SOCKET|KEY,…]", help="SSH agent or keys for RUN --mount=type=ssh.")
    add("--attest", **_REPEATED, metavar="type=TYPE[,…]", help="Attestation to add: sbom or provenance.")
    add("--sbom", metavar="true|false|…", help="Short for --attest type=sbom.")
    add("--provenance", metavar="true|false|mode=…", help="Short for --attest type=provenance.")
    add(
        "--source-policy",
        metavar="FILE",
        help="Source policy, BuildKit's JSON or Rego: which images, repositories and URLs to allow, deny or pin.",
    )
    add("--network", default="", metavar="MODE", help="Network of the RUN steps: default, host or none.")
    add(
        "--allow",
        **_REPEATED,
        metavar="ENTITLEMENT",
        help="Permission for the build: network.host, security.insecure or device.",
    )
    add("--add-host", **_REPEATED, metavar="HOST:IP", help="Additional host name for the RUN steps.")
    add("--shm-size", default="0", metavar="BYTES", help="Size of /dev/shm of the RUN steps, e.g. 64m.")
    add("--ulimit", **_REPEATED, metavar="NAME=SOFT[:HARD]", help="Limit of the RUN steps.")
    add("--resource", **_REPEATED, metavar="KEY=VALUE", help="Limit of the RUN steps, e.g. memory=2g (BuildKit 0.31).")
    add("--cgroup-parent", default="", metavar="PATH", help="Parent cgroup of the RUN steps.")
    add(
        "-o",
        "--output",
        **_REPEATED,
        metavar="OUTPUT",
        help="Where the result goes: type=registry|image|local|tar|oci|docker|cacheonly,key=value,… May be repeated.",
    )
    add_switch(parser, "--push", help="Short for --output type=registry.")
    add_switch(parser, "--load", help="Short for --output type=docker: load into the Docker engine.")
    add(
        "--insecure-registry",
        action="store_true",
        help="Use plain HTTP for the registry. Default: only for loopback addresses.",
    )
    add("--call", default="build", metavar="METHOD", help="Instead of building, check, outline or list targets.")
    add_switch(parser, "--check", help="Short for --call check.")
    _add_hidden(parser)


def _add_hidden(parser: argparse.ArgumentParser) -> None:
    """What docker's command line takes without showing it."""
    hidden: dict[str, Any] = {"help": argparse.SUPPRESS}
    parser.add_argument("--print", dest="call", **hidden)
    for name in _LIMITS:
        parser.add_argument(*_SHORT.get(name, []), f"--{name}", action="append", default=[], **hidden)
    for name in _MEANINGLESS:
        parser.add_argument(f"--{name}", **hidden)
    for name in ("compress", "squash", "rm", "force-rm"):
        add_switch(parser, f"--{name}", help=argparse.SUPPRESS)


class Asked(NamedTuple):
    """`request`: from the command line. `dockerfile`: where the daemon is to download the Dockerfile, "" for nowhere.
    `call`:
    method, format and whether its status is ignored, None for a build. `warnings`: what a reader should know."""

    request: BuildRequest
    dockerfile: str
    call: tuple[str, str, bool] | None
    warnings: tuple[str, ...]


def build_request(
    args: argparse.Namespace,
    network: Network,
    env: Mapping[str, str],
    surroundings: Surroundings,
    exits: contextlib.ExitStack,
    proxies: Mapping[str, str],
) -> Asked:
    """What was typed. `network`: what the builder needs if none was named. `exits`: closed when the build is over.
    `proxies`: build arguments that docker's configuration adds. Raises InvalidOption."""
    for option in ("context", "file", "build_context", "cache_from", "cache_to", "output"):
        # The daemon keeps them in its history and names its steps by them.
        check_texts(f"--{option.replace('_', '-')}", getattr(args, option), action=_LEFT_OUT)
    if args.no_cache and args.no_cache_filter:
        raise InvalidOption("--no-cache and --no-cache-filter cannot be used together", action="remove one of them")
    context, dockerfile, content = _source(args, exits)
    call = values.call("check" if args.check else args.call)
    allowed = values.entitlements(args.allow)
    surroundings = surroundings._replace(
        insecure=args.insecure_registry, delete_anywhere=values.DELETE_LOCAL in allowed
    )
    wanted = outputs(args.output, args.tag, surroundings, push=args.push, load=args.load)
    if surroundings.engine and not wanted and call is None and stays_in_engine(args.output, env):
        wanted = (ImageStore(",".join(args.tag)),)
    if args.iidfile and any(isinstance(output, LocalOutput | TarOutput) for output in wanted):
        raise InvalidOption("--iidfile needs an image, which an output of type local or tar does not have")
    given = values.build_args(args.build_arg, env)
    arguments = values.with_proxies(given, proxies)
    epoch = env.get(values.EPOCH, "") if values.EPOCH not in given else ""
    if epoch and not _is_number(epoch):
        # The current frontend has attributes for it and rejects unknown ones.
        arguments[values.EPOCH] = epoch
    agents = entries.ssh_agents(args.ssh)
    if not agents and isinstance(context, str) and is_git_over_ssh(context):
        agents = {"default": SshSource()}
    policy = _source_policy(args.source_policy or env.get(_POLICY))
    attested = attests(args.attest, sbom=args.sbom, provenance=args.provenance)
    default_platforms = [text] if (text := env.get("DOCKER_DEFAULT_PLATFORM")) else []
    request = BuildRequest(
        context=context,
        dockerfile=dockerfile,
        dockerfile_content=content,
        contexts=entries.named_contexts(args.build_context),
        outputs=wanted,
        target=args.target,
        build_args=arguments,
        labels=values.labels(args.label),
        annotations=values.image_annotations(args.annotation),
        platforms=values.platforms(default_platforms if args.platform is None else args.platform),
        no_cache=args.no_cache,
        no_cache_stages=tuple(stage for text in args.no_cache_filter for stage in text.split(",")),
        pull=args.pull,
        prefer_local=surroundings.engine,
        source_date_epoch=int(epoch) if epoch and _is_number(epoch) else None,
        attests=attested,
        required_attests=tuple(attested),
        cache_imports=entries.caches("--cache-from", args.cache_from),
        cache_exports=_cache_exports(args, arguments),
        source_policy=policy,
        source_check=values.source_check(policy),
        secrets=entries.secrets(args.secret, env),
        ssh=agents,
        network=values.network("--network", args.network) or network,
        allow=tuple(name for name in allowed if name != values.DELETE_LOCAL),
        add_hosts=values.hosts(args.add_host),
        shm_size=byte_count("--shm-size", args.shm_size),
        ulimits=values.ulimits("--ulimit", args.ulimit),
        resources=values.resources([*_limits(args), *args.resource]),
        cgroup_parent=args.cgroup_parent,
    )
    return Asked(request, args.file if _is_url(args.file) else "", call, _warnings(args))


def _source(
    args: argparse.Namespace, exits: contextlib.ExitStack
) -> tuple[Path | str | BinaryIO | Archive, Path, bytes | None]:
    """The context, where the Dockerfile is in it, and the Dockerfile itself if it is here."""
    if args.context == args.file == "-":
        raise InvalidOption("standard input cannot be both context and Dockerfile", action="name one of them")
    name = Path("Dockerfile") if args.file in {"", "-"} or _is_url(args.file) else Path(args.file)
    if args.context == "-":
        head = _first_bytes()
        if is_archive(head):
            return Archive(head, sys.stdin.buffer), name, None
        if args.file:
            raise InvalidOption(
                "standard input is a Dockerfile, not an archive, and --file names another Dockerfile",
                action="remove one of them",
            )
        # It goes without a context.
        empty = exits.enter_context(tempfile.TemporaryDirectory(prefix="slipway-context-"))
        return Path(empty), name, head + sys.stdin.buffer.read()
    content = sys.stdin.buffer.read() if args.file == "-" else None
    if Path(args.context).is_dir() or not is_remote(args.context):
        # Like docker: relative to the working directory, not to the context.
        named = args.file not in {"", "-"} and not _is_url(args.file)
        return Path(args.context), name.absolute() if named else name, content
    return args.context, name, content


def _first_bytes() -> bytes:
    """Of standard input: enough to know an archive by. What follows is not read ahead."""
    head = b""
    while len(head) < HEAD and (data := os.read(sys.stdin.fileno(), HEAD - len(head))):
        head += data
    return head


def _cache_exports(args: argparse.Namespace, arguments: Mapping[str, str]) -> tuple[CacheEntry, ...]:
    found = entries.caches("--cache-to", args.cache_to)
    inline = parse_bool(arguments.get("BUILDKIT_INLINE_CACHE", ""))
    return (*found, CacheEntry("inline")) if inline else found


def _source_policy(file: str | None) -> SourcePolicy | None:
    if not file:
        return None
    return SourcePolicy.read(f"the source policy {file!r}", values.text_of_file("--source-policy", file))


def _limits(args: argparse.Namespace) -> list[str]:
    return [f"{name}={value}" for name in _LIMITS for value in getattr(args, name.replace("-", "_"))]


def _warnings(args: argparse.Namespace) -> tuple[str, ...]:
    unused = [f"--{name}" for name in _MEANINGLESS if getattr(args, name.replace("-", "_"))]
    unused += ["--squash"] if args.squash else []
    return tuple(f"{option} has no effect with BuildKit" for option in unused)


def _is_url(text: str) -> bool:
    return text.startswith(("http://", "https://"))


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?[0-9]{1,19}", text) is not None
