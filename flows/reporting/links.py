"""Links to more details: the commit on its forge, the image in its registry, related objects in Prefect."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from prefect_slipway.flows.reporting.artifact_keys import history_key
from prefect_slipway.flows.values.plan import SourceFacts
from prefect_slipway.infra.domain.reference import DOCKER_HUB, ImageReference

# Forges by what their host is called; GitLab's pages stand below `/-/`.
_GITLAB = re.compile(r"(^|\.)gitlab\.")
_LIKE_GITHUB = re.compile(r"(^|\.)(github|gitea|forgejo|codeberg)\.")
_SCP_LIKE = re.compile(r"(?:[^@/]+@)?([^:/]+):(?!/)(.+)")


@dataclass(frozen=True, slots=True)
class Link:
    """`what`: the destination in a word or two; `text`: shown."""

    what: str
    text: str
    url: str


def commit_link(source: SourceFacts) -> Link | None:
    """The commit's page, None if the host name does not tell the kind of forge."""
    if source.url is None or source.revision is None:
        return None
    host, path = _host_and_path(source.url)
    path = path.strip("/").removesuffix(".git")
    if _GITLAB.search(host):
        url = f"https://{host}/{path}/-/commit/{source.revision}"
    elif _LIKE_GITHUB.search(host):
        url = f"https://{host}/{path}/commit/{source.revision}"
    else:
        return None
    return Link("commit", source.revision[:12], url)


def registry_link(image: ImageReference, version: str) -> Link | None:
    """The image's page, None if the registry is not known to have one."""
    name = image.repository
    if image.registry == DOCKER_HUB:
        official = name.removeprefix("library/")
        url = f"https://hub.docker.com/{f'_/{official}' if official != name else f'r/{name}'}/tags"
    elif image.registry == "quay.io":
        url = f"https://quay.io/repository/{name}?tab=tags"
    elif image.registry in {"ghcr.io", "gcr.io"} or image.registry.endswith((".gcr.io", ".pkg.dev")):
        # These send a browser on to the package's page.
        url = f"https://{image.name}"
    else:
        return None
    return Link("registry", f"{image.name}:{version}", url)


def history_link(image: ImageReference, ui_url: str | None) -> Link | None:
    """The table of the image's versions in the Prefect UI at `ui_url`, None where that is not known."""
    if not ui_url:
        return None
    return Link("versions", image.name, f"{ui_url.rstrip('/')}/artifacts/key/{history_key(image.name)}")


def _host_and_path(url: str) -> tuple[str, str]:
    if "://" not in url and (match := _SCP_LIKE.fullmatch(url)):
        return match[1].lower(), match[2]
    parts = urlsplit(url)
    # The port of an https page is part of its address, that of ssh is not.
    port = f":{parts.port}" if parts.port and parts.scheme in {"http", "https"} else ""
    return f"{(parts.hostname or '').lower()}{port}", parts.path
