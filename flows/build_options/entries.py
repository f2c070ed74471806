"""Options that are lists of entries: caches, secrets, SSH agents, additional contexts."""

from __future__ import annotations

from collections.abc import Container, Iterable
from pathlib import Path

from prefect_slipway.infra.buildkit.build.cache import CacheEntry
from prefect_slipway.infra.buildkit.build.contexts import is_image, is_layout, is_remote
from prefect_slipway.infra.buildkit.session.sources import SecretEnv, SecretFile, SshSource
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.options import attributes, csv_fields, pair
from prefect_slipway.infra.domain.secret_path import SecretField

_SECRET_KEYS = {"id", "type", "src", "source", "env", "vault"}


def caches(option: str, texts: Iterable[str]) -> tuple[CacheEntry, ...]:
    """`type=…,key=value,…`, or references alone for a registry's, each an entry."""
    found = []
    for text in texts:
        if not text:
            continue
        if "=" not in text:
            found += [CacheEntry("registry", {"ref": ref}) for ref in csv_fields(option, text)]
            continue
        fields = attributes(option, text)
        if not (kind := fields.pop("type", "")):
            raise InvalidOption(f"{option}: an entry has no type", action="write e.g. type=registry,ref=…")
        found.append(CacheEntry(kind, fields))
    return tuple(found)


def secrets(texts: Iterable[str], env: Container[str]) -> dict[str, SecretFile | SecretEnv]:
    """`id=ID[,src=FILE|,env=NAME]` by id."""
    found: dict[str, SecretFile | SecretEnv] = {}
    for text in texts:
        if text:
            name, source = secret("--secret", text, env)
            if not isinstance(source, SecretFile | SecretEnv):
                raise InvalidOption(
                    f"--secret {name}: `slipway build` does not read Vault",
                    action="use id=ID,src=FILE or id=ID,env=NAME, or release the image",
                )
            found[name] = source
    return found


def secret(option: str, text: str, env: Container[str]) -> tuple[str, SecretFile | SecretEnv | SecretField]:
    """Without a source the variable of the id's name, else the file of that name; `vault=MOUNT/PATH#FIELD` for one that
    is in Vault. `env`: what variables there are."""
    fields = attributes(option, text)
    if unknown := sorted(fields.keys() - _SECRET_KEYS):
        raise InvalidOption(
            f"{option}: there is no key {unknown[0]!r}",
            action="write id=ID,src=FILE, id=ID,env=NAME or id=ID,vault=MOUNT/PATH#FIELD",
        )
    kind = fields.get("type", "")
    if kind not in {"", "file", "env"}:
        raise InvalidOption(f"{option}: there is no type {kind!r}", action="use file or env")
    name, variable = fields.get("id", ""), fields.get("env", "")
    file = fields.get("src") or fields.get("source") or ""
    if not name:
        raise InvalidOption(f"{option} has no id", action="write id=NAME,src=FILE")
    if place := fields.get("vault"):
        if kind or variable or file:
            raise InvalidOption(f"{option} {name}: vault= names the whole place", action="remove type, env and src")
        return name, _in_vault(f"vault:{place.removeprefix('vault:')}")
    if kind == "env" and not variable:
        variable, file = file, ""
    if not variable and not file:
        variable, file = (name, "") if name in env else ("", name)
    return name, SecretEnv(variable) if variable else SecretFile(Path(file))


def ssh_keys(text: str) -> tuple[str, SecretField] | None:
    """`ID=vault:MOUNT/PATH#FIELD`: a key that is in Vault; None for what is on this machine."""
    name, _, place = text.partition("=")
    return (name or "default", _in_vault(place)) if place.startswith("vault:") else None


def _in_vault(place: str) -> SecretField:
    # Imported late, so that `slipway bake --print` starts fast.
    from prefect_slipway.infra.domain.secret_path import SecretField

    return SecretField.parse(place)


def ssh_agents(texts: Iterable[str]) -> dict[str, SshSource]:
    """`[ID][=SOCKET|KEY[,KEY...]]` by id."""
    found: dict[str, SshSource] = {}
    for text in texts:
        if not text:
            continue
        name, source = ssh_agent(text)
        if name in found:
            raise InvalidOption(f"--ssh: the agent {name!r} appears twice", action="use a different id for each")
        found[name] = source
    return found


def ssh_agent(text: str) -> tuple[str, SshSource]:
    """One of them; `ID,raw=true` or `ID=SOCKET,raw=true` passes the socket through as it is (as buildctl has it)."""
    name, _, rest = text.partition("=")
    if name.endswith(",raw"):
        name, rest = name.removesuffix(",raw"), f"raw={rest}"
    words = [word for word in rest.split(",") if word]
    raw = [word for word in words if word.startswith("raw=")]
    if any(word not in {"raw=true", "raw=false"} for word in raw):
        raise InvalidOption(f"--ssh {text!r}: raw is true or false")
    paths = tuple(Path(word) for word in words if word not in raw)
    return name or "default", SshSource(paths, "raw=true" in raw)


def named_contexts(texts: Iterable[str]) -> dict[str, Path | str]:
    """`NAME=WHERE` by name."""
    found: dict[str, Path | str] = {}
    for text in texts:
        if text:
            name, where = pair("--build-context", text)
            if not where:
                raise InvalidOption(
                    f"--build-context {text} names no place", action="write NAME=DIRECTORY, or an image"
                )
            found[context_name(name)] = context_place(where)
    return found


def context_name(name: str) -> str:
    """As the frontend looks for it: an image's short name (`alpine` for `docker.io/library/alpine:latest`)."""
    # Imported late, so that `slipway build` starts fast.
    from prefect_slipway.infra.domain.reference import DOCKER_HUB, ImageReference

    image = ImageReference.parse(name)
    shown = str(image)
    if image.registry == DOCKER_HUB:
        shown = shown.removeprefix(f"{DOCKER_HUB}/").removeprefix("library/")
    return shown.removesuffix(":latest")


def context_place(where: str) -> Path | str:
    """A directory, or the specifier of an image, a layout or a remote source."""
    return where if is_image(where) or is_layout(where) or is_remote(where) else Path(where)
