"""Fields that requests and saved blocks share. Each rejects values that may contain a secret, as Prefect records them.

The same rule stands in the fields' JSON schema, by which the Prefect server refuses what is typed into its form.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.reference import IMAGE_NAME
from prefect_slipway.infra.domain.secret_path import (
    LOGIN_FIELDS,
    PLACE,
    CredentialPath,
    SecretField,
    split_host,
)
from prefect_slipway.infra.domain.urls import ADDRESS, LEAK, check_address
from prefect_slipway.infra.domain.version import parse_version


@dataclass(frozen=True, slots=True)
class Option:
    """The command line's option of a field: its name without dashes, "" for the field's own, what its help shows in
    place of a value, "" for the usual, and its letter, "" without one. `of_file`: it names a file, whose text is the
    value."""

    name: str = ""
    metavar: str = ""
    letter: str = ""
    of_file: bool = False


NO_KEY = "none"
"""What stands for no signature. Not `off`, which YAML reads as false."""

_NO_LEAK = rf"^(?![\s\S]*{LEAK})"
_BLOCK = r"block:[^\s:@/?#]+"
_ACTION = (
    "remove it, and keep the credential in Vault: --git-credentials vault:MOUNT/PATH; a URL that is a secret, "
    "such as a presigned one, belongs in Vault as a whole: vault:MOUNT/PATH#FIELD"
)

_BUILDER_ACTION = (
    "use tcp://HOST:PORT, unix://PATH, docker://[PATH] or docker-container://NAME, and TLS files for authentication"
)
_NODE = r"(?:tcp://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}|(?:unix|docker|docker-container)://[^\s,@?#\\]*)"
_NODES = rf"{_NODE}(?:,{_NODE})+"


def _check_source(text: str) -> str:
    if text.startswith("vault:"):
        SecretField.parse(text)
        return text
    return check_address("the source", text, action=_ACTION)


def _check_builder(text: str) -> str:
    if "," not in text:
        return check_address("the builder's address", text, action=_BUILDER_ACTION)
    if re.fullmatch(_NODES, text) is None:
        # Not repeated: a password may contain a comma.
        raise InvalidOption("one of the builder's addresses is not valid", action=_BUILDER_ACTION)
    return text


def _check_place(text: str, *, host: bool) -> str:
    if _names_a_block(text):
        return text
    name, place = split_host(text) if host else (None, text)
    if name is not None:
        check_address("a credential's host", f"https://{name}")
    CredentialPath.parse(place)
    return text


def _check_key(text: str) -> str:
    if re.fullmatch(PLACE, text) is None:
        raise InvalidOption(
            "a signing key's place in Vault is not of the form vault:MOUNT/KEY",
            action="write e.g. vault:transit/release",
        )
    return text


def _check_signer(text: str) -> str:
    return text if text == NO_KEY else _check_key(text)


def _check_commit_signer(text: str) -> str:
    if "#" not in text:
        return _check_key(text)
    SecretField.parse(text)
    return text


def _check_block(text: str) -> str:
    if not _names_a_block(text):
        # Not repeated: it may be a token.
        raise InvalidOption(
            "a saved Vault has the form block:NAME", action="save a Slipway Vault block and use its name"
        )
    return text


def _check_token(text: str) -> str:
    SecretField.of_token(text)
    return text


def _check_version(text: str) -> str:
    parse_version(text)
    return text


def _workload(text: str) -> str:
    # Most requests name none.
    from prefect_slipway.infra.kubernetes.workloads.workload_name import WorkloadName

    return str(WorkloadName.parse(text))


def _names_a_block(text: str) -> bool:
    return re.fullmatch(_BLOCK, text) is not None


def _pattern(*forms: str) -> Any:
    return Field(json_schema_extra={"pattern": f"^(?:{'|'.join(forms)})$"})


Source = Annotated[str, AfterValidator(_check_source), _pattern(rf"{PLACE}#[\w.-]+", ADDRESS)]
"""A source: a directory, a URL without a secret, or `vault:MOUNT/PATH#FIELD`."""

BuilderPlace = Annotated[str, AfterValidator(_check_builder), _pattern(ADDRESS, _NODES)]
"""A builder's address, or those of its nodes, separated by commas."""

GitRemote = Annotated[
    str, AfterValidator(partial(check_address, "the git remote", action=_ACTION)), _pattern("-", ADDRESS)
]
"""A remote's name, or its URL."""

_LOGIN = rf"{PLACE}(?:{LOGIN_FIELDS})?"

SecretPlace = Annotated[str, AfterValidator(partial(_check_place, host=False)), _pattern(_BLOCK, _LOGIN)]
"""`vault:MOUNT/PATH`, `vault:MOUNT/PATH#FIELD[,user=NAME]` or `block:NAME`."""

CredentialPlace = Annotated[
    str, AfterValidator(partial(_check_place, host=True)), _pattern(_BLOCK, rf"(?:[^\s@/?#=]+=)?{_LOGIN}")
]
"""The same, or with `HOST=` before it."""

ImageName = Annotated[str, _pattern(IMAGE_NAME)]
"""REGISTRY/REPOSITORY."""

SigningKey = Annotated[str, AfterValidator(_check_key), _pattern(PLACE)]
"""`vault:MOUNT/KEY` of a Transit engine."""

SignerPlace = Annotated[str, AfterValidator(_check_signer), _pattern(NO_KEY, PLACE)]
"""The same, or `none`."""

_FIELD = rf"{PLACE}(?:#[\w.-]+)?"

TokenPlace = Annotated[str, AfterValidator(_check_token), _pattern(_FIELD)]
"""`vault:MOUNT/PATH` of a secret with the field `token`, or `vault:MOUNT/PATH#FIELD`."""

CommitSigner = Annotated[str, AfterValidator(_check_commit_signer), _pattern(_FIELD)]
"""`vault:MOUNT/KEY` of a Transit engine, or `vault:MOUNT/PATH#FIELD` of a private key."""

SemanticVersion = Annotated[str, AfterValidator(_check_version)]

Workload = Annotated[str, AfterValidator(_workload)]
"""KIND/NAME."""

ForgeUrl = Annotated[str, AfterValidator(partial(check_address, "the forge's API"))]
"""Of a REST API, without a secret."""

SavedBlock = Annotated[str, AfterValidator(_check_block), _pattern(_BLOCK)]
"""`block:NAME`."""


def without_leaks(schema: dict[str, Any]) -> None:
    """Add to a model's JSON schema that no text in it may hold a URL with a secret."""
    for value in schema.values():
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                without_leaks(inner)
    if schema.get("type") == "string" and not {"pattern", "enum", "const"} & schema.keys():
        schema["pattern"] = _NO_LEAK
    if isinstance(schema.get("additionalProperties"), dict):
        schema["propertyNames"] = {"pattern": _NO_LEAK}
