"""Secrets that reach a flow otherwise than by its command: as plain values from another flow, or by a saved block."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any, cast

import pytest

from prefect_slipway.blocks import Source
from prefect_slipway.flows.release import release
from prefect_slipway.infra.domain.errors import InvalidOption
from tests import patient
from tests.conftest import RunningStack
from tests.integration.release.conftest import Release


def runs(stack: RunningStack) -> list[dict[str, Any]]:
    answer = patient.post(f"{stack.connection.prefect_api_url}/flow_runs/filter", json={})
    found: list[dict[str, Any]] = answer.raise_for_status().json()
    return found


async def test_a_flow_that_is_called_with_plain_values_refuses_them_first(
    run_release: Release, source: Path, stack: RunningStack
) -> None:
    """Prefect records a run's parameters before it validates them; here nothing is recorded."""
    await run_release(source=str(source))
    before = len(runs(stack))
    token = secrets.token_hex(16)
    several: dict[str, object] = {"bake": {}}
    for more in ({}, several):
        with pytest.raises(InvalidOption) as caught:
            await cast(Any, release)(request={"source": f"https://{token}@git.example.com/app.git", **more})
        assert token not in str(caught.value)
    assert len(runs(stack)) == before


async def test_a_saved_source_with_a_secret_is_refused(run_release: Release, stack: RunningStack) -> None:
    """The UI's form for blocks takes anything: the run that uses it refuses it, and repeats it nowhere."""
    name, token = f"s{secrets.token_hex(4)}", secrets.token_hex(16)
    with pytest.raises(InvalidOption, match="the source contains a user name"):
        Source(source=f"https://{token}@git.example.com/app.git")
    identity = await Source(source="https://git.example.com/app.git").save(name)
    answer = patient.patch(
        f"{stack.connection.prefect_api_url}/block_documents/{identity}",
        json={"data": {"source": f"https://{token}@git.example.com/app.git"}},
        trust_env=False,
    )
    assert answer.status_code == 204, answer.text
    with pytest.raises(InvalidOption, match="the source contains a user name") as caught:
        await run_release(source=f"block:{name}")
    assert token not in str(caught.value)
    assert token not in str(runs(stack))
