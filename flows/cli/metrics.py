"""Follow Slipway's events on the Prefect server and serve them at http://HOST:PORT/metrics: releases, durations by
step, failures by cause, deploys and swept objects. Counting begins with the start of this command."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from prefect_slipway import deployments
from prefect_slipway.flows.cli.listen_address import listen_address
from prefect_slipway.infra.domain.errors import InvalidOption, PortTaken, PrefectError

if TYPE_CHECKING:
    from prefect_slipway.flows.reporting.event_feed import EventFeed
    from prefect_slipway.flows.reporting.metrics import Metrics

_LISTEN = "127.0.0.1:9469"
_INTERVAL_S = 5.0


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--listen", metavar="HOST:PORT", default=_LISTEN, help=f"Address to listen on. Default: {_LISTEN}."
    )
    parser.add_argument(
        "--interval",
        metavar="SECONDS",
        type=float,
        default=_INTERVAL_S,
        help="Time between two requests to the server. Default: 5.",
    )
    parser.add_argument(
        "--state",
        metavar="FILE",
        type=Path,
        help="File that keeps the counts, so that events during a downtime are counted later.",
    )
    parser.add_argument(
        "--grafana", action="store_true", help="Print a Grafana dashboard for these metrics, and serve nothing."
    )


def run(args: argparse.Namespace) -> int:
    """Ends with Ctrl-C or SIGTERM. Raises InvalidOption, PortTaken, StackDown, PrefectErrors."""
    if args.grafana:
        print((Path(deployments.__path__[0]) / "grafana" / "slipway.json").read_text(encoding="utf-8"), end="")
        return 0
    from prefect_slipway.flows.cli.prefect_settings import use_prefect_server

    use_prefect_server()
    from prefect_slipway.flows.reporting.event_feed import resume
    from prefect_slipway.flows.reporting.metrics import Metrics

    host, port = listen_address(args.listen)
    try:
        feed = resume(args.state)
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise InvalidOption(f"{args.state} is not a state file of this command") from error
    asyncio.run(_serve(Metrics(), feed, host, port, args.interval, args.state))
    return 0


async def _serve(
    metrics: Metrics, feed: EventFeed, host: str, port: int, interval_s: float, state: Path | None
) -> None:
    from prometheus_client import start_http_server

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        server, thread = start_http_server(port, host, metrics.registry)
    except OSError as error:
        raise PortTaken(f"cannot listen on {host}:{port}: {error.strerror}") from error
    print(f"serving http://{host}:{port}/metrics", file=sys.stderr, flush=True)
    try:
        while not stop.is_set():
            await _follow(metrics, feed, state)
            try:
                await asyncio.wait_for(stop.wait(), interval_s)
            except TimeoutError:
                continue
    finally:
        server.shutdown()
        server.server_close()
        await asyncio.to_thread(thread.join)


async def _follow(metrics: Metrics, feed: EventFeed, state: Path | None) -> None:
    """Count what came. A server that does not answer is asked again, and nothing is lost. Raises PrefectErrors that
    stay."""
    from prefect_slipway.flows.server.errors import prefect_client, prefect_errors

    try:
        with prefect_errors():
            async with prefect_client() as client:
                found = await feed.read(client)
    except PrefectError as error:
        if not error.retryable:
            raise
        if metrics.is_up is not False:
            print(f"{error.cause}; trying again", file=sys.stderr, flush=True)
        metrics.heard(False)
        return
    if metrics.is_up is False:
        print("the Prefect server answers again", file=sys.stderr, flush=True)
    metrics.heard(True)
    for event in found:
        metrics.count(event.event, event.payload)
    if state is not None:
        _write(state, feed.saved())


def _write(file: Path, text: str) -> None:
    part = file.with_name(file.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(file)
