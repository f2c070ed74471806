"""What runs are called: by their source before it is read, by image and workload, so that no two look the same."""

from __future__ import annotations

import re
from pathlib import Path

RELEASE_FILE = "slipway.toml"
"""In the source: what its release needs."""

_ARCHIVE = re.compile(r"\.(?:tar(?:\.[a-z0-9]+)?|t[a-z]z2?|zip)$")


def source_name(text: str, path: str = "") -> str:
    """The last part of the directory, repository or archive that `text` names; `path` leads into it.

    Nothing of a URL's user, query or fragment is in it.
    """
    if path.strip("/"):
        return Path(path).name
    if text.startswith("block:"):
        return text.removeprefix("block:")
    if "://" in text:
        where = re.split(r"[?#]", text.partition("://")[2])[0].partition("/")[2]
    elif re.match(r"[^/]+@[^/]+:", text):
        where = text.partition(":")[2]
    else:
        try:
            return Path(text).resolve().name or "source"
        except (OSError, ValueError, RuntimeError):  # no such path can be; whoever opens it says why
            return "source"
    last = where.rstrip("/").removesuffix("/.git").rpartition("/")[2].removesuffix(".git")
    return _ARCHIVE.sub("", last) or "source"


def source_place(text: str) -> str:
    """A source among all others: a directory by its whole path, because each one is `.` to whoever stands in it."""
    if "://" in text or re.match(r"block:|[^/]+@[^/]+:|vault:", text):
        return text
    try:
        return str(Path(text).resolve())
    except (OSError, ValueError, RuntimeError):
        return text


def image_title(reference: str) -> str:
    """An image without its registry: `team/app`, `team/app:1.2.0`, or `team/app@` and the digest's first characters.

    Raises InvalidReference.
    """
    # Imported late, so that `slipway bake --print` starts fast.
    from prefect_slipway.infra.domain.reference import ImageReference

    image = ImageReference.parse(reference)
    tag = f":{image.tag}" if image.tag else ""
    return f"{image.repository}{tag}" + (f"@{image.digest[:19]}" if image.digest and not tag else "")


def place_title(
    workload: str, namespace: str | None = None, context: str | None = None, container: str | None = None
) -> str:
    """A workload among all others: `shop/deployment/app`, then its container and cluster as far as they are given."""
    place = f"{namespace}/{workload}" if namespace else workload
    return place + (f" ({container})" if container else "") + (f" of {context}" if context else "")
