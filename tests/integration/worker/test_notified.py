"""A release that really fails is said to people by the automation that is shipped for it."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from tests.conftest import RunningStack, run_slipway
from tests.integration.worker.conftest import worker
from tests.integration.worker.receiver import notifying
from tests.prefect_server import PrefectServer
from tests.releases import DOCKERFILE, make_source, registry_login, run_line


@pytest.mark.usefixtures("registered")
def test_a_failed_release_is_said_with_its_cause(stack: RunningStack, server: PrefectServer, tmp_path: Path) -> None:
    """Once: image and version, the cause with the step's exit code and last lines, the run's page, no credential; of
    the release before, which went well, nothing is said."""
    good = make_source(tmp_path / f"good-{uuid.uuid4().hex[:8]}")
    bad = make_source(
        tmp_path / f"bad-{uuid.uuid4().hex[:8]}", DOCKERFILE + run_line('echo "the \\"real\\" reason"; exit 7')
    )
    samples = run_slipway("deploy-flows", "--only", "automations", "--samples", env=stack.env)
    assert samples.returncode == 0, samples.stderr
    with worker(stack.env, tmp_path / "worker"), notifying(server) as heard:
        released = server.start("release/any-source", {"source": str(good)})
        assert server.end(released)["type"] == "COMPLETED", server.state(released)
        failed = server.start("release/any-source", {"source": str(bad)})
        assert server.end(failed)["type"] == "FAILED", server.state(failed)
        server.until(lambda: bool(heard.said))
    (said,) = heard.said
    assert said["subject"] == f"release {bad.name} 0.1.0: Failed"
    message = server.state(failed)["message"]
    for told in ("StepFailed", "exit code 7", 'the "real" reason', message):
        assert told in said["text"]
    assert f"{stack.connection.prefect_ui_url}/runs/flow-run/{failed}" in said["text"]
    for secret in registry_login(stack.connection):
        assert secret not in str(said)
