"""Take runs from a work pool and start a process for each. Ctrl-C, SIGTERM or closing the terminal stops taking runs,
lets the current ones clean up, reports them and exits; a second signal kills them."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket

_POOL = "slipway"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pool", default=_POOL, help="Process work pool. Default: slipway, created if it does not exist."
    )
    parser.add_argument("--name", default=socket.gethostname(), help="Name in the UI. Default: the host name.")
    parser.add_argument(
        "--limit", type=int, default=os.cpu_count() or 2, metavar="N", help="Runs at once. Default: one per processor."
    )
    parser.add_argument(
        "--poll", type=float, default=2.0, metavar="SECONDS", help="Time between checks for new runs. Default: 2."
    )
    parser.add_argument(
        "--grace",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="Time for runs to end when the worker stops. Default: 60.",
    )


def run(args: argparse.Namespace) -> int:
    """0 once it was stopped. Raises InvalidOption and PrefectError."""
    from prefect_slipway.flows.cli.prefect_settings import use_prefect_server

    # The worker's messages go to this terminal.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "INFO")
    use_prefect_server()
    asyncio.run(_work(args))
    return 0


async def _work(args: argparse.Namespace) -> None:
    from prefect_slipway.flows.registration.files import shipped_pools
    from prefect_slipway.flows.registration.pools import read_process_pool, register_pool
    from prefect_slipway.flows.server.errors import prefect_client, prefect_errors
    from prefect_slipway.flows.server.worker import ReleaseWorker

    async with prefect_client() as client:
        for pool in shipped_pools():
            if pool.name == args.pool:
                await register_pool(client, pool, update=False)
        await read_process_pool(client, args.pool)
    with prefect_errors():
        worker = ReleaseWorker(args.pool, name=args.name, limit=args.limit, poll_s=args.poll, grace_s=args.grace)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            # Signals ignored by nohup or a background shell stay ignored.
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, worker.stop)
        print(f"worker {args.name}: up to {args.limit} runs of the work pool {args.pool}", flush=True)
        await worker.serve()
    print(f"worker {args.name}: ended", flush=True)
