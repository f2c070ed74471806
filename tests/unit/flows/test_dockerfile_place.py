"""A release reads its Dockerfile in the source and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.run.sources import dockerfile_of
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.source.checkout import Checkout


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A part of a repository."""
    context = tmp_path / "repository" / "app"
    context.mkdir(parents=True)
    (tmp_path / "outside").write_text("root:x:0:0")
    return Checkout(context, "app", "git:1", "1", repository=tmp_path / "repository", subdirectory="app")


@pytest.mark.parametrize("file", ["Dockerfile", "sub/Dockerfile", "../Dockerfile.app", "missing"])
def test_a_dockerfile_of_the_source(checkout: Checkout, file: str) -> None:
    """In the context, and elsewhere in the repository that it is a part of."""
    assert dockerfile_of(ReleaseRequest(file=file), checkout) == checkout.path / file


@pytest.mark.parametrize("file", ["../../outside", "/etc/passwd", "link", "folder/outside", "a\0b"])
def test_a_dockerfile_elsewhere_is_refused(checkout: Checkout, tmp_path: Path, file: str) -> None:
    """Named, or reached through a link: an error would show what it says."""
    (checkout.path / "link").symlink_to(tmp_path / "outside")
    (checkout.path / "folder").symlink_to(tmp_path)
    with pytest.raises(InvalidOption, match=r"--file: .* (is outside the source|cannot be resolved)") as caught:
        dockerfile_of(ReleaseRequest(file=file), checkout)
    assert "--allow" not in str(caught.value)


def test_what_was_fetched_is_the_source(tmp_path: Path) -> None:
    """A part of a fetched repository or archive reads what came with it, and not what lies beside that."""
    fetched = tmp_path / "fetched"
    context = fetched / "tree" / "app" / "part"
    context.mkdir(parents=True)
    checkout = Checkout(context, "part", "git:1", "1", repository=fetched / "git", temporary=fetched)
    dockerfile_of(ReleaseRequest(file="../Dockerfile"), checkout)
    with pytest.raises(InvalidOption):
        dockerfile_of(ReleaseRequest(file="../../../../elsewhere"), checkout)
