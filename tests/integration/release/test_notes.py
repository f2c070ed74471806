"""Release notes: in git's tag, beside the image, in Prefect, and in a changelog."""

from __future__ import annotations

from pathlib import Path

from prefect_slipway.flows.values.notes import NOTES_ARTIFACT, NOTES_MEDIA
from prefect_slipway.infra.domain.signing import Attachment
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.registry.referrers import Referrers
from tests.git_server import serve_git
from tests.integration.release.conftest import Release, commit, git
from tests.releases import Traces


def _served(repository: Path, folder: Path) -> Path:
    """A bare repository that can be pushed to over HTTP."""
    bare = folder / "served" / f"{repository.name}.git"
    git(folder, "clone", "--quiet", "--bare", str(repository), str(bare))
    git(bare, "config", "http.receivepack", "true")
    return bare


async def test_notes_are_where_people_look(
    run_release: Release, repository: Path, registry: RegistryClient, traces: Traces
) -> None:
    """The tag's message, one referrer of the index, the result, the report and an artifact of the run say the same."""
    await run_release(source=str(repository), version={"exact": "1.0.0"})
    head = commit(repository, "feat(api)!: drop v1\n\nBREAKING CHANGE: call v2")
    result = await run_release(source=str(repository), bump="auto", notes={"attach": "on"})
    assert result.version == "2.0.0"
    assert result.notes is not None and "### Breaking changes\n\n- **api:** drop v1" in result.notes
    assert git(repository, "rev-parse", "v2.0.0^{commit}") == head == result.revision
    message = git(repository, "for-each-ref", "--format=%(objecttype) %(contents)", "refs/tags/v2.0.0")
    assert message.startswith("tag v2.0.0\n\nBreaking changes\n\n- api: drop v1")
    assert "  call v2" in message
    referrers = Referrers(registry, repository.name, NOTES_ARTIFACT, media_type=NOTES_MEDIA)
    (attached,) = await referrers.attached(str(result.digest))
    assert (await referrers.content(attached)).decode() == f"{result.notes}\n"
    reports = traces.reports(f"release {repository.name} 2.0.0")
    assert sum(result.notes in report for report in reports) == 3, "plan, report and notes"
    assert not result.warnings


async def test_a_registry_gets_no_tag_that_nobody_asked_for(
    run_release: Release, repository: Path, registry: RegistryClient
) -> None:
    """Where it does not list referrers itself, a tag would have to; one that is there already takes the notes, too."""
    first = await run_release(source=str(repository))
    assert await registry.tags(repository.name) == ["0.1.0"]
    referrers = Referrers(registry, repository.name, NOTES_ARTIFACT, media_type=NOTES_MEDIA)
    assert not await referrers.has_list(str(first.digest))
    await referrers.add(str(first.digest), [Attachment(NOTES_MEDIA, b"x")])
    assert await referrers.has_list(str(first.digest))


async def test_without_notes_the_tag_is_bare(run_release: Release, repository: Path, registry: RegistryClient) -> None:
    """`--notes off`: nothing is attached, and the tag has no message."""
    result = await run_release(source=str(repository), notes={"mode": "off"})
    assert result.notes is None
    assert git(repository, "cat-file", "-t", "v0.1.0") == "commit"
    assert not await Referrers(registry, repository.name, NOTES_ARTIFACT).attached(str(result.digest))


async def test_the_changelog_follows_the_tag(run_release: Release, repository: Path, tmp_path: Path) -> None:
    """It is committed above the versions before, after the commit that the tag names, and is no reason for another
    release."""
    commit(repository, "docs: changelog", **{"CHANGELOG.md": "# Log\n\nIntro.\n\n## v0.1.0 (2026-01-01)\n\nOld.\n"})
    git(repository, "tag", "v0.1.0")
    head = commit(repository, "feat: more")
    bare = _served(repository, tmp_path)
    with serve_git(bare.parent) as server:
        url = server.url(bare.name)
        asked = {"source": url, "notes": {"changelog": "CHANGELOG.md"}}
        first = await run_release(**asked, bump="auto")
        assert (first.version, first.warnings) == ("0.2.0", ())
        assert git(bare, "rev-parse", "v0.2.0^{commit}", "main^") == f"{head}\n{head}"
        log = git(bare, "show", "main:CHANGELOG.md")
        assert log.startswith("# Log\n\nIntro.\n\n## v0.2.0 (20")
        assert log.index("- more") < log.index("## v0.1.0 (2026-01-01)\n\nOld.")
        assert git(bare, "diff", "--name-only", "main^", "main") == "CHANGELOG.md"
        for again in ({"bump": "auto"}, {"bump": "minor"}, {"version": {"only_new": True}}):
            assert not (await run_release(**asked, **again)).released
        git(repository, "pull", "--quiet", url, "main")
        commit(repository, "fix: bug")
        git(repository, "push", "--quiet", url, "main")
        second = await run_release(**asked, bump="auto")
        assert second.version == "0.2.1"
        assert second.notes is not None and "changelog" not in second.notes
        log = git(bare, "show", "main:CHANGELOG.md")
        assert [line.split(" (")[0] for line in log.split("\n") if line.startswith("## ")] == [
            "## v0.2.1",
            "## v0.2.0",
            "## v0.1.0",
        ]


async def test_a_protected_branch_is_a_warning(run_release: Release, repository: Path, tmp_path: Path) -> None:
    """The image and its tag are public nevertheless."""
    bare = _served(repository, tmp_path)
    hook = bare / "hooks" / "update"
    hook.write_text('#!/bin/sh\ncase "$1" in refs/heads/*) echo "protected branch" >&2; exit 1;; esac\n')
    hook.chmod(0o755)
    head = git(bare, "rev-parse", "main")
    with serve_git(bare.parent) as server:
        result = await run_release(source=server.url(bare.name), notes={"changelog": "CHANGELOG.md"})
    assert result.released
    (warning,) = result.warnings
    assert warning.startswith("CHANGELOG.md does not have the notes of this release: ")
    assert git(bare, "rev-parse", "v0.1.0^{commit}", "main") == f"{head}\n{head}"


async def test_a_work_tree_without_a_remote_gets_the_changelog(run_release: Release, repository: Path) -> None:
    """On its branch and in its files, which stay clean."""
    head = git(repository, "rev-parse", "HEAD")
    await run_release(source=str(repository), notes={"changelog": "CHANGELOG.md"})
    assert git(repository, "rev-parse", "v0.1.0^{commit}", "HEAD^") == f"{head}\n{head}"
    assert (repository / "CHANGELOG.md").read_text().startswith("# Changelog\n\n## 0.1.0 - ")
    assert git(repository, "status", "--porcelain") == ""
    assert not (await run_release(source=str(repository), notes={"changelog": "CHANGELOG.md"})).released
