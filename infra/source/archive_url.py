"""What names an archive: the end of its URL's path, and its checksum."""

from __future__ import annotations

import re
from urllib.parse import unquote

from prefect_slipway.infra.domain.errors import InvalidOption

_CHECKSUM = re.compile(r"sha256:[0-9a-f]{64}")
_SUFFIXES = re.compile(r"\.(?:tar(?:\.(?:gz|xz|bz2|zst))?|tgz|txz|tbz2?|zip)$")


def check_checksum(checksum: str | None, shown: str) -> str:
    """Give `checksum` back if it is one; raises InvalidOption."""
    if checksum is None or not _CHECKSUM.fullmatch(checksum):
        what = "an archive needs its checksum" if checksum is None else f"{checksum!r} is not a checksum"
        raise InvalidOption(f"{shown}: {what}", action="add --checksum sha256:HEX with the publisher's checksum")
    return checksum


def archive_name(path: str) -> str:
    """The source's name that an archive's path shows: its last part without suffix."""
    last = unquote(path).rpartition("/")[2]
    return _SUFFIXES.sub("", last) or "source"


def is_archive(path: str) -> bool:
    """Whether the path ends like an archive's."""
    return _SUFFIXES.search(path) is not None
