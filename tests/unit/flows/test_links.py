"""Links of a run: to the commit on its forge and to the image in its registry."""

import pytest

from prefect_slipway.flows.reporting.artifact_keys import history_key
from prefect_slipway.flows.reporting.links import commit_link, history_link, registry_link
from prefect_slipway.flows.values.plan import SourceFacts
from prefect_slipway.infra.domain.reference import ImageReference

REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("url", "page"),
    [
        ("https://github.com/team/app.git", "https://github.com/team/app/commit/"),
        ("https://github.com/team/app", "https://github.com/team/app/commit/"),
        ("git@github.com:team/app.git", "https://github.com/team/app/commit/"),
        ("ssh://git@github.com:22/team/app.git", "https://github.com/team/app/commit/"),
        ("https://github.example.com:8443/team/app", "https://github.example.com:8443/team/app/commit/"),
        ("https://gitlab.com/group/sub/app.git", "https://gitlab.com/group/sub/app/-/commit/"),
        ("https://gitlab.example.org/app", "https://gitlab.example.org/app/-/commit/"),
        ("https://gitea.example.org/team/app.git", "https://gitea.example.org/team/app/commit/"),
        ("https://codeberg.org/team/app", "https://codeberg.org/team/app/commit/"),
    ],
)
def test_a_commit_has_its_page_at_the_known_forges(url: str, page: str) -> None:
    """Whatever way the repository is addressed, the page is an https one."""
    link = commit_link(SourceFacts("app", "/src", "f", revision=REVISION, url=url))
    assert link is not None
    assert link.url == page + REVISION


@pytest.mark.parametrize("url", [None, "https://git.example.com/team/app.git", "/srv/git/app.git", "notgithub.com/a"])
def test_no_page_is_made_up(url: str | None) -> None:
    """A server whose kind cannot be told gets no link that may lead nowhere."""
    assert commit_link(SourceFacts("app", "/src", "f", revision=REVISION, url=url)) is None


def test_without_a_revision_there_is_no_commit_to_show() -> None:
    """An archive from a forge is no commit."""
    assert commit_link(SourceFacts("app", "/src", "f", url="https://github.com/team/app")) is None


@pytest.mark.parametrize(
    ("image", "page"),
    [
        ("nginx", "https://hub.docker.com/_/nginx/tags"),
        ("team/app", "https://hub.docker.com/r/team/app/tags"),
        ("ghcr.io/team/app", "https://ghcr.io/team/app"),
        ("quay.io/team/app", "https://quay.io/repository/team/app?tab=tags"),
        ("europe-docker.pkg.dev/p/r/app", "https://europe-docker.pkg.dev/p/r/app"),
        ("registry.example.com/app", None),
        ("127.0.0.1:5000/app", None),
    ],
)
def test_an_image_has_its_page_at_the_known_registries(image: str, page: str | None) -> None:
    """Elsewhere there is none: the distribution API asks a browser for a password, and has no page."""
    link = registry_link(ImageReference.parse(image), "1.2.3")
    assert (link.url if link is not None else None) == page


def test_an_image_has_its_versions_in_prefects_ui() -> None:
    """Where the UI is known."""
    image = ImageReference.parse("127.0.0.1:5000/app")
    link = history_link(image, "http://127.0.0.1:4200/")
    assert link is not None
    assert link.url == f"http://127.0.0.1:4200/artifacts/key/{history_key(image.name)}"
    assert history_link(image, None) is None
