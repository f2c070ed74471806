"""A server that does not answer: the relay knows in time, so that it can answer the forge."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from prefect.client.orchestration import PrefectClient

from prefect_slipway.flows.relay.dispatch import TRIGGER_TAG, dispatch
from prefect_slipway.flows.relay.push import Push
from prefect_slipway.flows.reporting.origin import trigger
from prefect_slipway.infra.domain.errors import PrefectUnreachable
from tests.ports import free_port

PUSH = Push("github", "d", "team/app", "refs/heads/main", "b" * 40, "a" * 40)


async def test_a_server_that_is_silent() -> None:
    """It is given up, long before the forge gives the relay up."""
    closing = asyncio.Event()

    async def keep_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await closing.wait()
        writer.close()

    async with await asyncio.start_server(keep_silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with PrefectClient(f"http://127.0.0.1:{port}/api") as client:
            with pytest.raises(PrefectUnreachable, match=r"did not answer within 0\.1 s"):
                await dispatch(client, PUSH, "github", [], patience_s=0.1)
        closing.set()


async def test_no_server_at_all() -> None:
    """A refused connection is known at once."""
    async with PrefectClient(f"http://127.0.0.1:{free_port()}/api") as client:
        with pytest.raises(PrefectUnreachable, match="does not answer"):
            await dispatch(client, PUSH, "github", [])


async def test_a_reservation_is_not_told_to_anybody() -> None:
    """No server is asked for a push below refs/slipway/."""
    push = Push("github", "d", "team/app", "refs/slipway/v1.0.0", None, "a" * 40)
    async with PrefectClient(f"http://127.0.0.1:{free_port()}/api") as client:
        assert await dispatch(client, push, "github", []) == []


def test_a_release_knows_that_a_push_started_it() -> None:
    """The run's tag is what its history names as the trigger."""
    from prefect.client.schemas.objects import FlowRun

    run = FlowRun(flow_id=uuid4(), tags=["slipway", TRIGGER_TAG])
    assert trigger(run, "example", None) == "push"
