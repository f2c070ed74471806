"""A source policy in Rego is asked about each source while the daemon resolves it; where a daemon cannot, nothing is
built."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from prefect_slipway.flows.build_options.source_rego import source_check
from prefect_slipway.infra.buildkit.address import BuilderAddress
from prefect_slipway.infra.buildkit.build.outputs import ImagePush
from prefect_slipway.infra.buildkit.client import BuildKit
from prefect_slipway.infra.buildkit.session.source_policy import SourceCheck
from prefect_slipway.infra.domain.errors import BuilderTooOld, BuildSourceDenied, PolicyInvalid
from prefect_slipway.infra.domain.source_policy import SourcePolicy
from tests.contract.buildkit.parts import BASE, Engine, Registry, build
from tests.serving import folder_served

Context = Callable[[str], Path]

RULES = """\
package docker

default allow := false

allow if input.local
allow if input.http.host == "HOST"
allow if {
    input.image.fullRepo == "REPO"
    input.image.labels.vetted == "yes"
}

deny_msg contains "only from example.com" if input.http
deny_msg contains sprintf("%s is not vetted", [input.image.ref]) if input.image

decision := {"allow": allow, "deny_msg": deny_msg}
"""


def check(text: str) -> SourceCheck:
    return source_check(SourcePolicy.read("it", text))


@pytest.fixture
async def asking(engine: Engine) -> Engine:
    """A daemon that asks: an engine of Docker 26 does not."""
    async with BuildKit(BuilderAddress.parse(engine.address)) as builder:
        if not await builder.asks_policies():
            pytest.skip("this builder does not ask policies in a session: set SLIPWAY_TEST_BUILDER")
    return engine


async def test_a_daemon_that_does_not_ask(engine: Engine, context: Context) -> None:
    """Nothing is built where the policy would be passed over."""
    async with BuildKit(BuilderAddress.parse(engine.address)) as builder:
        if await builder.asks_policies():
            pytest.skip("this builder asks policies")
    with pytest.raises(BuilderTooOld, match="does not ask a source policy in Rego"):
        await build(engine.address, context(BASE), source_check=check(RULES))


async def test_denied_by_its_name(asking: Engine, context: Context) -> None:
    """The policy's own words, the source and the Dockerfile's line."""
    folder = context("FROM scratch\nADD https://a.example/b /\n")
    with pytest.raises(BuildSourceDenied) as error:
        await build(asking.address, folder, source_check=check(RULES))
    assert error.value.cause == "the source policy denies https://a.example/b (only from example.com)"
    assert "\n   2 | >>> ADD https://a.example/b /\n" in error.value.details


async def test_decided_by_what_is_in_an_image(asking: Engine, registry: Registry, context: Context) -> None:
    """Labels of a base image's configuration, which the daemon looks up for the policy."""
    login = registry.credentials
    rules = RULES.replace("REPO", f"{registry.host}/vetted/base")
    for label in ("yes", "no"):
        output = ImagePush(f"{registry.host}/vetted/base:{label}", insecure=True)
        await build(asking.address, context(f"{BASE}LABEL vetted={label}\n"), output=output, credentials=login)
    good, bad = (f"FROM {registry.host}/vetted/base:{label}\nCOPY busybox /x\n" for label in ("yes", "no"))
    await build(asking.address, context(good), credentials=login, source_check=check(rules))
    with pytest.raises(BuildSourceDenied, match="vetted/base:no is not vetted") as error:
        await build(asking.address, context(bad), credentials=login, source_check=check(rules))
    assert ">>> FROM" in error.value.details


async def test_decided_by_a_files_checksum(asking: Engine, context: Context, tmp_path: Path) -> None:
    """The bytes behind a URL: only those that the policy knows."""
    (tmp_path / "served").mkdir()
    file = tmp_path / "served" / "file"
    file.write_bytes(json.dumps(str(tmp_path)).encode())
    checksum = f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    none = 'allow if input.http.checksum == "sha256:"\n'
    text = 'package p\nimport rego.v1\ndefault allow := false\nallow if input.local\ndecision := {"allow": allow}\n'
    with folder_served(tmp_path / "served") as url:
        folder = context(f"FROM scratch\nADD {url}/file /file\n")
        await build(asking.address, folder, source_check=check(f'{text}allow if input.http.checksum == "{checksum}"\n'))
        with pytest.raises(BuildSourceDenied, match="its decision gives no reason"):
            await build(asking.address, folder, source_check=check(text + none))


async def test_a_dockerfile_that_the_daemon_downloads(asking: Engine) -> None:
    """It is a source as well."""
    async with BuildKit(BuilderAddress.parse(asking.address)) as builder:
        with pytest.raises(BuildSourceDenied, match=r"only from example\.com"):
            await builder.fetch("https://a.example/Dockerfile", source_check=check(RULES))


async def test_a_policy_without_an_answer_fails_the_build(asking: Engine, context: Context) -> None:
    """No decision is no permission."""
    with pytest.raises(PolicyInvalid, match="has no decision"):
        await build(asking.address, context(BASE), source_check=check("package docker\nallow := true\n"))


def test_what_is_not_looked_up_is_refused() -> None:
    """A rule about it would never match."""
    with pytest.raises(PolicyInvalid, match="signatures of its sources"):
        check('package docker\ndecision := {"allow": count(input.image.signatures) > 0}\n')
