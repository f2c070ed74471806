"""`slipway build`'s options: those of `docker buildx build`, read into a BuildRequest."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from flows.access import Network
from flows.domain.errors import InvalidOption
from flows.domain.reference import ImageReference, is_loopback
from infra.buildkit import BuildRequest, CacheEntry, ImagePush, Output

_REPEATED: dict[str, Any] = {"action": "append", "default": []}


def add_build_options(parser: argparse.ArgumentParser) -> None:
    """The options, named and meant as `docker buildx build` has them."""
    add = parser.add_argument
    add("context", metavar="PATH|URL", help="Build context: a directory, or a URL that the daemon fetches itself.")
    add("-f", "--file", metavar="FILE", help="The Dockerfile. Default: Dockerfile in the context.")
    add("-t", "--tag", **_REPEATED, metavar="NAME[:TAG]", help="Name of the image.")
    add("--target", default="", metavar="STAGE", help="Stage to build. Default: the last one.")
    add("--build-arg", **_REPEATED, metavar="KEY[=VALUE]", help="Value of an ARG; the environment's without =VALUE.")
    add("--label", **_REPEATED, metavar="KEY=VALUE", help="Label of the image.")
    add("--annotation", **_REPEATED, metavar="KEY=VALUE", help="Annotation of its manifest.")
    add("--platform", **_REPEATED, metavar="OS/ARCH[,…]", help="Platforms. Default: the builder's own.")
    add("--no-cache", action="store_true", help="Build every step anew.")
    add("--network", choices=["default", "host", "none"], help="Network of the RUN steps.")
    add("--cache-from", **_REPEATED, metavar="ENTRY", help="Cache import: REF or type=…,key=value,…")
    add("--cache-to", **_REPEATED, metavar="ENTRY", help="Cache export: REF or type=…,key=value,…")
    add("-o", "--output", **_REPEATED, metavar="OUTPUT", help="type=registry|image|cacheonly,key=value,…")
    add("--push", action="store_true", help="Short for --output type=registry.")
    add("--insecure-registry", action="store_true", help="The registry speaks plain HTTP (loopback is taken so).")


def build_request(args: argparse.Namespace, network: Network, env: Mapping[str, str]) -> BuildRequest:
    """What was typed. `network`: what the builder needs if none was named. Raises InvalidOption."""
    context: Path | str = args.context if "://" in args.context else Path(args.context)
    dockerfile = Path("Dockerfile")
    if args.file is not None:
        # As docker has it: relative to here, not to the context (whose daemon-side twin has no "here").
        dockerfile = Path(args.file).absolute() if isinstance(context, Path) else Path(args.file)
    epoch = env.get("SOURCE_DATE_EPOCH")
    return BuildRequest(
        context=context,
        dockerfile=dockerfile,
        target=args.target,
        build_args=dict(_build_arg(text, env) for text in args.build_arg if "=" in text or text in env),
        labels=dict(_pair("--label", text) for text in args.label),
        annotations=dict(_pair("--annotation", text) for text in args.annotation),
        platforms=tuple(platform for text in args.platform for platform in text.split(",")),
        no_cache=args.no_cache,
        network=args.network or network,
        source_date_epoch=int(epoch) if epoch and epoch.isdecimal() else None,
        outputs=_outputs(args),
        cache_imports=tuple(_cache_entry(text) for text in args.cache_from),
        cache_exports=tuple(_cache_entry(text) for text in args.cache_to),
    )


def fields_of(option: str, text: str) -> dict[str, str]:
    """`key=value,key="a,b"` as docker's options have it: one line of CSV. Raises InvalidOption."""
    try:
        (parts,) = csv.reader([text])
    except (csv.Error, ValueError) as error:
        raise InvalidOption(f"{option} {text!r} is not key=value,…") from error
    return dict(_pair(option, part) for part in parts)


def _pair(option: str, text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise InvalidOption(f"{option} {text!r} is not KEY=VALUE")
    return key, value


def _build_arg(text: str, env: Mapping[str, str]) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    return key, value if equals else env[key]


def _cache_entry(text: str) -> CacheEntry:
    if "=" not in text:
        return CacheEntry("registry", {"ref": text})
    fields = fields_of("--cache", text)
    return CacheEntry(fields.pop("type", ""), fields)


def _outputs(args: argparse.Namespace) -> tuple[Output, ...]:
    if len(args.output) + args.push > 1:
        raise InvalidOption("more than one output was named", action="name one --output, or --push")
    fields = {"type": "registry"} if args.push else fields_of("--output", _shorthand(args.output))
    kind = fields.pop("type", "")
    if kind in {"registry", "image"}:
        names = [name for name in fields.pop("name", "").split(",") if name] or args.tag
        if not names:
            raise InvalidOption("an image that is pushed needs a name", action="name it with --tag")
        push = ImagePush(
            name=",".join(names),
            by_digest=fields.get("push-by-digest") == "true",
            insecure=args.insecure_registry or all(is_loopback(r.registry) for r in _references(names)),
            keep=kind == "image",
        )
        return (push,)
    if kind == "cacheonly":
        return ()
    raise InvalidOption(f"--output type={kind} is not known", action="use type=registry, image or cacheonly")


def _shorthand(outputs: list[str]) -> str:
    if not outputs:
        return "type=cacheonly"
    return outputs[0] if "=" in outputs[0] else f"type=local,dest={outputs[0]}"


def _references(names: Iterable[str]) -> list[ImageReference]:
    return [ImageReference.parse(name) for name in names]
