"""What a builder is told of the trace: the bytes that go to a real one, kept on their way."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from tests.conftest import RunningStack
from tests.contract.buildkit.relay import Relay
from tests.contract.buildkit.spoken import calls
from tests.integration.watched.collector import collecting
from tests.releases import BASE, make_source, result_of
from tests.warm import WarmStarter

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SOLVE = "/moby.buildkit.v1.Control/Solve"


async def calls_of_a_release(
    commands: WarmStarter, stack: RunningStack, source: Path, env: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """The fields of each call that a release makes of its builder, by the call's path."""
    engine = Path(stack.connection.builder.removeprefix("docker://"))
    async with Relay(engine, keep=True) as relay:
        options = ("--builder", relay.address, "--format", "json")
        ended = await asyncio.to_thread(commands.run, "release", source, *options, env=env)
        assert result_of(ended)["released"]
        return {fields[":path"]: fields for said in relay.said for fields in calls(bytes(said))}


async def test_the_builder_is_told_the_build_span(commands: WarmStarter, stack: RunningStack, tmp_path: Path) -> None:
    """Solve, and no other call, carries the traceparent of the very span that the collector gets for the build."""
    with collecting() as collector:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "TRACEPARENT": f"00-{TRACE}-{CALLER}-01"}
        called = await calls_of_a_release(commands, stack, make_source(tmp_path / "wired", BASE), env)
    build = collector.named("build and push")
    assert called[SOLVE]["traceparent"] == f"00-{TRACE}-{build.span_id.hex()}-01"
    assert [path for path, fields in called.items() if "traceparent" in fields] == [SOLVE]


async def test_without_telemetry_the_builder_is_told_nothing(
    commands: WarmStarter, stack: RunningStack, tmp_path: Path
) -> None:
    """A caller's TRACEPARENT alone turns nothing on."""
    env = {"TRACEPARENT": f"00-{TRACE}-{CALLER}-01"}
    called = await calls_of_a_release(commands, stack, make_source(tmp_path / "unwired", BASE), env)
    assert SOLVE in called
    assert not [name for fields in called.values() for name in fields if name.startswith("trace")]
