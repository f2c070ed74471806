"""Values that the shell completes: each asks for a moment, and has no answer where nobody answers."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

Values = Callable[..., Sequence[str]]

_LONGEST_S = 3.0
_MOST = 200
_TAKE_NAMES = {"history", "inspect", "verify", "rebuild"}


def with_completers(parser: argparse.ArgumentParser) -> None:
    """Add to each argument what completes its value, by the argument's name."""
    for action in parser._actions:
        if (values := _VALUES.get(action.dest.rpartition(".")[2])) is not None:
            action.completer = values  # type: ignore[attr-defined]


def contexts(**_: object) -> Sequence[str]:
    """Of the kubeconfig."""

    async def ask() -> Sequence[str]:
        from prefect_slipway.infra.kubernetes.access.kubeconfig import context_names

        return context_names(os.environ)

    return _answer(ask)


def namespaces(*, parsed_args: argparse.Namespace, **_: object) -> Sequence[str]:
    """Of the cluster."""

    # The option is one of a request's section in some commands.
    given = {name.rpartition(".")[2]: value for name, value in vars(parsed_args).items()}

    async def ask() -> Sequence[str]:
        from prefect_slipway.flows.run.cluster import open_api
        from prefect_slipway.infra.kubernetes.access.kinds import NAMESPACE, name_of

        async with open_api(given.get("context"), None) as api:
            return [name_of(each) for each in await api.find(NAMESPACE)]

    return _answer(ask)


def blocks(**_: object) -> Sequence[str]:
    """Saved blocks of Slipway's."""

    async def ask(client: PrefectClient) -> Sequence[str]:
        found = await client.read_block_documents(limit=_MOST)
        return [
            f"block:{each.name}"
            for each in found
            if each.name and each.block_type is not None and each.block_type.slug.startswith("slipway")
        ]

    return _asked_of_prefect(ask)


def deployments(**_: object) -> Sequence[str]:
    """FLOW/NAME each."""

    async def ask(client: PrefectClient) -> Sequence[str]:
        found = await client.read_deployments(limit=_MOST)
        flows = {flow.id: flow.name for flow in await client.read_flows(limit=_MOST)}
        return [f"{flows[each.flow_id]}/{each.name}" for each in found if each.flow_id in flows]

    return _asked_of_prefect(ask)


def waiting_runs(**_: object) -> Sequence[str]:
    """Runs that wait for an approval, by name."""

    async def ask(client: PrefectClient) -> Sequence[str]:
        from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
        from prefect.client.schemas.objects import StateType

        state = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PAUSED]))
        found = await client.read_flow_runs(flow_run_filter=FlowRunFilter(state=state), limit=_MOST)
        return [each.name for each in found]

    return _asked_of_prefect(ask)


def images(*, parser: argparse.ArgumentParser, prefix: str = "", **_: object) -> Sequence[str]:
    """Released images, and after `IMAGE:` its versions. Some commands take those of the embedded registry by a name
    alone."""

    async def ask(client: PrefectClient) -> Sequence[str]:
        from prefect_slipway.flows.cli.builder_address import embedded_stack
        from prefect_slipway.flows.reporting.history import images_with_history, read_history

        name, colon, _version = prefix.rpartition(":")
        known = {each: each for each in await images_with_history(client)}
        if parser.prog.split()[-1] in _TAKE_NAMES and (stack := embedded_stack()) is not None:
            known |= {each.removeprefix(f"{stack.registry}/"): each for each in known if each.count("/") == 1}
        if colon and name in known:
            return [f"{name}:{row.version}" for row in await read_history(client, known[name])]
        return list(known)

    return _asked_of_prefect(ask)


def _asked_of_prefect(ask: Callable[[PrefectClient], Coroutine[Any, Any, Sequence[str]]]) -> Sequence[str]:
    async def asked() -> Sequence[str]:
        from prefect_slipway.flows.server.errors import prefect_client

        async with prefect_client() as client:
            return await ask(client)

    def configured() -> Coroutine[Any, Any, Sequence[str]]:
        from prefect_slipway.flows.cli.prefect_settings import use_prefect_server

        use_prefect_server()
        return asked()

    return _answer(configured)


def _answer(ask: Callable[[], Coroutine[Any, Any, Sequence[str]]]) -> Sequence[str]:
    async def in_time() -> Sequence[str]:
        async with asyncio.timeout(_LONGEST_S):
            return await ask()

    try:
        return asyncio.run(in_time())
    except Exception:  # Tab has no place for an error
        return ()


_VALUES: dict[str, Values] = {
    "context": contexts,
    "namespace": namespaces,
    "vault": blocks,
    "credentials": blocks,
    "registries": blocks,
    "deployment": deployments,
    "deployments": deployments,
    "run": waiting_runs,
    "image": images,
    "reference": images,
}
