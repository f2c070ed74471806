"""What an update of the dashboards is asked."""

from __future__ import annotations

from pydantic import Field

from prefect_slipway.flows.request.model import Request


class DashboardRequest(Request):
    """The period to show."""

    days: int = Field(default=30, ge=1, le=3650, description="Days to look back. Default: 30.")

    @property
    def run_name(self) -> str:
        """The run's name."""
        return f"dashboards of {self.days} days"
