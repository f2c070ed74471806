"""Which release on a forge goes with a version."""

from __future__ import annotations

from collections.abc import Sequence

from prefect_slipway.flows.request.forge import ForgeChoice
from prefect_slipway.flows.values.forge import PlannedForge
from prefect_slipway.flows.values.plan import SourceFacts
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.forge_place import ForgePlace
from prefect_slipway.infra.domain.ledger import Released, VersionLedger
from prefect_slipway.infra.domain.version import Version
from prefect_slipway.infra.source.ledger import GitLedger


def plan_forge(
    choice: ForgeChoice,
    source: SourceFacts,
    ledger: VersionLedger,
    version: Version | None,
    released: Sequence[Released],
) -> PlannedForge | None:
    """None where no forge was asked for, or there is no version. Raises InvalidOption."""
    if choice.token is None or version is None:
        return None
    if not isinstance(ledger, GitLedger):
        raise InvalidOption(
            "a release on a forge belongs to a git tag, but the versions of this source are in the registry",
            action="release a git repository (--tag-prefix for a directory in it), or remove --forge-token",
        )
    known = {each.version: each.revision for each in released}
    return PlannedForge(
        ForgePlace.of(choice.kind, choice.url, choice.repository, source.url),
        ledger.tag_name(version),
        str(version),
        known.get(version) or ledger.revision,
        latest=not version.prerelease and all(version >= each for each in known if not each.prerelease),
    )
