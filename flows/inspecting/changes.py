"""What changed from one version of an image to the next."""

from __future__ import annotations

import re
import shlex

from prefect_slipway.flows.inspecting.values import Change, Comparison, InspectedImage, Platform
from prefect_slipway.infra.domain.labels import OCI_REVISION

# Enough of a commit's id to find it, and to fit a line.
_COMMIT = re.compile(r"^([0-9a-f]{12})[0-9a-f]{28}(?:[0-9a-f]{24})?$")


def compared(image: InspectedImage, before: InspectedImage) -> Comparison:
    """Each platform that both have is compared with itself."""
    now = {each.platform: each for each in image.platforms}
    then = {each.platform: each for each in before.platforms}
    return Comparison(
        version=before.version or "",
        digest=before.digest,
        changes=tuple(_change(now[name], then[name]) for name in now if name in then),
        platforms_added=tuple(name for name in now if name not in then),
        platforms_removed=tuple(name for name in then if name not in now),
        commits=_commits(image, before),
    )


def _change(now: Platform, then: Platform) -> Change:
    had, has = {each.digest for each in then.layers}, {each.digest for each in now.layers}
    added = removed = None
    if now.packages is not None and then.packages is not None:
        added, removed = sorted(now.packages - then.packages), sorted(then.packages - now.packages)
    return Change(
        platform=now.platform,
        size=now.size - then.size,
        added=tuple(each for each in now.layers if each.digest not in had),
        removed=tuple(each for each in then.layers if each.digest not in has),
        packages_added=tuple(added) if added is not None else None,
        packages_removed=tuple(removed) if removed is not None else None,
    )


def _commits(image: InspectedImage, before: InspectedImage) -> str:
    """The registry does not have them; the source does."""
    ends = [
        _COMMIT.sub(r"\1", each.platforms[0].labels.get(OCI_REVISION, "")) if each.platforms else ""
        for each in (before, image)
    ]
    return f"git log --oneline {shlex.quote('..'.join(ends))}" if all(ends) and ends[0] != ends[1] else ""
