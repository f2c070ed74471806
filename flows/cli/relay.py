"""Serve POST /hooks/SOURCE for the sources of the rule file, and GET /healthz at a separate address. A push becomes the
event slipway.push and starts a run for each rule that applies. The rule file is reloaded when it changes or on SIGHUP;
SIGTERM finishes the deliveries in progress. Run it behind a proxy that terminates TLS."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect_slipway.flows.cli.listen_address import listen_address
from prefect_slipway.flows.relay import LOGGER
from prefect_slipway.infra.domain.errors import PrefectError

if TYPE_CHECKING:
    from prefect_slipway.flows.relay.connections import Address
    from prefect_slipway.infra.vault.access import VaultAccess

_LISTEN = "127.0.0.1:8080"
_HEALTH_LISTEN = "127.0.0.1:8081"
_RELOAD_S = 2.0
_CHECK_S = 2.0


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--listen", default=_LISTEN, metavar="HOST:PORT", help=f"Address to listen on. Default: {_LISTEN}."
    )
    parser.add_argument(
        "--health-listen",
        default=_HEALTH_LISTEN,
        metavar="HOST:PORT",
        help=f"Address of GET /healthz. Default: {_HEALTH_LISTEN}.",
    )
    parser.add_argument(
        "--rules", type=Path, default=Path("rules.yaml"), metavar="FILE", help="Rule file. Default: rules.yaml."
    )
    parser.add_argument("--check", action="store_true", help="Check the rule file, then exit.")
    parser.add_argument("--max-body", type=int, metavar="BYTES", help="Largest accepted delivery. Default: 5242880.")
    parser.add_argument("--max-connections", type=int, metavar="N", help="Connections at once. Default: 128.")
    parser.add_argument(
        "--max-client-connections",
        type=int,
        metavar="N",
        help="Connections at once of one client or reverse proxy. Default: 32.",
    )
    parser.add_argument(
        "--headers-timeout", type=float, metavar="SECONDS", help="Time for a request's headers. Default: 5."
    )
    parser.add_argument("--body-timeout", type=float, metavar="SECONDS", help="Time for a request's body. Default: 30.")
    parser.add_argument("--verbose", action="store_true", help="Also log why rules do not apply.")


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C. Raises InvalidOption, StackDown, PortTaken, PrefectErrors that stay."""
    address, health = (listen_address(text, lowest_port=0) for text in (args.listen, args.health_listen))
    if args.check:
        from prefect_slipway.flows.relay.rulefile import RuleFile

        rules = RuleFile(args.rules).rules
        print(f"{args.rules}: {len(rules.sources)} sources, {len(rules.rules)} rules")
        return 0
    from prefect_slipway.flows.cli.prefect_settings import use_prefect_server

    use_prefect_server()
    _log_to_stderr(verbose=args.verbose)
    asyncio.run(_serve(args, address, health))
    return 0


async def _serve(args: argparse.Namespace, address: Address, health: Address) -> None:
    from contextlib import AsyncExitStack

    # Imported late, because Prefect reads its settings from the environment at import.
    from prefect import get_client

    from prefect_slipway.flows.relay.connections import Limits
    from prefect_slipway.flows.relay.rulefile import RuleFile
    from prefect_slipway.flows.relay.secrets import SourceSecrets
    from prefect_slipway.flows.relay.server import Relay
    from prefect_slipway.infra.vault.session import VaultSession

    rules = RuleFile(args.rules)
    given = {
        "body_bytes": args.max_body,
        "connections": args.max_connections,
        "client_connections": args.max_client_connections,
        "headers_s": args.headers_timeout,
        "body_s": args.body_timeout,
    }
    limits = Limits(**{name: value for name, value in given.items() if value is not None})
    access = _vault()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: rules.refresh(loudly=True))

    await _look_for_prefect()

    def listening(address: Address, health: Address) -> None:
        say = logging.getLogger(LOGGER).info
        say("listening on %s:%d, health on %s:%d, rules of %s", *address, *health, args.rules)

    async with AsyncExitStack() as exits:
        vault = await exits.enter_async_context(VaultSession(access)) if access is not None else None
        client = await exits.enter_async_context(get_client())
        watching = asyncio.create_task(_refreshed(rules))
        try:
            await Relay(rules, SourceSecrets(vault), client, limits).serve(address, health, stop, listening)
        finally:
            watching.cancel()
            await asyncio.wait([watching])


async def _look_for_prefect() -> None:
    """A server that is away is waited for: each delivery is answered with 503 until it is there, and nothing is lost.

    Raises PrefectErrors that stay.
    """
    from prefect_slipway.flows.server.errors import check_server

    try:
        async with asyncio.timeout(_CHECK_S):
            await check_server()
    except TimeoutError:
        logging.getLogger(LOGGER).warning("the Prefect server does not answer yet")
    except PrefectError as error:
        if not error.retryable:
            raise
        logging.getLogger(LOGGER).warning("%s", error.cause)


def _log_to_stderr(*, verbose: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger(LOGGER)
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)


async def _refreshed(rules: Any) -> None:
    while True:
        await asyncio.sleep(_RELOAD_S)
        rules.refresh()


def _vault() -> VaultAccess | None:
    from prefect_slipway.flows.run.endpoints import vault_access
    from prefect_slipway.flows.run.saved_blocks import running_stack
    from prefect_slipway.infra.local.config import StackConfig

    return vault_access(running_stack(StackConfig.from_env(os.environ)), os.environ)
