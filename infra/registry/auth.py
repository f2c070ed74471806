"""Answer a registry's 401 with Basic credentials, or with a Bearer token from the server it names.

Source: distribution's token authentication specification (docs/spec/auth/token.md, and oauth.md for identity tokens).
"""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

import httpx

from prefect_slipway.infra.domain.credentials import Credential, CredentialSource
from prefect_slipway.infra.domain.errors import (
    RegistryError,
    RegistryForbidden,
    RegistryProtocolError,
    RegistryUnauthorized,
)
from prefect_slipway.infra.domain.reference import normalize_registry_host
from prefect_slipway.infra.domain.registry_status import NO_CREDENTIALS
from prefect_slipway.infra.registry.answers import token_of
from prefect_slipway.infra.registry.errors import error_of

# A token is not used in its last seconds: it has to arrive while it is valid.
_MARGIN_S = 10.0
# A password is read once for requests that follow each other, of which a release makes dozens within a second.
_PASSWORD_S = 5.0
_BASIC = "basic"

_PARAMETER = re.compile(
    r"(?<![\w-])(?:(?P<scheme>[A-Za-z][\w-]*)\s+)?(?P<key>[\w-]+)\s*=\s*"
    r'(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^\s,"]+))'
)


@dataclass(frozen=True)
class Challenge:
    """What a server asks for in WWW-Authenticate; `scheme` in lower case."""

    scheme: str
    parameters: dict[str, str]


def parse_challenges(headers: Sequence[str]) -> list[Challenge]:
    """The challenges of all WWW-Authenticate headers (RFC 9110, 11.6.1), in their order."""
    found: list[Challenge] = []
    for header in headers:
        if re.fullmatch(r"\s*[A-Za-z]+\s*", header):
            found.append(Challenge(header.strip().lower(), {}))
            continue
        first_of_header = True
        for match in _PARAMETER.finditer(header):
            if match["scheme"]:
                found.append(Challenge(match["scheme"].lower(), {}))
            elif first_of_header:
                break
            first_of_header = False
            quoted = match["quoted"]
            value = match["plain"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            found[-1].parameters[match["key"].lower()] = value
    return found


@dataclass(frozen=True)
class _Header:
    value: str = field(repr=False)
    good_until: float


class Authenticator:
    """The Authorization header for each request to one registry, sent once the registry asks for it.

    The credential source is asked for each new token, which is kept until it expires, and every few seconds for Basic;
    at once when the registry refuses what is kept.
    """

    def __init__(
        self,
        ask: Callable[[str, httpx.URL, dict[str, str], bytes | None], Awaitable[httpx.Response]],
        host: str,
        credentials: CredentialSource,
        *,
        insecure: bool,
    ) -> None:
        self._ask = ask
        self._host = host
        self._credentials = credentials
        self._insecure = insecure
        self._challenge: Challenge | None = None
        self._anonymous = False
        # Tokens by scope, and Basic, which has none.
        self._kept: dict[str, _Header] = {}
        self._fetching = asyncio.Lock()

    async def header(self, scope: str) -> str | None:
        """What to send with a request that needs `scope`, None while the registry asked for nothing."""
        if self._challenge is None:
            return None
        return await self._answer(self._challenge, scope, scope)

    async def after_401(self, response: httpx.Response, scope: str) -> str | None:
        """What to send instead after this refusal, None if there is nothing to offer."""
        challenge = _choose(parse_challenges(response.headers.get_list("WWW-Authenticate")))
        if challenge is None:
            return None
        self._challenge = challenge
        key = _key(challenge, scope)
        kept = self._kept.get(key)
        # Unless another request that was refused has got a new one meanwhile.
        if kept is not None and kept.value == response.request.headers.get("Authorization"):
            del self._kept[key]
        # The registry knows best which scope this request needs.
        return await self._answer(challenge, scope, challenge.parameters.get("scope") or scope)

    def explain(self, error: RegistryError) -> RegistryError:
        """The same; if the registry rejects anonymous access, with the next action."""
        if self._anonymous and isinstance(error, RegistryUnauthorized | RegistryForbidden):
            error.action = NO_CREDENTIALS.format(host=normalize_registry_host(self._host))
        return error

    async def _credential(self) -> Credential | None:
        credential = await self._credentials.credential(self._host)
        self._anonymous = credential is None
        return credential

    async def _answer(self, challenge: Challenge, scope: str, asked: str) -> str | None:
        key = _key(challenge, scope)
        async with self._fetching:
            kept = self._kept.get(key)
            if kept is None or time.monotonic() >= kept.good_until:
                kept = await (self._password() if key == _BASIC else self._fetch(challenge, asked))
                if kept is None:
                    return None
                self._kept[key] = kept
            return kept.value

    async def _password(self) -> _Header | None:
        started = time.monotonic()
        credential = await self._credential()
        if credential is None:
            return None
        asyncio.get_running_loop().call_later(_PASSWORD_S, self._kept.pop, _BASIC, None)
        return _Header(_basic(credential), started + _PASSWORD_S)

    async def _fetch(self, challenge: Challenge, scope: str) -> _Header:
        realm = self._realm(challenge)
        credential = await self._credential()
        service = challenge.parameters.get("service")
        started = time.monotonic()
        if credential is not None and not credential.username:
            form = {"grant_type": "refresh_token", "refresh_token": credential.password, "client_id": "slipway"}
            form |= {"service": service or "", "scope": scope}
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            response = await self._ask("POST", realm, headers, urlencode(form).encode())
        else:
            query = httpx.QueryParams([("scope", each) for each in scope.split()])
            query = query.add("service", service) if service else query
            headers = {} if credential is None else {"Authorization": _basic(credential)}
            response = await self._ask("GET", realm.copy_merge_params(query), headers, None)
        if not response.is_success:
            raise self.explain(error_of(response))
        value, lifetime = token_of(response, self._host)
        return _Header(f"Bearer {value}", started + max(lifetime - _MARGIN_S, lifetime / 2))

    def _realm(self, challenge: Challenge) -> httpx.URL:
        try:
            realm = httpx.URL(challenge.parameters.get("realm", ""))
        except httpx.InvalidURL as error:
            raise RegistryProtocolError(f"{self._host} names a token server that is not a valid URL") from error
        if realm.scheme != "https" and not (realm.scheme == "http" and self._insecure):
            raise RegistryProtocolError(
                f"{self._host} names the token server {realm.host!r} without https: no password is sent there"
            )
        return realm


def _key(challenge: Challenge, scope: str) -> str:
    return _BASIC if challenge.scheme == "basic" else scope


def _choose(challenges: Sequence[Challenge]) -> Challenge | None:
    for scheme in ("bearer", "basic"):
        for challenge in challenges:
            if challenge.scheme == scheme:
                return challenge
    return None


def _basic(credential: Credential) -> str:
    pair = f"{credential.username}:{credential.password}".encode()
    return f"Basic {base64.b64encode(pair).decode('ascii')}"
