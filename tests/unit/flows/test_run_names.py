"""What runs are called from their first moment: by flow and request, so that no two things look the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from prefect_slipway.flows.check_bases import check_bases
from prefect_slipway.flows.deploy import deploy
from prefect_slipway.flows.promote import promote
from prefect_slipway.flows.release import release
from prefect_slipway.flows.rollback import rollback
from prefect_slipway.flows.run.recorded_parameters import request_models, run_name
from prefect_slipway.flows.sweep import sweep

DIGEST = f"sha256:{'0a' * 32}"
PLACE = {"workload": "deployment/app"}
DEV, LIVE = ({"name": name, "workload": "deployment/app", "namespace": name} for name in ("dev", "live"))


@pytest.mark.parametrize(
    ("flow", "request_", "name"),
    [
        (release, {}, "release shop"),
        (release, {"checkout": {"path": "services/web"}}, "release web"),
        (release, {"source": "https://git.example.com/team/app.git"}, "release app"),
        (release, {"image": "r.example/team/app"}, "release team/app"),
        (release, {"image": "r.example/other/app"}, "release other/app"),
        (release, {"version": {"exact": "1.2.3"}}, "release shop 1.2.3"),
        (release, {"bake": {}}, "release set shop"),
        (deploy, {**PLACE, "reference": "r.example/app:1.0.0"}, "deploy app:1.0.0 to deployment/app"),
        (
            deploy,
            {**PLACE, "reference": "r.example/app", "version": "1.0.0", "namespace": "dev", "context": "east"},
            "deploy app 1.0.0 to dev/deployment/app of east",
        ),
        (
            deploy,
            {**PLACE, "reference": f"r.example/app@{DIGEST}", "container": "web"},
            "deploy app@sha256:0a0a0a0a0a0a to deployment/app (web)",
        ),
        (rollback, {**PLACE, "namespace": "dev"}, "roll back dev/deployment/app to previous"),
        (promote, {"environments": [DEV, LIVE]}, "promote dev/deployment/app: dev → live"),
        (promote, {"environments": [DEV, LIVE], "reference": "r.example/app:1.0.0"}, "promote app:1.0.0: dev → live"),
        (
            check_bases,
            {"applications": [{"deployment": "release/one"}, {"deployment": "release/two"}]},
            "check bases of release/one, release/two",
        ),
        (sweep, {}, "sweep the current namespace"),
        (sweep, {"namespace": "runs", "context": "east"}, "sweep namespace runs of east"),
    ],
)
def test_a_run_is_named_by_what_it_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flow: Any, request_: dict[str, Any], name: str
) -> None:
    """The flow's word first; `.` is the directory's name; teams, places and clusters tell the same names apart."""
    (tmp_path / "shop").mkdir()
    monkeypatch.chdir(tmp_path / "shop")
    assert run_name(request_models(flow.fn), {"request": request_}) == name


@pytest.mark.parametrize("parameters", [{}, {"request": None}, {"request": {"source": 1}}, {"request": {"nosuch": 1}}])
def test_what_cannot_be_read_names_nothing(parameters: dict[str, Any]) -> None:
    """The server then gives a name of its own."""
    assert run_name(request_models(release.fn), parameters) is None
