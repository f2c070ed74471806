"""A registry behind a token server, as public registries have them (distribution, docs/spec/auth/token.md,
jwt.md).
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.certificates import Certificates, make_certificates
from tests.servers import registry_server

_SERVICE, _ISSUER = "a test's registry", "a test's token server"


@dataclass
class TokenServer:
    """Gives tokens for what `grants` allows; `asked`: the scopes, each one's actions sorted, because the registry's
    challenge names them in any order, and whether a password came with them; `expired_at`: when the last token has
    expired, seconds since the epoch. `identities`: identity tokens that it takes in place of
    passwords (docs/spec/auth/oauth.md)."""

    certificates: Certificates
    users: dict[str, str] = field(default_factory=dict)
    identities: set[str] = field(default_factory=set)
    grants: set[str] = field(default_factory=lambda: {"pull", "push", "delete"})
    lifetime_s: int = 300
    asked: list[tuple[list[str], bool]] = field(default_factory=list)
    expired_at: float = 0.0

    def answer(self, query: str, authorization: str | None) -> tuple[int, dict[str, Any]]:
        scopes = parse_qs(query).get("scope", [])
        self._note(scopes, authorization is not None)
        if authorization is not None:
            pair = base64.b64decode(authorization.removeprefix("Basic ")).decode()
            user, _, password = pair.partition(":")
            if self.users.get(user) != password:
                return 401, {"errors": [{"code": "UNAUTHORIZED", "message": "wrong password"}]}
        return 200, {"token": self._token(scopes), "expires_in": self.lifetime_s}

    def exchange(self, form: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        scopes = " ".join(form.get("scope", [])).split()
        self._note(scopes, True)
        known = form["grant_type"] == ["refresh_token"] and form["service"] == [_SERVICE] and form["client_id"]
        if not known or form["refresh_token"][0] not in self.identities:
            return 401, {"errors": [{"code": "UNAUTHORIZED", "message": "wrong token"}]}
        return 200, {"access_token": self._token(scopes), "expires_in": self.lifetime_s}

    def _note(self, scopes: list[str], with_password: bool) -> None:
        parts = [scope.rpartition(":") for scope in scopes]
        sorted_ = [f"{of}:{','.join(sorted(actions.split(',')))}" for of, _, actions in parts]
        self.asked.append((sorted_, with_password))

    def _token(self, scopes: list[str]) -> str:
        access = []
        for scope in scopes:
            match = re.fullmatch(r"(\w+):(.+):([\w,*]+)", scope)
            assert match is not None, scope
            allowed = [action for action in match[3].split(",") if action in self.grants]
            access.append({"type": match[1], "name": match[2], "actions": allowed})
        now = int(time.time())
        self.expired_at = now + self.lifetime_s
        certificate = x509.load_pem_x509_certificate(self.certificates.cert.read_bytes())
        der = certificate.public_bytes(serialization.Encoding.DER)
        header = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(der).decode()]}
        claims = {
            "iss": _ISSUER,
            "sub": "",
            "aud": _SERVICE,
            "jti": uuid.uuid4().hex,
            "access": access,
            "nbf": now - 10,
            "iat": now,
            "exp": now + self.lifetime_s,
        }
        return signed_token(self.certificates.key, header, claims)


def signed_token(key_file: Path, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    """A JWT, signed as ES256 (RFC 7518, section 3.4) with a key on P-256."""
    signed = f"{_b64(json.dumps(header).encode())}.{_b64(json.dumps(claims).encode())}"
    key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    r, s = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{_b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


@contextmanager
def token_registry(home: Path) -> Iterator[tuple[str, TokenServer]]:
    """A registry's HOST:PORT and the token server that it names."""
    tokens = TokenServer(make_certificates(home / "tokens"))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            self._send(*tokens.answer(url.query, self.headers.get("Authorization")))

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode())
            if tokens.identities:
                self._send(*tokens.exchange(form))
            else:
                # No OAuth 2: clients go on as above.
                self._send(405, {})

        def _send(self, status: int, answer: dict[str, Any]) -> None:
            body = json.dumps(answer).encode()
            self.send_response_only(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        settings = {
            "realm": f"http://127.0.0.1:{server.server_address[1]}/token",
            "service": _SERVICE,
            "issuer": _ISSUER,
            "rootcertbundle": str(tokens.certificates.ca),
        }
        with registry_server(home, token_auth=settings) as host:
            yield host, tokens
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
