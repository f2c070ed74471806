"""A Prefect server as tests look at it: its API, asked plainly, also while it is down for a moment."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx

from tests import patient
from tests.waiting import PATIENCE_S, looks

FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


@dataclass(frozen=True)
class PrefectServer:
    """`api`: its address, with /api."""

    api: str

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's JSON; SQLite's 503 (locked, nothing was done) is tried again. Raises httpx.HTTPStatusError."""
        answer = patient.request(method, self.api + path, json=body)
        if answer.is_error:
            raise httpx.HTTPStatusError(answer.text, request=answer.request, response=answer)
        return answer.json() if answer.content else None

    def start(self, deployment: str, request: dict[str, Any], job_variables: dict[str, Any] | None = None) -> str:
        """Create a run of a deployment, to be taken at once; its id."""
        found = self.ask("GET", f"/deployments/name/{deployment}")
        body = {
            "parameters": {"request": request},
            "state": {"type": "SCHEDULED"},
            "job_variables": job_variables or {},
        }
        run = self.ask("POST", f"/deployments/{found['id']}/create_flow_run", body)
        return str(run["id"])

    def retry(self, run: str) -> None:
        """Run it again, as the UI's *Retry* does."""
        self.ask("POST", f"/flow_runs/{run}/set_state", {"state": {"type": "SCHEDULED", "name": "AwaitingRetry"}})

    def state(self, run: str) -> dict[str, Any]:
        state: dict[str, Any] = self.ask("GET", f"/flow_runs/{run}")["state"]
        return state

    def log(self, run: str) -> list[dict[str, Any]]:
        """The records of a run's log and of its tasks', oldest first."""
        query = {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC", "limit": 200}
        records: list[dict[str, Any]] = self.ask("POST", "/logs/filter", query)
        return records

    def end(self, run: str, timeout_s: float = PATIENCE_S) -> dict[str, Any]:
        """The state a run ends in."""
        self.until(lambda: self.state(run)["type"] in FINAL, timeout_s)
        return self.state(run)

    def deployments(self, name: str) -> list[dict[str, Any]]:
        """The one called FLOW/NAME, none while it is not there."""
        flow, _, deployment = name.partition("/")
        query = {"flows": {"name": {"any_": [flow]}}, "deployments": {"name": {"any_": [deployment]}}}
        found: list[dict[str, Any]] = self.ask("POST", "/deployments/filter", query)
        return found

    def runs_of(self, deployment: str) -> list[dict[str, Any]]:
        """A deployment's runs, in the order in which they were meant to start."""
        flow, _, name = deployment.partition("/")
        query = {
            "flows": {"name": {"any_": [flow]}},
            "deployments": {"name": {"any_": [name]}},
            "sort": "EXPECTED_START_TIME_ASC",
        }
        runs: list[dict[str, Any]] = self.ask("POST", "/flow_runs/filter", query)
        return runs

    def states_of(self, run: str) -> list[str]:
        """The names of all states a run had."""
        return [state["name"] for state in self.ask("GET", f"/flow_run_states/?flow_run_id={run}")]

    @staticmethod
    def until(condition: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
        """Wait; a server that does not answer is waited for."""
        for _ in looks(timeout_s):
            with suppress(httpx.TransportError):
                if condition():
                    return
        raise AssertionError("it did not come")
