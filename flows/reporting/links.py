"""Links to more details: the commit on its forge, the image in its registry, related objects in Prefect."""

from __future__ import annotations

from dataclasses import dataclass

from prefect_slipway.flows.reporting.artifact_keys import history_key
from prefect_slipway.flows.values.plan import SourceFacts
from prefect_slipway.infra.domain.forge import Forge
from prefect_slipway.infra.domain.reference import DOCKER_HUB, ImageReference


@dataclass(frozen=True, slots=True)
class Link:
    """`what`: the destination in a word or two; `text`: shown."""

    what: str
    text: str
    url: str


def commit_link(source: SourceFacts) -> Link | None:
    """The commit's page, None if the host name does not tell the kind of forge."""
    forge = Forge.of(source.url)
    if forge is None or source.revision is None:
        return None
    return Link("commit", source.revision[:12], forge.commit(source.revision))


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
