"""The relay's HTTP side: `POST /hooks/SOURCE` takes deliveries, and `GET /healthz`, on an address of its own, says that
it runs."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from typing import Any

from aiohttp import web
from prefect.client.orchestration import PrefectClient

from prefect_slipway.flows.relay import LOGGER
from prefect_slipway.flows.relay.connections import SHUTDOWN_S, Address, Intake, Limits, listener
from prefect_slipway.flows.relay.dispatch import Started, dispatch
from prefect_slipway.flows.relay.forges import FORGES, Forge
from prefect_slipway.flows.relay.push import Push
from prefect_slipway.flows.relay.refusal import Refused, malformed
from prefect_slipway.flows.relay.replay import Remembered
from prefect_slipway.flows.relay.rulefile import RuleFile
from prefect_slipway.flows.relay.rules import Source
from prefect_slipway.flows.relay.secrets import SourceSecrets
from prefect_slipway.infra.domain.errors import InvalidOption, PrefectError, VaultError

_JSON = "application/json"
_AGAIN_IN_S = "30"

logger = logging.getLogger(LOGGER)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Relay:
    """Answers deliveries. `rules`, `secrets`, `client`: opened and closed by the caller."""

    def __init__(self, rules: RuleFile, secrets: SourceSecrets, client: PrefectClient, limits: Limits) -> None:
        self._rules = rules
        self._secrets = secrets
        self._client = client
        self._limits = limits
        self._intake = Intake(most_bytes=limits.body_bytes, most_together=limits.bodies_bytes, patience_s=limits.body_s)
        self._done = Remembered()
        self._working = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def serve(
        self, address: Address, health: Address, stop: asyncio.Event, listening: Callable[[Address, Address], None]
    ) -> None:
        """Serve until `stop` is set; then finish what has begun.

        `health`: where /healthz is, which answers however busy `address` is. `listening`: called with both as they are
        (a port 0 is any free one). Raises PortTaken.
        """
        async with AsyncExitStack() as exits:
            checked = await exits.enter_async_context(self._listener(health, "/healthz", self._health))
            taking = await exits.enter_async_context(self._listener(address, "/hooks/{source}", self._hook))
            listening(taking.sockets[0].getsockname()[:2], checked.sockets[0].getsockname()[:2])
            await stop.wait()
            taking.close()
            # aiohttp's own shutdown stops reading bodies, so wait until nothing is half done.
            with suppress(TimeoutError):
                async with asyncio.timeout(SHUTDOWN_S):
                    await self._idle.wait()

    def _listener(self, address: Address, path: str, handler: Handler) -> AbstractAsyncContextManager[asyncio.Server]:
        app = web.Application(middlewares=[self._counted, _answered])
        app.router.add_route("*", path, handler)
        return listener(app, address, self._limits)

    @web.middleware
    async def _counted(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._working += 1
        self._idle.clear()
        try:
            return await handler(request)
        finally:
            self._working -= 1
            if not self._working:
                self._idle.set()

    async def _health(self, request: web.Request) -> web.Response:
        if request.method not in {"GET", "HEAD"}:
            raise web.HTTPMethodNotAllowed(request.method, ["GET", "HEAD"])
        rules = self._rules
        return _answer(200, {"status": "ok", "rules": len(rules.rules.rules), "rules_problem": rules.problem})

    async def _hook(self, request: web.Request) -> web.Response:
        if request.method != "POST":
            raise web.HTTPMethodNotAllowed(request.method, ["POST"])
        source = self._rules.rules.source(request.match_info["source"])
        if source is None:
            raise web.HTTPNotFound
        try:
            return await self._delivered(request, source)
        except Refused as refused:
            logger.warning("%s: refused (%d) from %s: %s", source.name, refused.status, request.remote, refused.reason)
            return _answer(refused.status, {"outcome": "refused", "reason": refused.reason})
        except (VaultError, InvalidOption) as error:
            logger.error(
                "%s: the secret cannot be read, so the forge must send the delivery again: %s", source.name, error.cause
            )
            return _answer(503, {"outcome": "failed", "reason": "the secret cannot be read"})

    async def _delivered(self, request: web.Request, source: Source) -> web.Response:
        forge = FORGES[source.forge]
        self._check_form(request)
        forge.check_signed(request.headers)
        async with self._intake.body(request) as body:
            await self._verify(forge, source, request, body)
            delivery = forge.delivery(request.headers, body)
            if not forge.is_push(request.headers):
                logger.info("%s: %s: not a push, nothing to do", source.name, delivery)
                return _answer(200, {"outcome": "ignored", "reason": "no push"})
            # Most forges do not sign the id: the body is remembered as well.
            keys = (f"{source.name} id {delivery}", f"{source.name} body {hashlib.sha256(body).hexdigest()}")
            if self._done.has_any(*keys):
                logger.info("%s: %s: handled before, nothing to do", source.name, delivery)
                return _answer(200, {"outcome": "duplicate"})
            push = forge.push(_document(body), delivery)
        return await self._pass_on(push, source, keys)

    def _check_form(self, request: web.Request) -> None:
        if request.query_string:
            raise malformed("a query string is not supported")
        if request.content_type != _JSON:
            raise Refused(415, f"the content type is not {_JSON}; choose it in the webhook's settings")
        if "Content-Encoding" in request.headers:
            raise Refused(415, "an encoded body is not supported")
        self._intake.check_length(request)

    async def _verify(self, forge: Forge, source: Source, request: web.Request, body: bytes) -> None:
        try:
            forge.verify(request.headers, body, await self._secrets.current(source), time.time())
        except Refused:
            # The secret may have been changed a moment ago.
            changed = await self._secrets.changed(source)
            if changed is None:
                raise
            forge.verify(request.headers, body, changed, time.time())

    async def _pass_on(self, push: Push, source: Source, keys: tuple[str, ...]) -> web.Response:
        try:
            started = await dispatch(self._client, push, source.name, self._rules.rules.rules)
        except PrefectError as error:
            logger.error("%s: %s: failed, and can be sent again: %s", source.name, push.delivery, error.cause)
            return _answer(503, {"outcome": "failed", "reason": "Prefect did not accept it"})
        for begun in started:
            if begun.run is not None:
                say = "starts" if begun.run.new else "had already started"
                logger.info("%s: %s: rule %s %s run %s", source.name, push.delivery, begun.rule, say, begun.run.run_id)
            else:
                logger.error("%s: %s: rule %s starts nothing: %s", source.name, push.delivery, begun.rule, begun.failed)
        if any(begun.failed for begun in started):
            return _answer(422, {"outcome": "failed", "runs": [_shown(begun) for begun in started]})
        if not started:
            logger.info("%s: %s: no rule applies", source.name, push.delivery)
        self._done.add(*keys)
        return _answer(200, {"outcome": "done", "runs": [_shown(begun) for begun in started]})


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise malformed("the body is not JSON") from None
    if not isinstance(document, dict):
        raise malformed("the body is not a JSON object")
    return document


def _shown(started: Started) -> dict[str, Any]:
    run = started.run
    if run is None:
        return {"rule": started.rule, "failed": started.failed}
    return {"rule": started.rule, "run": run.run_id, "url": run.url, "new": run.new}


def _answer(status: int, document: dict[str, Any]) -> web.Response:
    headers = {}
    if status == 503:
        headers["Retry-After"] = _AGAIN_IN_S
    if status == 401:
        headers["WWW-Authenticate"] = "Webhook-Signature"
    return web.json_response(document, status=status, headers=headers)


@web.middleware
async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every answer ends its connection, and no failure of our own is told with what it was about."""
    try:
        response = await handler(request)
    except web.HTTPException as error:
        # A path that does not exist is not repeated: some senders put secrets into it.
        logger.warning("refused (%d) from %s: no such path or method", error.status, request.remote)
        response = _answer(error.status, {"outcome": "refused", "reason": error.reason})
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
    except ConnectionError:
        raise
    except Exception as error:
        # The traceback's text could repeat the delivery; where it happened does not.
        where = error.__traceback__
        while where is not None and where.tb_next is not None:
            where = where.tb_next
        line = f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where is not None else "?"
        logger.error("failed (500) from %s: %s at %s", request.remote, type(error).__name__, line)
        response = _answer(500, {"outcome": "failed", "reason": "an error of the relay"})
    response.headers["Server"] = "slipway"
    response.force_close()
    return response
