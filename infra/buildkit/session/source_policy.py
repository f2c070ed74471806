"""Answer for each source that a build wants whether it may use it: the daemon asks as it resolves them.

Service: sourcepolicy/policysession/policysession.proto; the conversation: solver/llbsolver/policy.go (moby/buildkit).
What a source is told as has the fields of docker buildx's policies (policy/types.go and validate.go in docker/buildx;
docs.docker.com/build/policies/inputs).
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from prefect_slipway.infra.buildkit.http2.grpc import Code, GrpcError, Handler
from prefect_slipway.infra.buildkit.http2.unary import unary
from prefect_slipway.infra.buildkit.wire.ops_pb2 import Platform
from prefect_slipway.infra.buildkit.wire.policy_session_pb2 import (
    CheckPolicyRequest,
    CheckPolicyResponse,
    DecisionResponse,
    DenyMessage,
    MetaRequest,
    SourceMeta,
)
from prefect_slipway.infra.domain.errors import InvalidReference, SlipwayError
from prefect_slipway.infra.domain.reference import DOCKER_HUB, ImageReference

Document = dict[str, dict[str, Any]]
"""A source: its one kind (`image`, `git`, `http`, `local`) with what is known of it."""

_COMMIT = 40, 64


class SourceCheck(NamedTuple):
    """`decide`: why a source is denied, None if it is allowed. Raises SlipwayErrors. `looked_up`: the kinds whose
    checksums and configuration it needs: `image`, `git`, `http`. The daemon asks the source's server for them."""

    decide: Callable[[Document], Awaitable[Sequence[str] | None]]
    looked_up: frozenset[str] = frozenset()


class SourcePolicySession:
    """Passes each question to a SourceCheck. `asked`: how many there were; `failure`: what it raised first."""

    def __init__(self, check: SourceCheck) -> None:
        self._check = check
        self.asked = 0
        self.failure: SlipwayError | None = None

    def handlers(self) -> dict[str, Handler]:
        service = "/moby.buildkit.v1.sourcepolicy.policysession.PolicyVerifier/CheckPolicy"
        return {service: unary(CheckPolicyRequest, self._answer)}

    async def _answer(self, request: CheckPolicyRequest) -> CheckPolicyResponse:
        self.asked += 1
        document = as_document(request.Source, request.Platform)
        if document is None:
            return _denied(["Slipway does not know this kind of source"])
        (kind,) = document
        if kind in self._check.looked_up and not any(
            request.Source.HasField(name) for name in ("Image", "Git", "HTTP")
        ):
            return CheckPolicyResponse(request=MetaRequest(Source=request.Source.Source, Platform=request.Platform))
        try:
            reasons = await self._check.decide(document)
        except SlipwayError as error:
            self.failure = self.failure or error
            raise GrpcError(Code.FAILED_PRECONDITION, f"the source policy gave no answer: {error.name}") from error
        if reasons is not None:
            return _denied(reasons)
        # ALLOW is the default of the enumeration.
        return CheckPolicyResponse(decision=DecisionResponse())


def _denied(reasons: Sequence[str]) -> CheckPolicyResponse:
    messages = [DenyMessage(message=reason) for reason in reasons]
    return CheckPolicyResponse(decision=DecisionResponse(action="DENY", denyMessages=messages))


def as_document(source: SourceMeta, platform: Platform) -> Document | None:
    """What a policy is told of a source; None for one of an unknown kind. What is not known is left out."""
    identifier = source.Source.identifier
    scheme, _, rest = identifier.partition("://")
    if scheme == "docker-image":
        return _image(rest, source, platform)
    if scheme == "git":
        return {"git": _known(_git(rest, source))}
    if scheme in {"http", "https"}:
        return _http(identifier, source)
    return {"local": {"name": rest}} if scheme == "local" else None


def _image(name: str, source: SourceMeta, platform: Platform) -> Document | None:
    try:
        image = ImageReference.parse(name)
    except InvalidReference:
        return None
    familiar = image.name
    if image.registry == DOCKER_HUB:
        familiar = image.repository.removeprefix("library/")
    facts: dict[str, Any] = {
        "ref": name,
        "host": image.registry,
        "repo": familiar,
        "fullRepo": image.name,
        "tag": image.tag or "",
        "platform": "/".join(filter(None, (platform.OS, platform.Architecture, platform.Variant))),
        "os": platform.OS,
        "arch": platform.Architecture,
        "variant": platform.Variant,
        "isCanonical": image.digest is not None,
        "checksum": image.digest or "",
    }
    if source.HasField("Image"):
        facts["checksum"] = source.Image.Digest
        with suppress(ValueError, AttributeError, TypeError):
            whole = json.loads(source.Image.Config or b"{}")
            config = whole.get("config") or {}
            facts |= {
                "createdTime": whole.get("created"),
                "env": config.get("Env"),
                "labels": config.get("Labels"),
                "user": config.get("User"),
                "volumes": sorted(config.get("Volumes") or ()),
                "workingDir": config.get("WorkingDir"),
            }
    return {"image": _known(facts)}


def _git(rest: str, source: SourceMeta) -> dict[str, Any]:
    address = source.Source.attrs.get("git.fullurl") or (rest if "://" in rest else f"https://{rest}")
    remote, _, fragment = rest.partition("#")
    ref, _, folder = fragment.partition(":")
    url = address.partition("#")[0]
    schema, mark, _ = url.partition("://")
    is_commit = len(ref) in _COMMIT and not ref.strip("0123456789abcdef")
    facts: dict[str, Any] = {
        "schema": schema if mark else "ssh",
        "host": (urlsplit(url).hostname if mark else url.partition(":")[0].rpartition("@")[2]) or "",
        "remote": url if source.Source.attrs.get("git.fullurl") else f"https://{remote}",
        "fullURL": source.Source.attrs.get("git.fullurl", ""),
        "subDir": folder.strip("/"),
        "isCommitRef": is_commit,
        "checksum": ref if is_commit else "",
    }
    full = ref if ref.startswith("refs/") or is_commit else ""
    if source.HasField("Git"):
        full = source.Git.Ref or full
        facts["checksum"] = source.Git.Checksum
        facts["commitChecksum"] = source.Git.CommitChecksum or source.Git.Checksum
        facts["isAnnotatedTag"] = facts["commitChecksum"] != facts["checksum"]
    facts["isSHA256"] = len(facts["checksum"]) == 64
    facts["ref"] = full
    if full.startswith("refs/tags/"):
        facts["tagName"] = full.removeprefix("refs/tags/")
    if full.startswith("refs/heads/"):
        facts["branch"] = full.removeprefix("refs/heads/")
    return facts


def _http(url: str, source: SourceMeta) -> Document | None:
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return None
    return {
        "http": _known(
            {
                "url": url,
                "schema": parts.scheme,
                "host": host,
                "path": parts.path,
                "query": parse_qs(parts.query, keep_blank_values=True),
                "hasAuth": "http.authheadersecret" in source.Source.attrs,
                "checksum": source.HTTP.Checksum or source.Source.attrs.get("http.checksum", ""),
            }
        )
    }


def _known(facts: dict[str, Any]) -> dict[str, Any]:
    """Only what has a value, as buildx leaves the rest out."""
    return {name: value for name, value in facts.items() if value}
