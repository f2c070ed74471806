"""The dashboards as a scheduled flow: one page in Prefect for each team."""

from datetime import UTC, datetime

from prefect import flow, get_client
from prefect.settings import PREFECT_UI_URL

from prefect_slipway.flows.reporting.dashboard import update_dashboards
from prefect_slipway.flows.request.dashboard import DashboardRequest
from prefect_slipway.flows.run.flow_run import About, as_run
from prefect_slipway.flows.run.recorded_parameters import read_before_recorded
from prefect_slipway.flows.server.errors import prefect_errors


@read_before_recorded
@flow(name="dashboard", flow_run_name="{request.run_name}")
async def dashboard(request: DashboardRequest) -> list[str]:
    """Write each team's dashboard: last versions, what runs where, and how often and how well it delivers."""
    about = About("dashboards", request.run_name, "the dashboards were not updated")
    return await as_run(lambda: _update(request), about, _said)


async def _update(request: DashboardRequest) -> list[str]:
    with prefect_errors():
        async with get_client() as client:
            pages = await update_dashboards(client, datetime.now(UTC), request.days, PREFECT_UI_URL.value())
    return [page.team for page, _ in pages]


def _said(teams: list[str]) -> str:
    return f"updated {', '.join(teams)}" if teams else "nothing was released yet"
