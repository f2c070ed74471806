"""A secret that is typed where an address belongs is refused before a run exists: nobody records it."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests import patient
from tests.conftest import RunningStack
from tests.integration.faults.conftest import PASSWORD, SECRET, USER, Make, OwnRegistry
from tests.integration.faults.haystack import Needles
from tests.integration.source.test_archive import checksum, make_tar
from tests.releases import Traces, complaint, result_of
from tests.servers import VaultServer
from tests.serving import serving
from tests.warm import WarmStarter

# %s: the secret, or its halves around a character that ends a host's name.
TYPED = [
    "https://user:%s@git.example.com/app.git",
    "git+https://user:%s@git.example.com/app.git",
    "ssh://git:%s@git.example.com/app.git",
    " https://user:%s@git.example.com/app.git",
    "https://%s@git.example.com/app.git",
    "https://git.example.com/app.tar.gz?private_token=%s",
    "https://s3.example.com/app.tar.gz?X-Amz-Expires=9&X-Amz-Signature=%s",
    "user:%s@git.example.com:app.git",
]


@pytest.fixture
def token() -> str:
    return f"S3CRET{secrets.token_hex(16)}"


def flow_runs(stack: RunningStack) -> int:
    answer = patient.post(f"{stack.connection.prefect_api_url}/flow_runs/count", json={})
    return int(answer.raise_for_status().text)


def assert_unknown(stack: RunningStack, token: str) -> None:
    """Neither Prefect's tables nor any file of the stack has heard of it, whole or in part."""
    database = stack.connection.home / "prefect" / "prefect.db"
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        dump = "\n".join(connection.iterdump())
    connection.close()
    assert token[:20] not in dump
    assert token[-20:] not in dump
    assert Needles([token[:20], token[-20:]]).in_folder(stack.connection.home) == {}


@pytest.mark.parametrize("command", ["release", "plan"])
@pytest.mark.parametrize("form", TYPED)
def test_a_secret_in_the_source_is_refused_before_there_is_a_run(
    commands: WarmStarter, stack: RunningStack, token: str, form: str, command: str
) -> None:
    """Exit code 2, the flag that does it right, no run, and not a byte of it anywhere."""
    before = flow_runs(stack)
    said = complaint(commands.run(command, form % token, "--format", "json"), code=2)
    assert token not in said
    assert "--git-credentials vault:MOUNT/PATH" in said
    assert "vault:MOUNT/PATH#FIELD" in said
    assert flow_runs(stack) == before
    assert_unknown(stack, token)


@pytest.mark.parametrize("between", ["/", "#", "?", "@", ":"])
def test_a_password_that_breaks_its_url_is_not_repeated(
    commands: WarmStarter, stack: RunningStack, token: str, between: str
) -> None:
    """A password with a slash makes another URL of it; the error says nothing of either half."""
    password = f"{token[:24]}{between}{token[24:]}"
    said = complaint(commands.run("release", f"https://user:{password}@git.example.com/app.git"), code=2)
    assert token[:24] not in said
    assert token[24:] not in said
    assert_unknown(stack, token)


@pytest.mark.parametrize(
    "options",
    [
        ("--git-remote", "https://user:%s@git.example.com/app.git"),
        ("--builder", "tcp://user:%s@builder.example.com:1234"),
        ("--image", "user:%s@registry.example.com/app"),
        ("--git-credentials", "%s"),
        ("--credentials", "docker.io=user:%s"),
        ("--credentials", "%s"),
        ("--vault", "%s"),
        ("--build-arg", "HTTPS_PROXY=http://user:%s@proxy.example.com:3128"),
        ("--label", "from=https://%s@git.example.com/app"),
        ("--builder-option", "mirrors=docker.io=https://user:%s@mirror.example.com"),
    ],
    ids=lambda options: options[0],
)
def test_a_secret_in_another_option_is_refused_as_well(
    commands: WarmStarter, stack: RunningStack, source: Make, token: str, options: tuple[str, str]
) -> None:
    """Wherever an address or a secret's place can be typed."""
    before = flow_runs(stack)
    name, value = options
    said = complaint(commands.run("release", source(), name, value % token), code=2)
    assert token not in said
    assert flow_runs(stack) == before
    assert_unknown(stack, token)


@pytest.fixture(scope="module")
def deployed(commands: WarmStarter, stack: RunningStack) -> str:
    """The id of the deployment that the UI's form is made from."""
    ended = commands.run("deploy-flows")
    assert ended.code == 0, ended.stderr
    answer = patient.get(f"{stack.connection.prefect_api_url}/deployments/name/release/any-source")
    return str(answer.raise_for_status().json()["id"])


@pytest.mark.parametrize("form", TYPED)
def test_a_deployments_run_is_not_created_with_a_secret(
    commands: WarmStarter, stack: RunningStack, deployed: str, token: str, form: str
) -> None:
    """`slipway trigger` does not send it, and the server takes it neither from its own form nor from anybody else."""
    before = flow_runs(stack)
    said = complaint(commands.run("trigger", "release/any-source", "--param", f"request.source={form % token}"), code=2)
    assert token not in said
    body = {"parameters": {"request": {"source": form % token}}}
    url = f"{stack.connection.prefect_api_url}/deployments/{deployed}/create_flow_run"
    assert patient.post(url, json=body).status_code == 409
    assert flow_runs(stack) == before
    assert_unknown(stack, token)


@pytest.mark.parametrize(
    "request_of",
    [
        {"source": ".", "checkout": {"credentials": "%s"}},
        {"source": ".", "credentials": {"registries": ["docker.io=user:%s"]}},
        {"source": ".", "build_args": {"HTTPS_PROXY": "http://user:%s@proxy.example.com:3128"}},
        {"source": ".", "build": {"labels": {"https://%s@example.com": "x"}}},
        {"source": ".", "builder": {"address": "tcp://%s@example.com:1"}},
    ],
    ids=["git_credentials", "credentials", "build_args", "labels", "builder"],
)
def test_the_form_refuses_secrets_in_other_fields(
    stack: RunningStack, deployed: str, token: str, request_of: dict[str, Any]
) -> None:
    """The server goes by the schema that the deployment was registered with."""
    body = json.loads(json.dumps({"parameters": {"request": request_of}}).replace("%s", token))
    url = f"{stack.connection.prefect_api_url}/deployments/{deployed}/create_flow_run"
    assert patient.post(url, json=body).status_code == 409
    assert_unknown(stack, token)


def test_a_deployment_with_a_secret_is_not_registered(
    commands: WarmStarter, stack: RunningStack, token: str, tmp_path: Path
) -> None:
    """A file's parameters are recorded with the deployment."""
    stanza = {
        "name": "leaking",
        "entrypoint": "prefect_slipway.flows.release.release",
        "parameters": {"request": {"source": f"https://{token}@git.example.com/app.git"}},
    }
    (tmp_path / "prefect.yaml").write_text(json.dumps({"deployments": [stanza]}))
    ended = commands.run("deploy-flows", "--file", tmp_path / "prefect.yaml", "--only", "deployments")
    said = complaint(ended, code=2)
    assert "'leaking'" in said
    assert token not in said
    assert_unknown(stack, token)


def test_an_event_with_a_secret_is_not_sent(commands: WarmStarter, stack: RunningStack, token: str) -> None:
    """Its payload is recorded by the server."""
    ended = commands.run("trigger", "--event", "ci.tested", "--param", f"url=https://{token}@git.example.com/app.git")
    assert token not in complaint(ended, code=2)
    assert_unknown(stack, token)


def test_a_rule_with_a_secret_is_refused(commands: WarmStarter, token: str, tmp_path: Path) -> None:
    """The rule file says which parameters runs get."""
    rules = {
        "sources": [{"name": "github", "forge": "github", "secret": "vault:secret/hooks"}],
        "rules": [
            {
                "name": "main",
                "repository": "team/app",
                "deployment": "release/any-source",
                "parameters": {"request": {"source": f"https://{token}@git.example.com/app.git"}},
            }
        ],
    }
    (tmp_path / "rules.yaml").write_text(json.dumps(rules))
    said = complaint(commands.run("relay", "--rules", tmp_path / "rules.yaml", "--check"), code=2)
    assert "request.source contains a URL" in said
    assert token not in said


@pytest.fixture
def presigned(token: str, tmp_path: Path) -> Iterator[tuple[str, bytes, list[str]]]:
    """A server that gives an archive to whoever knows the signature; its URL, the archive, and the paths asked for."""
    content = make_tar({"Dockerfile": b"FROM scratch\nCOPY hello /\n", "hello": b"hello"})
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200 if f"X-Amz-Signature={token}" in self.path else 403)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, serving(server):
        url = f"http://127.0.0.1:{server.server_address[1]}/app-presigned.tar.gz?X-Amz-Signature={token}"
        yield url, content, asked


def test_a_presigned_url_is_read_from_vault_and_never_recorded(
    commands: WarmStarter,
    stack: RunningStack,
    traces: Traces,
    vault: VaultServer,
    own_registry: OwnRegistry,
    presigned: tuple[str, bytes, list[str]],
    token: str,
) -> None:
    """`vault:MOUNT/PATH#FIELD` as the source: the archive is fetched with its signature, which nobody else learns."""
    url, content, asked = presigned
    vault.put("secret/app", {"url": url})
    env = {"VAULT_ADDR": vault.address, "VAULT_TOKEN": vault.token(policies=["reads"])["client_token"]}
    image = f"{own_registry.host}/app-presigned"
    options = ("--checksum", checksum(content), "--image", image, "--credentials", f"vault:{SECRET}")
    ended = commands.run("release", "vault:secret/app#url", *options, "--format", "json", env=env)
    result = result_of(ended)
    assert result["version"] == "0.1.0"
    (digest,) = result["platforms"].values()
    assert asked == [f"/app-presigned.tar.gz?X-Amz-Signature={token}"]
    assert token not in ended.stderr
    manifest = patient.get(
        f"http://{own_registry.host}/v2/app-presigned/manifests/{digest}",
        auth=(USER, PASSWORD),
        headers={"Accept": "application/vnd.oci.image.manifest.v1+json"},
        trust_env=False,
    ).json()
    assert manifest["annotations"]["org.opencontainers.image.source"] == url.partition("?")[0]
    vault.put("secret/app", {"url": url.replace("X-Amz-Signature", "X-Amz-Other")})
    said = complaint(commands.run("release", "vault:secret/app#url", *options, "--format", "json", env=env))
    assert "app-presigned.tar.gz: the server refuses the credentials (HTTP status 403)" in said
    assert token not in said
    assert_unknown(stack, token)
    traces.assert_nothing_left()
