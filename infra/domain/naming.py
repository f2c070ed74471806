"""The name of a source before it is read: for its run's name, and for the report of an early failure."""

from __future__ import annotations

import re
from pathlib import Path

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
