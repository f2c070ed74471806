"""What images must have: requirements of a request, and saved policies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prefect_slipway.flows.request.requirements import Requirements
from prefect_slipway.flows.run.saved_blocks import block_name, load
from prefect_slipway.infra.domain.errors import InvalidOption

if TYPE_CHECKING:
    from prefect_slipway.blocks.policy import Policy

_PAGE = 100


@dataclass(frozen=True, slots=True)
class Place:
    """A namespace of a cluster. `server`: its API server's address."""

    server: str
    namespace: str
    in_cluster: bool


@dataclass(frozen=True, slots=True)
class Required:
    """`policy`: the saved policy's name, None for a request's own requirements."""

    requirements: Requirements
    policy: str | None = None

    def lines(self) -> list[str]:
        """For people."""
        by = f" (policy {self.policy})" if self.policy is not None else ""
        return [f"{line}{by}" for line in self.requirements.lines()]


async def required_of(texts: Sequence[str], places: Iterable[Place] = ()) -> tuple[Required, ...]:
    """What `--require` asks for, and the saved policies for these places; each holds on its own.

    Raises InvalidOption, also for requirements without a key, and PrefectErrors.
    """
    from prefect_slipway.blocks import Policy

    named = [name for text in texts if (name := block_name(text)) is not None]
    own = Requirements.of_terms(text for text in texts if block_name(text) is None)
    if own.lines() and not own.trusted_keys:
        raise InvalidOption(
            f"nobody is trusted to have signed: {', '.join(own.lines())}",
            action="add a key: --require vault:MOUNT/KEY, or --require FILE",
        )
    policies = {name: await load(Policy, name) for name in named}
    if where := list(places):
        for name, policy in (await _saved()).items():
            if any(policy.covers(each.server, each.namespace, in_cluster=each.in_cluster) for each in where):
                policies[name] = policy
    found = [Required(Requirements.read(policy.request_fields()), name) for name, policy in policies.items()]
    return (*([Required(own)] if own.trusted_keys else []), *found)


async def _saved() -> dict[str, Policy]:
    """All saved policies by their names. Raises PrefectErrors, and InvalidOption for one that cannot be read: what it
    requires is not known, so nothing goes past it."""
    from pydantic import ValidationError

    from prefect_slipway.blocks import Policy
    from prefect_slipway.flows.server.errors import prefect_client, prefect_errors
    from prefect_slipway.infra.domain.errors import PrefectNotFound

    found: dict[str, Policy] = {}
    async with prefect_client() as client:
        while True:
            try:
                with prefect_errors():
                    page = await client.read_block_documents_by_type(
                        Policy.get_block_type_slug(), offset=len(found), limit=_PAGE, include_secrets=False
                    )
            except PrefectNotFound:
                return {}  # the block type was never registered
            for each in page:
                try:
                    found[str(each.name)] = Policy.model_validate(each.data)
                except ValidationError as error:
                    raise InvalidOption(
                        f"the saved policy {each.name!r} cannot be read", action="save it again in the UI under Blocks"
                    ) from error
            if len(page) < _PAGE:
                return found
