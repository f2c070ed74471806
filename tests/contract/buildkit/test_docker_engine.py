"""An engine that takes an image: Docker's own, and servers that fail in each way."""

from __future__ import annotations

import http.server
import json
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from prefect_slipway.infra.buildkit.address import BuilderAddress
from prefect_slipway.infra.buildkit.build.docker_engine import DockerEngine
from prefect_slipway.infra.buildkit.client import BuildKit
from prefect_slipway.infra.domain.errors import BuilderUnreachable, InvalidOption, OutputError
from tests.certificates import Certificates, make_certificates
from tests.contract.buildkit.parts import Engine
from tests.serving import serving

Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


def says(status: int, body: str) -> Answer:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body.encode())

    return answer


def hangs_up(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


@contextmanager
def engine_that(answer: Answer, tls: Certificates | None = None) -> Iterator[str]:
    """It reads what it is sent, and answers so; its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def do_POST(self) -> None:
            while size := int(self.rfile.readline(), 16):
                self.rfile.read(size + 2)
            self.rfile.readline()
            answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tls.ca)
            context.load_cert_chain(tls.cert, tls.key)
            context.verify_mode = ssl.CERT_REQUIRED
            server.socket = context.wrap_socket(server.socket, server_side=True)
        with serving(server):
            yield f"tcp://127.0.0.1:{server.server_port}"


async def archive() -> AsyncIterator[bytes]:
    yield b"x" * 100_000


async def test_an_engine_of_docker(engine: Engine) -> None:
    """It tells how it keeps images, and what of an archive it cannot take."""
    if not engine.is_docker:
        pytest.skip("a buildkitd keeps no images")
    docker = DockerEngine(socket=engine.socket)
    assert await docker.keeps_layouts()
    with pytest.raises(OutputError, match=r"did not accept|refuses"):
        await docker.load(archive())


async def test_a_builder_without_a_path_is_dockers_engine(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By DOCKER_HOST or docker's current context, as the `docker` command finds it; an error names its socket."""
    if not engine.is_docker:
        pytest.skip("docker talks to no buildkitd")
    address = BuilderAddress.parse("docker://")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{engine.socket}")
    async with BuildKit(address) as client:
        assert (await client.info()).version
    monkeypatch.setenv("DOCKER_HOST", "")
    made = ("docker", "context", "create", "here", "--docker", f"host=unix://{engine.socket}")
    subprocess.run(made, check=True, capture_output=True)
    subprocess.run(("docker", "context", "use", "here"), check=True, capture_output=True)
    async with BuildKit(address) as client:
        assert (await client.info()).version
    monkeypatch.setenv("DOCKER_CONTEXT", "gone")
    with pytest.raises(InvalidOption, match="no readable context 'gone'"):
        await BuildKit(address).__aenter__()
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(BuilderUnreachable, match=f"docker://{tmp_path}/none.sock: the socket does not exist"):
        await BuildKit(address).__aenter__()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (says(500, '{"message": "no room for it"}'), "refuses the image: no room for it"),
        (says(403, "<html>"), "refuses the image: HTTP 403"),
        (says(200, '{"stream": "Loading"}\n{"error": "not an image"}\n'), "did not accept the image: not an image"),
    ],
)
async def test_an_engine_that_does_not_want_it(answer: Answer, words: str) -> None:
    """What it says is the cause, also when it comes after a good beginning."""
    with engine_that(answer) as address, pytest.raises(OutputError, match=words):
        await DockerEngine.parse(address).load(archive())


async def test_servers_that_are_none(tmp_path: Path) -> None:
    """One that hangs up or is not there cannot be reached, another one is no engine."""
    with engine_that(hangs_up) as address:
        for asked in (DockerEngine.parse(address).keeps_layouts(), DockerEngine.parse(address).load(archive())):
            with pytest.raises(BuilderUnreachable, match="cannot be reached"):
                await asked
    for body in ("[]", "hello", '{"DriverStatus": 5}'):
        with engine_that(says(200, body)) as address, pytest.raises(OutputError, match="does not answer like"):
            await DockerEngine.parse(address).keeps_layouts()
    for nowhere in ("tcp://127.0.0.1:1", f"unix://{tmp_path}/none.sock"):
        with pytest.raises(BuilderUnreachable, match="cannot be reached") as error:
            await DockerEngine.parse(nowhere).keeps_layouts()
        assert "DOCKER_HOST" in error.value.action


async def test_an_engine_behind_tls(tmp_path: Path) -> None:
    """The client's certificate is shown and the engine's is checked, unless docker's context says not to; one that the
    CA did not sign is not talked to."""
    mine, other = make_certificates(tmp_path / "docker"), make_certificates(tmp_path / "other")
    docker = json.dumps({"DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]})
    with engine_that(says(200, docker), mine) as address:
        assert await DockerEngine.parse(address, mine.ca.parent).keeps_layouts()
        mine.ca.unlink()
        assert await DockerEngine.parse(address, mine.ca.parent, verified=False).keeps_layouts()
        with pytest.raises(BuilderUnreachable):
            await DockerEngine.parse(address, other.ca.parent).keeps_layouts()
        other.key.write_text("no key")
        with pytest.raises(InvalidOption, match=r"a certificate or key of the Docker engine .* cannot be read"):
            await DockerEngine.parse(address, other.ca.parent).keeps_layouts()
