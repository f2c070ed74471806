"""Write a page in Prefect for each team (the registry and path that its images share): last versions, what runs where,
deployment frequency, lead time, change failure rate and time to restore. The deployment dashboard/of-each-team does the
same on a schedule."""

from __future__ import annotations

import argparse
import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from prefect_slipway.flows.cli.folding import print_facts
from prefect_slipway.flows.cli.formats import add_format_option

if TYPE_CHECKING:
    from prefect_slipway.flows.reporting.dashboard import Dashboard

_DAYS = 30


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--days", metavar="DAYS", type=_days, default=_DAYS, help="Days to look back. Default: 30.")
    add_format_option(parser)


def run(args: argparse.Namespace) -> int:
    """Raises StackDown, PrefectErrors."""
    from prefect_slipway.flows.cli.prefect_settings import use_prefect_server

    use_prefect_server()
    pages = asyncio.run(_update(args.days))
    if args.format == "json":
        print(json.dumps([_as_dict(page, url) for page, url in pages], indent=2))
    elif not pages:
        print("nothing was released yet")
    else:
        print_facts("\n\n".join(_as_text(page, url) for page, url in pages))
    return 0


async def _update(days: int) -> list[tuple[Dashboard, str | None]]:
    from datetime import UTC, datetime

    from prefect.settings import PREFECT_UI_URL

    from prefect_slipway.flows.reporting.dashboard import update_dashboards
    from prefect_slipway.flows.server.errors import prefect_client, prefect_errors

    with prefect_errors():
        async with prefect_client() as client:
            return await update_dashboards(client, datetime.now(UTC), days, PREFECT_UI_URL.value())


def _as_text(page: Dashboard, url: str | None) -> str:
    from prefect_slipway.infra.domain.text import aligned

    facts = [(measure, f"{value} ({of})") for measure, value, of in page.facts()]
    return "\n".join([page.team, *aligned([*facts, *([("in the UI", url)] if url else [])])])


def _as_dict(page: Dashboard, url: str | None) -> dict[str, Any]:
    figures = page.figures
    return {
        "team": page.team,
        "days": page.days,
        "url": url,
        **asdict(figures),
        "failure_rate": figures.failure_rate,
    }


def _days(text: str) -> int:
    days = int(text) if text.isdecimal() else 0
    if not 1 <= days <= 3650:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days from 1 to 3650")
    return days
