"""Values of build options, each written as docker's command line has it."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

from flows.domain.errors import InvalidOption
from flows.domain.text import parse_bool
from infra.buildkit import (
    CacheEntry,
    DockerOutput,
    ImagePush,
    ImageStore,
    LocalOutput,
    OciOutput,
    Output,
    SecretEnv,
    SecretFile,
    SecretSource,
    SshSource,
    TarOutput,
)

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_OUTPUTS = "registry, image, local, tar, oci, docker or cacheonly"


def pair(option: str, text: str) -> tuple[str, str]:
    """`KEY=VALUE`. Raises InvalidOption, as all of these."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise InvalidOption(f"{option} {text!r} is not KEY=VALUE")
    return key, value


def fields_of(option: str, text: str) -> dict[str, str]:
    """`key=value,key="a,b"`: one line of CSV."""
    try:
        (parts,) = csv.reader([text])
    except (csv.Error, ValueError) as error:
        # Without the text: it may hold a cache's secret.
        raise InvalidOption(f"{option} is not key=value,… in one line") from error
    return dict(pair(option, part) for part in parts)


def build_arg(text: str, env: Mapping[str, str]) -> tuple[str, str]:
    """`KEY=VALUE`, or `KEY` alone for the environment's value."""
    key, equals, value = text.partition("=")
    return key, value if equals else env[key]


def byte_count(option: str, text: str) -> int:
    """A number of bytes, with k, m or g for powers of 1024."""
    match = re.fullmatch(r"(\d+)([bkmg]?)b?", text.lower())
    if match is None:
        raise InvalidOption(f"{option} {text!r} is not a size", action="write e.g. 64m")
    return int(match[1]) * _UNITS[match[2]]


def host(text: str) -> tuple[str, str]:
    """`HOST:IP` or `HOST=IP`, IPv6 in brackets or without; for IP also `host-gateway`."""
    match = re.fullmatch(r"([^:=]+)[:=](.+)", text)
    if match is None:
        raise InvalidOption(f"--add-host {text!r} is not HOST:IP")
    return match[1], address(f"--add-host {text!r}", match[2])


def address(what: str, text: str) -> str:
    """An IP address, or `host-gateway`."""
    # Only then: `slipway build` is to start fast.
    import ipaddress

    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if bare != "host-gateway":
        try:
            ipaddress.ip_address(bare)
        except ValueError:
            raise InvalidOption(f"{what}: {text!r} is no IP address", action="write one, or host-gateway") from None
    return bare


def named_context(text: str) -> tuple[str, Path | str]:
    """`NAME=DIRECTORY` or `NAME=docker-image://…` and the like."""
    name, where = pair("--build-context", text)
    return name, where if "://" in where else Path(where)


def cache_entry(option: str, text: str) -> CacheEntry:
    """`type=…,key=value,…`, or a reference alone for a registry's."""
    if "=" not in text:
        return CacheEntry("registry", {"ref": text})
    fields = fields_of(option, text)
    return CacheEntry(fields.pop("type", ""), fields)


def secret(text: str) -> tuple[str, SecretSource]:
    """`id=ID[,src=FILE|,env=NAME]`; without either the variable of that name, else the file."""
    fields = fields_of("--secret", text)
    name = fields.get("id", "")
    file = fields.get("src") or fields.get("source")
    if not name:
        raise InvalidOption(f"--secret {text!r} has no id", action="write id=NAME,src=FILE")
    if file and fields.get("type") != "env":
        return name, SecretFile(Path(file))
    return name, SecretEnv(fields.get("env") or file or name)


def ssh(text: str) -> tuple[str, SshSource]:
    """`ID[=SOCKET|KEY[,KEY...]][,raw=true]`."""
    name, _, rest = text.partition("=")
    if name.endswith(",raw"):
        # `ID,raw=true`: no path, the environment's socket.
        name, rest = name.removesuffix(",raw"), f"raw={rest}"
    words = [word for word in rest.split(",") if word]
    raw = [word for word in words if word.startswith("raw=")]
    if any(word not in {"raw=true", "raw=false"} for word in raw):
        raise InvalidOption(f"--ssh {text!r}: raw is true or false")
    return name, SshSource(tuple(Path(word) for word in words if word not in raw), "raw=true" in raw)


def attest(texts: Iterable[str], *, sbom: str | None, provenance: str | None) -> dict[str, str]:
    """Each type's attributes: of `type=sbom,…` and `type=provenance,…`, and of their short forms. One that is disabled
    is left out; a type is named once (util/buildflags/attests.go in docker/buildx)."""
    wanted = [("--attest", text) for text in texts]
    for option, short in (("provenance", provenance), ("sbom", sbom)):
        if short:
            said = parse_bool(short)
            rest = short if said is None else f"disabled={str(not said).lower()}"
            wanted.append((f"--{option}", f"type={option},{rest}"))
    found: dict[str, str] = {}
    disabled = set()
    for option, text in wanted:
        kind, off, rest = _attestation(option, text)
        if kind in found or kind in disabled:
            raise InvalidOption(f"{option}: the attestation {kind} is asked for twice", action="write it once")
        if off:
            disabled.add(kind)
        else:
            found[kind] = rest
    return found


def _attestation(option: str, text: str) -> tuple[str, bool, str]:
    """Its type, whether it is disabled, and the attributes that the daemon reads."""
    kind, off, rest = "", False, []
    for key, value in fields_of(option, text).items():
        match key.strip().lower():
            case "type":
                kind = value
            case "disabled":
                said = parse_bool(value)
                if said is None:
                    raise InvalidOption(f"{option} {text!r}: disabled is true or false")
                off = said
            case _:
                rest.append(f"{key}={value}")
    if not kind:
        raise InvalidOption(f"{option} {text!r} has no type", action="write type=sbom or type=provenance")
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(rest)
    return kind, off, line.getvalue()


def outputs(texts: list[str], tags: list[str], *, push: bool, load: bool, insecure: bool) -> tuple[Output, ...]:
    """What becomes of the result; none: it stays in the daemon's cache."""
    wanted = list(texts) + ["type=registry"] * push + ["type=docker"] * load
    found = [_output(text if "=" in text else f"type=local,dest={text}", tags, insecure) for text in wanted]
    return tuple(output for output in found if output is not None)


def _output(text: str, tags: list[str], insecure: bool) -> Output | None:
    fields = fields_of("--output", text)
    kind = fields.pop("type", "")
    names = [name for name in fields.pop("name", "").split(",") if name] or tags
    name = ",".join(names)
    pushes = kind == "registry" or (kind == "image" and fields.pop("push", "") == "true")
    if pushes:
        if not names:
            raise InvalidOption("an image that is pushed needs a name", action="name it with --tag")
        # Only then: `slipway build` is to start fast.
        from flows.domain.reference import ImageReference, is_loopback

        plain = insecure or all(is_loopback(ImageReference.parse(each).registry) for each in names)
        by_digest = fields.pop("push-by-digest", "") == "true"
        return ImagePush(name, by_digest=by_digest, insecure=plain, keep=kind == "image", attributes=fields)
    dest = fields.pop("dest", "")
    if kind == "image" or (kind == "docker" and not dest):
        return ImageStore(name, fields)
    if kind == "cacheonly":
        return None
    writers: dict[str, Callable[[], Output]] = {
        "local": lambda: _local(text, dest, fields),
        "tar": lambda: TarOutput(_file(dest), fields),
        "oci": lambda: OciOutput(_file(dest), name, fields.pop("tar", "true") == "true", fields),
        "docker": lambda: DockerOutput(_file(dest), name, fields.pop("tar", "true") == "true", fields),
    }
    if kind not in writers:
        raise InvalidOption(f"--output type={kind} is not known", action=f"use {_OUTPUTS}")
    if not dest:
        raise InvalidOption(f"--output type={kind} needs dest=…", action="name a file, or a folder for local")
    return writers[kind]()


def _local(text: str, dest: str, fields: dict[str, str]) -> LocalOutput:
    mode = fields.pop("mode", "copy")
    if mode not in {"copy", "delete"}:
        raise InvalidOption(f"--output {text!r}: the mode is copy or delete")
    return LocalOutput(Path(dest), mode == "delete", fields)


def _file(dest: str) -> Path | BinaryIO:
    return sys.stdout.buffer if dest == "-" else Path(dest)
