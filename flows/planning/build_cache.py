"""Which registry caches a release imports and exports. A branch has a tag of its own, which nobody else writes."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping, Sequence

from prefect_slipway.flows.bake.targets import Target
from prefect_slipway.flows.planning.source import FetchedSource
from prefect_slipway.flows.run.open_run import OpenRun
from prefect_slipway.flows.values.plan import PlannedCache
from prefect_slipway.infra.domain.errors import SlipwayError
from prefect_slipway.infra.source.branch import branch_of

TAG = "buildcache"
"""All tags of caches begin with it; no version does."""

_LONGEST_TAG = 128
_LONGEST_PART = 32
_HASHED = re.compile(r".*-[0-9a-f]{16}")

logger = logging.getLogger(__name__)


async def plan_caches(run: OpenRun, source: FetchedSource) -> Mapping[str, PlannedCache]:
    """The caches by target; a target without one is missing."""
    wanted = [target for target in source.targets.targets.values() if _is_on(run, target)]
    if not wanted:
        return {}
    branch = await _branch(run, source)
    repository = run.request.cache.repository
    found = {}
    for target in wanted:
        place = repository or source.images[target.name].name
        # Several targets may share a repository: with one for all, or as a base that goes beside its heir.
        shared = place == repository and len(source.targets.targets) > 1
        owner = target.name if shared or target.name not in source.targets.wanted else ""
        default = f"{place}:{cache_tag(owner)}"
        own = f"{place}:{cache_tag(owner, branch)}" if branch is not None else None
        found[target.name] = PlannedCache(tuple(dict.fromkeys((own or default, default))), own)
    return found


def cache_tag(target: str = "", branch: str = "") -> str:
    """The tag of a branch's cache, "" for the default branch; with `target` of one that shares its repository.

    Different names give different tags, so that no branch can write another's: the part of the target has no dot, and a
    name that is not kept as it is ends in a hash, as does each that looks as if it did.
    """
    start = f"{TAG}.{_part(target, 60, r'[^a-zA-Z0-9_-]')}" if target else TAG
    divider = "." if target else "-"
    return f"{start}{divider}{_part(branch, _LONGEST_TAG - _LONGEST_PART - len(start) - 1)}" if branch else start


def cache_of(reference: str, platforms: Sequence[str]) -> str:
    """The cache beside `reference` of a node that builds these platforms alone; `reference` if there are none."""
    if not platforms:
        return reference
    place, _, tag = reference.rpartition(":")
    part = _part("-".join(platforms).replace("/", "-"), _LONGEST_PART - 1)
    return f"{place}:{TAG}_{part}{tag.removeprefix(TAG)}"


def _part(name: str, longest: int, illegal: str = r"[^a-zA-Z0-9._-]") -> str:
    """`name` in the grammar of tags (OCI distribution specification, "Pulling manifests")."""
    legal = re.sub(illegal, "-", name)
    if legal == name and len(name) <= longest and not _HASHED.fullmatch(name):
        return name
    return f"{legal[: longest - 17]}-{hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest()[:16]}"


def _is_on(run: OpenRun, target: Target) -> bool:
    mode = run.request.cache.mode
    if mode != "auto":
        return mode == "on"
    return run.builder.is_of_this_run and not (target.cache_from or target.cache_to)


async def _branch(run: OpenRun, source: FetchedSource) -> str | None:
    try:
        return await branch_of(source.checkout, run.request.version.git_remote or "origin", run.git_credentials())
    except SlipwayError as error:
        # Without it there is still the default branch's cache to read.
        logger.warning("the branch is not known, so no build cache is exported: %s", error.cause)
        return None
