"""Additional build contexts (`--build-context NAME=…`), and their form for the frontend.

Specifiers: frontend/dockerui/namedcontext.go (moby/buildkit).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from prefect_slipway.infra.domain.errors import ContextError, InvalidOption

if TYPE_CHECKING:
    from prefect_slipway.infra.buildkit.files.oci_layout import Layout

CONTEXT_DIR = "context"
DOCKERFILE_DIR = "dockerfile"

_OCI_LAYOUT = "oci-layout://"
_URL = re.compile(r"(?:https?|git|ssh)://", re.IGNORECASE)
# util/sshutil/scpurl.go.
_SCP = re.compile(r"[a-zA-Z0-9_-]+@[a-zA-Z0-9.-]+:")


def is_image(place: str) -> bool:
    """`docker-image://REFERENCE`."""
    return place.startswith("docker-image://")


def is_layout(place: str) -> bool:
    """`oci-layout://PATH`."""
    return place.startswith(_OCI_LAYOUT)


def is_remote(place: str) -> bool:
    """Whether the daemon fetches it itself: a URL, `user@host:path` of a git server, `github.com/…`
    (dfgitutil/git_ref.go)."""
    return place.startswith("github.com/") or is_git_over_ssh(place) or _URL.match(place) is not None


def is_git_over_ssh(place: str) -> bool:
    """Whether it is a git repository that needs an SSH agent."""
    return _SCP.match(place) is not None or place.lower().startswith("ssh://")


class NamedContexts(NamedTuple):
    """Resolved contexts: attributes, directories and layouts that the daemon may read (by the ids it uses)."""

    attributes: Mapping[str, str] = MappingProxyType({})
    directories: Mapping[str, Path] = MappingProxyType({})
    layouts: Mapping[str, Layout] = MappingProxyType({})

    @classmethod
    def resolve(cls, contexts: Mapping[str, Path | str]) -> NamedContexts:
        """Raises ContextError for a directory or layout that does not exist, InvalidOption for what is neither a
        directory nor a specifier."""
        attributes: dict[str, str] = {}
        directories: dict[str, Path] = {}
        layouts: dict[str, Layout] = {}
        for name, place in contexts.items():
            if isinstance(place, Path):
                if not place.is_dir():
                    raise ContextError(f"the context {name!r}, {place}, is not a directory", action="check its path")
                # The main context and the Dockerfile have these names.
                local = f"_{name}" if name in {CONTEXT_DIR, DOCKERFILE_DIR} else name
                directories[local] = place
                attributes[f"context:{name}"] = f"local:{local}"
            elif is_layout(place):
                store, layout, digest = _layout(name, place.removeprefix(_OCI_LAYOUT))
                layouts[f"oci:{store}"] = layout
                attributes[f"context:{name}"] = f"{_OCI_LAYOUT}{store}@{digest}"
            elif is_image(place) or is_remote(place):
                attributes[f"context:{name}"] = place
            else:
                raise InvalidOption(
                    f"BuildKit does not know the context {name!r}",
                    action="name a directory, docker-image://…, oci-layout://…, or a git or HTTP URL",
                )
        return cls(attributes, directories, layouts)


def _layout(name: str, place: str) -> tuple[str, Layout, str]:
    """`PATH[:TAG][@DIGEST]`: an id for it, the layout, the digest. Without a tag it is `latest`, or the only one."""
    where, _, digest = place.partition("@")
    path, colon, tag = where.partition(":")
    # Imported late: few builds have one.
    import hashlib

    from prefect_slipway.infra.buildkit.files.oci_layout import Layout

    layout = Layout(Path(path))
    if not digest:
        tag = tag if colon else "latest"
        digest = layout.digest(tag) or ("" if colon else layout.only()) or ""
        if not digest:
            raise ContextError(f"the context {name!r}: no {tag!r} in the OCI layout {path}", action="check its path")
    if layout.size(digest) is None:
        raise ContextError(f"the context {name!r}: no {digest} in the OCI layout {path}", action="check its path")
    store = hashlib.sha256(str(layout.path.absolute()).encode(errors="surrogateescape")).hexdigest()[:25]
    return store, layout, digest


def lower_case_twin(path: Path) -> Path:
    """`dockerfile` is taken for a missing `Dockerfile` (docker always has)."""
    if path.name == "Dockerfile" and not path.is_file():
        twin = path.with_name("dockerfile")
        if twin.is_file():
            return twin
    return path
