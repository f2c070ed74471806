"""The Grafana dashboard: each of its queries, in a real Prometheus that scrapes `slipway metrics` after releases."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from prefect_slipway.flows.registration.files import SHIPPED
from tests import patient
from tests.docs.metrics_page import rendered
from tests.integration.watched.test_metrics import Exporter
from tests.ports import free_port
from tests.releases import DOCKERFILE, complaint, make_source, result_of, run_line
from tests.waiting import PATIENCE_S, wait_until
from tests.warm import WarmStarter

DASHBOARD = json.loads((SHIPPED / "grafana" / "slipway.json").read_text())
QUERIES = [(panel, target["expr"]) for panel in DASHBOARD["panels"] for target in panel["targets"]]
# Where each metric's labels are told: the page is generated from the exporter itself.
LABELS = {
    name: set(re.findall(r"`(\w+)`", labels))
    for name, labels in re.findall(r"^\| `(slipway_\w+)` \| \w+ \| ([^|]*)\|", rendered(), re.MULTILINE)
}


def test_each_query_names_what_is_exported() -> None:
    """Metrics and labels; what a panel's legend and the list of images name as well."""
    variables = [variable["query"] for variable in DASHBOARD["templating"]["list"] if variable["type"] == "query"]
    legends = [target["legendFormat"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    used = set()
    for (_, expression), legend in zip(QUERIES, legends, strict=True):
        names = {re.sub(r"_(bucket|count|sum)$", "", name) for name in re.findall(r"slipway_\w+", expression)}
        assert names and names <= LABELS.keys(), expression
        used |= names
        known = set().union(*(LABELS[name] for name in names)) | {"le"}
        grouped = [label.strip() for group in re.findall(r"\bby \(([^)]*)\)", expression) for label in group.split(",")]
        matched = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", expression)
        assert {*grouped, *matched, *re.findall(r"{{(\w+)}}", legend)} <= known, expression
    assert variables == ["label_values(slipway_releases_total, image)"]
    assert used == LABELS.keys(), "a metric is on no panel"


def test_the_command_prints_it(commands: WarmStarter) -> None:
    """As it is imported, from the installed package, without a server."""
    printed = commands.run("metrics", "--grafana", env={"PREFECT_API_URL": "http://127.0.0.1:9/api"})
    assert (printed.code, json.loads(printed.stdout)) == (0, DASHBOARD)


def test_no_two_panels_overlap() -> None:
    """In Grafana's 24 columns, each with a title and a sentence of its own."""
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        where = panel["gridPos"]
        cells = {(where["x"] + x, where["y"] + y) for x in range(where["w"]) for y in range(where["h"])}
        assert not cells & taken and max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
        assert panel["title"] and panel["description"].endswith(".")
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[str]:
    """Debian's, scraping `target`; its address."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("there is no prometheus on PATH")
    folder.mkdir()
    scrape = {"job_name": "slipway", "static_configs": [{"targets": [target]}]}
    settings = {"global": {"scrape_interval": "1s"}, "scrape_configs": [scrape]}
    (folder / "prometheus.yml").write_text(json.dumps(settings))
    address = f"127.0.0.1:{free_port()}"
    options = (
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
    )
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([program, *options], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield f"http://{address}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)


def asked(address: str, expression: str) -> list[dict[str, Any]]:
    """The samples that a query gives, as Grafana would ask it; fails for one that Prometheus does not understand."""
    for variable, value in (("$__range", "1h"), ("$__interval", "1m"), ("$image", ".*")):
        expression = expression.replace(variable, value)
    assert "$" not in expression
    answer = patient.get(f"{address}/api/v1/query", params={"query": expression})
    assert answer.status_code == 200, answer.text
    samples: list[dict[str, Any]] = answer.json()["data"]["result"]
    return samples


def test_each_panel_shows_what_happened(commands: WarmStarter, tmp_path: Path) -> None:
    """After a release and a failure each query has data, down to a counter's first event; the panels that need a deploy
    say that they are empty until then."""
    good, bad = make_source(tmp_path / "drawn"), make_source(tmp_path / "undrawn", DOCKERFILE + run_line("exit 3"))
    exporter = Exporter(commands, tmp_path / "state.json")
    with prometheus(tmp_path / "prometheus", exporter.address) as address:
        result = result_of(commands.run("release", good, "--format", "json"))
        complaint(commands.run("release", bad))
        failed = f'slipway_releases_total{{image="{result["image"].replace("drawn", "undrawn")}",outcome="failed"}}'
        released = f'slipway_releases_total{{image="{result["image"]}",outcome="released"}}'
        wait_until(lambda: asked(address, failed) and asked(address, released))
        empty = set()
        for panel, expression in QUERIES:
            samples = asked(address, expression)
            if not samples:
                empty.add(panel["title"])
                assert panel["description"].endswith("Empty until the first one."), panel["title"]
        assert empty == {"Deploys", "Change failure rate", "Deploys by outcome"}
        by_title = {panel["title"]: asked(address, expression) for panel, expression in QUERIES}
        assert float(by_title["Releases"][0]["value"][1]) >= 1
        assert {"cause": "StepFailed"} in [sample["metric"] for sample in by_title["Failures by cause"]]
        assert {"image": result["image"]} in [sample["metric"] for sample in by_title["Releases by image"]]
        assert float(by_title["Prefect server"][0]["value"][1]) == 1
    exporter.end()
