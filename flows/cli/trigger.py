"""Start a run and print its id and page. With --wait, wait until the run has ended and use its exit code: 0 completed,
1 failed or crashed, 130 cancelled."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from prefect_slipway.flows.cli.display.choice import add_progress_option, display
from prefect_slipway.flows.cli.formats import add_format_option
from prefect_slipway.infra.domain.errors import (
    Interrupted,
    InvalidOption,
    ParametersRefused,
    PrefectUnavailable,
    PrefectUnreachable,
)

if TYPE_CHECKING:
    from prefect_slipway.flows.cli.display.lines import Display
    from prefect_slipway.flows.run.starting import StartedRun
    from prefect_slipway.flows.server.quick import Client

_POLL_S = 1.0
# A server that is restarted comes back within this time, and the run continues meanwhile.
_PATIENCE_S = 60.0
_CANCELLED = 130
_FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
_SUBJECT = "command-line"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("deployment", nargs="?", metavar="DEPLOYMENT", help="FLOW/NAME.")
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=(
            "A parameter as text, KEY:=JSON for any other value. Dots lead into it and leave the deployment's other "
            "values in place: request.bump=patch. With --event: of the payload."
        ),
    )
    parser.add_argument("--event", metavar="NAME", help="Emit this event instead, for automations.")
    parser.add_argument("--subject", default=_SUBJECT, help=f"Subject of the event. Default: {_SUBJECT}.")
    parser.add_argument("--wait", action="store_true", help="Wait until the run has ended.")
    parser.add_argument(
        "--idempotency-key", metavar="KEY", help="Key that makes a repeated command find the same run or event."
    )
    parser.add_argument(
        "--retry-failed",
        action="store_true",
        help="Start another run if the one of this key failed, crashed or was cancelled.",
    )
    add_format_option(parser)
    add_progress_option(parser)


def run(args: argparse.Namespace) -> int:
    """The run's exit code. Raises InvalidOption, DeploymentUnknown, ParametersRefused, PrefectErrors, Interrupted."""
    if (args.deployment is None) == (args.event is None):
        raise InvalidOption("name either a deployment or an --event")
    if args.wait and args.event:
        raise InvalidOption("--wait needs a deployment, not an event")
    if args.retry_failed and (args.event or not args.idempotency_key):
        raise InvalidOption("--retry-failed needs a deployment and an --idempotency-key")
    given = [read_parameter(text) for text in args.param]
    from prefect_slipway.flows.cli.prefect_settings import use_prefect_server

    use_prefect_server()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if args.event is not None:
        shown = asyncio.run(_emit(args, given))
        print(json.dumps(shown) if args.format == "json" else f"event {shown['event']} {shown['id']}")
        return 0
    try:
        return asyncio.run(_start(args, given))
    except ParametersRefused as error:
        if key := _json_as_text(given):
            error.action = f"a value after = is text; write --param '{key}:=…' for JSON"
        raise
    except KeyboardInterrupt as error:
        raise Interrupted(
            "stopped waiting for the run", action="the run itself continues; cancel it on its page"
        ) from error


def read_parameter(text: str) -> tuple[list[str], Any]:
    """The path and the value of KEY=TEXT or KEY:=JSON. Raises InvalidOption."""
    key, equals, value = text.partition("=")
    is_json = key.endswith(":")
    path = key.removesuffix(":").split(".")
    if not equals or not all(path):
        raise InvalidOption(f"--param {text!r} is neither KEY=VALUE nor KEY:=JSON")
    if not is_json:
        return path, value
    try:
        return path, json.loads(value)
    except (ValueError, RecursionError) as error:
        raise InvalidOption(f"--param {key}: the value is not JSON", action="quote it for the shell") from error


def _json_as_text(given: Iterable[tuple[list[str], Any]]) -> str | None:
    """The first parameter with the text of a JSON object or list."""
    for path, value in given:
        if isinstance(value, str) and value.lstrip().startswith(("{", "[")):
            with suppress(ValueError, RecursionError):
                json.loads(value)
                return ".".join(path)
    return None


def merged(defaults: Mapping[str, Any], given: list[tuple[list[str], Any]]) -> dict[str, Any]:
    """The named parameters, each complete: the deployment's value with the given parts replaced.

    Raises InvalidOption where a path leads into something that has no parts.
    """
    changed: dict[str, Any] = {}
    for path, value in given:
        first, *rest = path
        if not rest:
            changed[first] = value
            continue
        root = changed.setdefault(first, json.loads(json.dumps(defaults.get(first) or {})))
        inner = root
        for key in rest[:-1]:
            inner = inner.setdefault(key, {}) if isinstance(inner, dict) else inner
        if not isinstance(inner, dict):
            raise InvalidOption(f"--param {'.'.join(path)}: there are no fields in {'.'.join(path[:-1])}")
        inner[rest[-1]] = value
    return changed


async def _emit(args: argparse.Namespace, given: list[tuple[list[str], Any]]) -> dict[str, str]:
    from prefect_slipway.flows.run.starting import emit
    from prefect_slipway.flows.server.quick import quick_client

    async with quick_client() as client:
        identity = await emit(
            client, args.event, args.subject, merged({}, given), kind="trigger", key=args.idempotency_key
        )
    return {"event": args.event, "id": identity}


async def _start(args: argparse.Namespace, given: list[tuple[list[str], Any]]) -> int:
    from prefect_slipway.flows.run.starting import find_deployment, start_run
    from prefect_slipway.flows.server.quick import quick_client

    async with quick_client() as client:
        deployment = await find_deployment(client, args.deployment)
        parameters = merged(deployment.parameters, given)
        key = args.idempotency_key
        started = await start_run(client, deployment, parameters, idempotency_key=key)
        while args.retry_failed and started.failed and not started.new:
            # The failed run is part of the next one's key: two commands at once start one run, too.
            key = f"{key}/{started.run_id}"
            started = await start_run(client, deployment, parameters, idempotency_key=key)
        shown = {"deployment": args.deployment, "run": started.run_id, "url": started.url, "new": started.new}
        if not args.wait:
            _print(args, started, shown | {"state": started.state})
            return 0
        with display(args.progress) as progress:
            progress.run(started.run_id, started.url)
            kind, name, message = await _followed(client, started, progress)
    _print(args, started, shown | {"state": name, "message": message})
    if kind == "COMPLETED":
        return 0
    return _CANCELLED if kind == "CANCELLED" else 1


def _print(args: argparse.Namespace, started: StartedRun, shown: dict[str, Any]) -> None:
    if args.format == "json":
        print(json.dumps(shown))
        return
    hint = "; start another with --retry-failed" if started.failed else ""
    print(f"run {shown['run']} {shown['state']}" + ("" if started.new else f" (started before with this key{hint})"))
    for line in (shown["url"], shown.get("message")):
        if line:
            print(line)


async def _followed(client: Client, started: StartedRun, progress: Display) -> tuple[str, str, str]:
    """Type, name and message of the run's last state; each state on the way is a step. Raises PrefectErrors."""
    from prefect_slipway.flows.reporting.watch import StepNews
    from prefect_slipway.flows.server.errors import prefect_errors

    said, since = "", time.monotonic()
    unreachable_s = 0.0
    while True:
        try:
            with prefect_errors():
                state = (await client.request("GET", f"/flow_runs/{started.run_id}")).json()["state"]
            unreachable_s = 0.0
        except (PrefectUnavailable, PrefectUnreachable):
            unreachable_s += _POLL_S
            if unreachable_s >= _PATIENCE_S:
                raise
            state = None
        if state is not None:
            name = state["name"] or state["type"]
            if name != said:
                if said:
                    progress.step(StepNews(said, "completed", round(time.monotonic() - since, 3)))
                said, since = name, time.monotonic()
                if state["type"] not in _FINAL:
                    progress.step(StepNews(name, "running"))
                if state["type"] == "PAUSED":
                    progress.say(f"it waits for an answer: {started.url}")
            if state["type"] in _FINAL:
                return state["type"], name, state["message"] or ""
        await asyncio.sleep(_POLL_S)
