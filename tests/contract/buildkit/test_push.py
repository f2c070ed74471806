"""An image gets to a registry, or the registry's refusal becomes a cause."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from prefect_slipway.infra.buildkit.build.outputs import ImagePush
from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.domain.errors import (
    RegistryError,
    RegistryForbidden,
    RegistryThrottled,
    RegistryTlsError,
    RegistryUnauthorized,
    RegistryUnavailable,
    RegistryUnreachable,
    RepositoryUnknown,
    VaultSealed,
)
from prefect_slipway.infra.local.engine import trust_registry_ca
from prefect_slipway.infra.local.registry import registry_spec
from tests.certificates import make_certificates
from tests.contract.buildkit.parts import BASE, Answering, Engine, Registry, build
from tests.contract.buildkit.relay import listener
from tests.contract.buildkit.self_signed import self_signed
from tests.faults import front
from tests.ports import free_port
from tests.servers import running

Context = Callable[[str], Path]


async def test_push_by_digest_names_nothing(engine: Engine, registry: Registry, context: Context) -> None:
    """A push by digest leaves a manifest without a tag in the registry, and no image in the engine."""
    outcome = await build(
        engine.address,
        context(BASE),
        output=ImagePush(f"{registry.host}/team/by-digest", by_digest=True),
        credentials=registry.credentials,
    )
    assert (
        registry.manifest("team/by-digest", outcome.digest)["config"]["digest"]
        == outcome.response["containerimage.config.digest"]
    )
    assert registry.get("team/by-digest/tags/list").json().get("tags") in (None, [])
    if not engine.is_docker:
        return
    images = subprocess.run(
        ["docker", "-H", f"unix://{engine.socket}", "images", "--all", "--quiet"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert images.stdout == ""


async def test_push_under_a_tag(engine: Engine, registry: Registry, context: Context) -> None:
    """A push under a tag names the image, and the outcome tells its digest."""
    name = f"{registry.host}/team/tagged:1.0.0"
    outcome = await build(engine.address, context(BASE), output=ImagePush(name), credentials=registry.credentials)
    media_type = registry.manifest("team/tagged", outcome.digest)["mediaType"]
    head = registry.get("team/tagged/manifests/1.0.0", media_type)
    assert head.headers["Docker-Content-Digest"] == outcome.digest


async def test_credentials_are_asked_for_at_each_build(engine: Engine, registry: Registry, context: Context) -> None:
    """A credential that changed between two builds is the one that is used: none is kept on our side."""
    source = Answering(Credential(registry.username, "not it"))
    output = ImagePush(f"{registry.host}/team/rotated", by_digest=True)
    with pytest.raises(RegistryUnauthorized) as refused:
        await build(engine.address, context(BASE + "LABEL n=1\n"), output=output, credentials=source)
    assert "not it" not in str(refused.value)
    source.current = Credential(registry.username, registry.password)
    assert (await build(engine.address, context(BASE + "LABEL n=1\n"), output=output, credentials=source)).digest
    assert set(source.asked) == {registry.host}


async def test_no_credentials_are_unauthorized(engine: Engine, registry: Registry, context: Context) -> None:
    """Without credentials a registry that wants some is a cause that says so."""
    with pytest.raises(RegistryUnauthorized, match=r"127\.0\.0\.1:\d+: pushing team/none failed \(HTTP 401"):
        await build(
            engine.address,
            context(BASE),
            output=ImagePush(f"{registry.host}/team/none", by_digest=True),
            credentials=Answering(None),
        )


async def test_a_failing_source_of_credentials_is_the_cause(
    engine: Engine, registry: Registry, context: Context
) -> None:
    """When the credential cannot be read, that is what is raised, not the registry's refusal."""

    class Sealed(Answering):
        async def credential(self, host: str) -> NoReturn:
            raise VaultSealed("vault is sealed")

    with pytest.raises(VaultSealed):
        await build(
            engine.address,
            context(BASE),
            output=ImagePush(f"{registry.host}/team/sealed", by_digest=True),
            credentials=Sealed(None),
        )


async def test_nobody_listens(engine: Engine, context: Context) -> None:
    """A registry that does not run is unreachable, which a retry can help."""
    with pytest.raises(RegistryUnreachable, match="connection refused") as error:
        await build(engine.address, context(BASE), output=ImagePush(f"127.0.0.1:{free_port()}/a", by_digest=True))
    assert error.value.retryable


async def test_no_such_host(engine: Engine, context: Context) -> None:
    """A registry whose name nobody knows is unreachable."""
    with pytest.raises(RegistryUnreachable):
        await build(engine.address, context(BASE), output=ImagePush("registry.invalid/a", by_digest=True))


@pytest.mark.parametrize(
    ("status", "code", "message", "cause"),
    [
        (403, "DENIED", "requested access to the resource is denied", RegistryForbidden),
        (404, "NAME_UNKNOWN", "repository name not known to registry", RepositoryUnknown),
        (429, "TOOMANYREQUESTS", "too many requests", RegistryThrottled),
        (500, "UNKNOWN", "unknown error", RegistryUnavailable),
        (503, "UNAVAILABLE", "service unavailable", RegistryUnavailable),
    ],
)
async def test_statuses(
    engine: Engine,
    registry: Registry,
    context: Context,
    tmp_path: Path,
    status: int,
    code: str,
    message: str,
    cause: type[RegistryError],
) -> None:
    """Each refusal of a registry has its cause, by its HTTP status or (all that today's daemons pass on) its code; the
    server's text is not repeated."""
    with front(registry.host, make_certificates(tmp_path / "tls")) as spoilt:
        body = json.dumps({"errors": [{"code": code, "message": f"{message} token=s3cr3t"}]}).encode()
        spoilt.spoil("POST", "/blobs/uploads", status, body=body)
        spoilt.spoil("PUT", "/manifests/", status, body=body)
        with pytest.raises(cause) as error:
            await build(
                engine.address,
                context(BASE + f"LABEL status={status}\n"),
                # To loopback a buildkitd speaks plain HTTP, an engine tries TLS without a check first.
                output=ImagePush(f"{spoilt.host}/team/status{status}", by_digest=True, insecure=not engine.is_docker),
                credentials=registry.credentials,
            )
    assert "s3cr3t" not in str(error.value)


async def test_an_upload_that_breaks_off(engine: Engine, registry: Registry, context: Context, tmp_path: Path) -> None:
    """A registry that drops the connection inside an upload is a cause that a retry can help."""
    with front(registry.host, make_certificates(tmp_path / "tls")) as spoilt:
        spoilt.spoil("PUT", "/blobs/uploads")
        with pytest.raises(RegistryError) as error:
            await build(
                engine.address,
                context(BASE + "LABEL broken=1\n"),
                output=ImagePush(f"{spoilt.host}/team/broken", by_digest=True, insecure=not engine.is_docker),
                credentials=registry.credentials,
            )
    assert error.value.retryable, error.value


async def test_something_else_where_https_is_expected(engine: Engine, context: Context) -> None:
    """A server that answers a TLS handshake with plain text is a TLS cause that names the way out."""
    if not engine.is_docker:
        pytest.skip("a buildkitd expects plain HTTP on loopback")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"<html>400 Bad Request</html>")

    async with listener(serve) as port:
        with pytest.raises(RegistryTlsError, match="plain HTTP") as error:
            await build(engine.address, context(BASE), output=ImagePush(f"127.0.0.1:{port}/a", by_digest=True))
    assert "--insecure-registry" in error.value.action


async def test_a_registry_behind_an_unknown_ca(engine: Engine, context: Context, tmp_path: Path) -> None:
    """A certificate nobody vouches for is refused; once its CA is named to the engine, the push goes through."""
    if not engine.is_docker:
        pytest.skip("only a private engine is told of a CA")
    # Not a loopback address: docker does not ask those for a good certificate.
    address, port = _own_address(), free_port()
    ca, _ = self_signed(tmp_path / "tls", address)
    spec = registry_spec(tmp_path, port)
    config = tmp_path / "registry" / "config.yml"
    settings = json.loads(config.read_text())
    settings["http"] = {
        "addr": f"{address}:{port}",
        "tls": {"certificate": str(ca), "key": str(ca.with_name("key.pem"))},
    }
    del settings["auth"]
    config.write_text(json.dumps(settings))
    with running(replace(spec, ready=lambda: _accepts(address, port)), tmp_path):
        output = ImagePush(f"{address}:{port}/team/ca", by_digest=True)
        with pytest.raises(RegistryTlsError, match="not trusted"):
            await build(engine.address, context(BASE), output=output)
        trust_registry_ca(engine.home, f"{address}:{port}", ca)
        assert (await build(engine.address, context(BASE), output=output)).digest


def _accepts(address: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0


def _own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("needs a network address besides loopback")
        return str(probe.getsockname()[0])
