"""Events: who is told, and that nobody being there to be told is no trouble."""

from __future__ import annotations

import logging

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from prefect_slipway.flows.reporting.events import IMAGE_RELEASED, announce, resource_id
from prefect_slipway.flows.steps.announce import cause_of
from prefect_slipway.infra.domain.errors import BuilderLost
from tests.ports import free_port


def test_a_resource_is_named_after_its_subject() -> None:
    """As automations match it."""
    assert resource_id("r.example/team/app") == "slipway.image/r.example/team/app"
    assert resource_id("builds", "namespace") == "slipway.namespace/builds"


async def test_without_a_server_nobody_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Outside of a run no server is started for it; the log says so."""
    with temporary_settings(restore_defaults={PREFECT_API_URL}), caplog.at_level(logging.WARNING):
        assert not await announce(IMAGE_RELEASED, "r.example/app", {})
    assert "slipway.image.released of r.example/app: no Prefect server" in caplog.text


async def test_a_server_that_is_away_is_a_warning(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has happened is not undone by an event that cannot be sent."""
    monkeypatch.setattr("prefect_slipway.flows.reporting.events._PATIENCE_S", 0.5)
    settings = {PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"}
    with temporary_settings(settings), caplog.at_level(logging.WARNING):
        assert not await announce(IMAGE_RELEASED, "r.example/app", {})
    assert "could not be announced" in caplog.text


def test_a_cause_is_a_name() -> None:
    """Never a text, in which something might be that belongs into no event."""
    assert cause_of(BuilderLost("the daemon at tcp://b.example went away")) == "BuilderLost"
    assert cause_of(ValueError("a bug")) == "ValueError"
    assert cause_of(KeyboardInterrupt()) == "Interrupted"
