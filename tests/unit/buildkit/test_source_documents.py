"""What a policy is told of a source, and what the daemon is told of the policy's answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from prefect_slipway.infra.buildkit.session.source_policy import (
    Document,
    SourceCheck,
    SourcePolicySession,
    as_document,
)
from prefect_slipway.infra.buildkit.wire.ops_pb2 import Platform, SourceOp
from prefect_slipway.infra.buildkit.wire.policy_session_pb2 import (
    CheckPolicyRequest,
    GitMeta,
    HttpMeta,
    ImageMeta,
    SourceMeta,
)

AMD64 = Platform(OS="linux", Architecture="amd64")
DIGEST = f"sha256:{'1' * 64}"


def told(identifier: str, attrs: dict[str, str] | None = None, **meta: Any) -> Document | None:
    return as_document(SourceMeta(Source=SourceOp(identifier=identifier, attrs=attrs or {}), **meta), AMD64)


def test_an_image() -> None:
    """By all its names; its configuration once it was looked up."""
    assert told("docker-image://docker.io/library/alpine:3") == {
        "image": {
            "ref": "docker.io/library/alpine:3",
            "host": "docker.io",
            "repo": "alpine",
            "fullRepo": "docker.io/library/alpine",
            "tag": "3",
            "platform": "linux/amd64",
            "os": "linux",
            "arch": "amd64",
        }
    }
    config = json.dumps({"created": "2026-01-01T00:00:00Z", "config": {"User": "app", "Labels": {"a": "b"}}}).encode()
    found = told(f"docker-image://r.example/a@{DIGEST}", Image=ImageMeta(Digest=DIGEST, Config=config))
    assert found is not None
    assert found["image"]["isCanonical"] is True
    assert (found["image"]["checksum"], found["image"]["user"], found["image"]["labels"]) == (DIGEST, "app", {"a": "b"})
    assert "tag" not in found["image"]


@pytest.mark.parametrize("config", [b"", b"{", b"[]", b'{"config": 1}', b'{"config": {"Volumes": 1}}'])
def test_a_registrys_configuration_is_hostile(config: bytes) -> None:
    """What cannot be read is not known."""
    found = told("docker-image://r.example/a:1", Image=ImageMeta(Digest=DIGEST, Config=config))
    assert found is not None and "labels" not in found["image"]


def test_a_repository() -> None:
    """Its address and ref; what the ref is once it was looked up."""
    commit = "a" * 40
    assert told("git://git.example/team/app.git#main:sub") == {
        "git": {
            "schema": "https",
            "host": "git.example",
            "remote": "https://git.example/team/app.git",
            "subDir": "sub",
        }
    }
    attrs = {"git.fullurl": "git@git.example:team/app.git"}
    found = told("git://git.example/team/app.git#v1", attrs, Git=GitMeta(Ref="refs/tags/v1", Checksum=commit))
    assert found is not None
    assert (found["git"]["schema"], found["git"]["host"], found["git"]["tagName"]) == ("ssh", "git.example", "v1")
    assert (found["git"]["checksum"], found["git"]["commitChecksum"]) == (commit, commit)
    assert told(f"git://git.example/a.git#{commit}") is not None


def test_a_url_and_a_directory() -> None:
    """A URL in its parts, the build's own directories by their names."""
    assert told("https://a.example:8080/b?c=d", HTTP=HttpMeta(Checksum=DIGEST)) == {
        "http": {
            "url": "https://a.example:8080/b?c=d",
            "schema": "https",
            "host": "a.example:8080",
            "path": "/b",
            "query": {"c": ["d"]},
            "checksum": DIGEST,
        }
    }
    assert told("local://context") == {"local": {"name": "context"}}


@pytest.mark.parametrize("identifier", ["", "other://x", "docker-image://UPPER", "http://[", "oci-layout://x"])
async def test_what_is_not_known_is_denied(identifier: str) -> None:
    """No policy can allow it, because none was asked."""

    async def decide(_: Document) -> Sequence[str] | None:
        return None

    session = SourcePolicySession(SourceCheck(decide))
    source = SourceMeta(Source=SourceOp(identifier=identifier))
    answer = await session._answer(CheckPolicyRequest(Source=source, Platform=AMD64))
    assert answer.decision.action == 1
    assert answer.decision.denyMessages


async def test_a_source_is_looked_up_once() -> None:
    """Where the policy needs to know more, the daemon is sent to ask; then the policy decides."""
    asked: list[Document] = []

    async def decide(document: Document) -> Sequence[str] | None:
        asked.append(document)
        return ["no"]

    session = SourcePolicySession(SourceCheck(decide, frozenset({"http"})))
    source = SourceMeta(Source=SourceOp(identifier="https://a.example/b"))
    first = await session._answer(CheckPolicyRequest(Source=source, Platform=AMD64))
    assert (first.request.Source.identifier, asked) == ("https://a.example/b", [])
    source.HTTP.Checksum = DIGEST
    second = await session._answer(CheckPolicyRequest(Source=source, Platform=AMD64))
    assert [each.message for each in second.decision.denyMessages] == ["no"]
    assert asked[0]["http"]["checksum"] == DIGEST
