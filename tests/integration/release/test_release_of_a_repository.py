"""A git repository: versions from its tags, the bump from its commits, the revision on the image."""

from __future__ import annotations

import hashlib
import os
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from prefect_slipway.flows.planning.decide import plan_release
from prefect_slipway.flows.planning.source import look_into
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.run.open_run import open_run
from prefect_slipway.flows.run.sources import open_source
from prefect_slipway.flows.values.result import ReleaseResult
from prefect_slipway.infra.domain.errors import BranchUnknown, DirtyTree, RefUnknown, VersionTaken
from prefect_slipway.infra.domain.labels import OCI_REVISION
from prefect_slipway.infra.registry.client import RegistryClient
from tests.conftest import SLIPWAY, RunningStack, run_program
from tests.integration.release.conftest import Release, commit, git, make_source


async def _label(registry: RegistryClient, result: ReleaseResult, key: str) -> str | None:
    repository = result.image.partition("/")[2]
    manifest = await registry.manifest(repository, result.tags[0])
    config = await registry.image_config(repository, manifest)
    return config.labels.get(key)


async def test_versions_are_git_tags(run_release: Release, repository: Path, registry: RegistryClient) -> None:
    """The tag names the released commit, the image carries it, and no reservation stays."""
    revision = git(repository, "rev-parse", "HEAD")
    first = await run_release(source=str(repository))
    second_revision = commit(repository, "feat: more", message="more\n")
    second = await run_release(source=str(repository))
    assert (first.version, second.version) == ("0.1.0", "0.2.0")
    assert git(repository, "rev-parse", "v0.1.0^{commit}") == revision
    assert git(repository, "rev-parse", "v0.2.0^{commit}") == second_revision
    assert await _label(registry, second, OCI_REVISION) == second.revision == second_revision
    assert git(repository, "for-each-ref", "refs/slipway") == ""


# A locale whose encoding is not UTF-8, which every machine has: PEP 538 and PEP 540 would make it UTF-8.
OTHER_ENCODING = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


def test_text_and_file_names_are_the_same_in_every_locale(
    stack: RunningStack, repository: Path, tmp_path: Path
) -> None:
    """In the image, in the tag's message and in what is printed for programs."""
    (repository / "Dockerfile").open("a").write("COPY größe.txt /größe.txt\nLABEL greeting=Grüße✓\n")
    commit(repository, "feat: Grüße ✓", **{"größe.txt": "groß"})
    for options in (
        (
            "release",
            repository,
            "--format",
            "json",
            "--build-arg",
            "A=✓",
            "--output",
            f"type=local,dest={tmp_path / 'o'}",
        ),
        ("build", repository, "--output", f"type=local,dest={tmp_path / 'b'}"),
    ):
        done = run_program(SLIPWAY, *options, env={**stack.env, **OTHER_ENCODING})
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "b" / "größe.txt").read_text("utf-8") == "groß"
    assert "Grüße ✓" in git(repository, "tag", "--list", "--format=%(contents)")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("release", "build_args.A is not a text in UTF-8"),
        ("build", "a name or value is not UTF-8; it contains '\\udcfc'"),
    ],
)
def test_a_value_that_is_not_utf8_is_refused(command: str, said: str, stack: RunningStack, repository: Path) -> None:
    done = run_program(SLIPWAY, command, repository, "--build-arg", "A=gr\udcfcn", env=stack.env)
    assert done.returncode == 2
    assert f"slipway: {said}" in done.stderr
    assert "Traceback" not in done.stderr
    assert git(repository, "tag") == ""


def test_a_flow_in_another_encoding_says_how_to_run_it(stack: RunningStack, repository: Path) -> None:
    """Nothing is built: the file names in the image would be wrong."""
    code = f"""
import asyncio
from prefect_slipway import ReleaseRequest, release
asyncio.run(release(ReleaseRequest(source={str(repository)!r})))
"""
    server = {"PREFECT_API_URL": stack.connection.prefect_api_url}
    done = run_program(sys.executable, "-c", code, env={**stack.env, **server, **OTHER_ENCODING})
    assert "Python takes file names and text for ascii" in done.stderr
    assert "PYTHONUTF8=1" in done.stderr
    assert git(repository, "tag") == ""


async def test_commits_decide_when_asked(run_release: Release, repository: Path) -> None:
    """fix gives a patch, feat a minor, and chores nothing at all, which is a success that says so."""
    await run_release(source=str(repository), version={"exact": "1.0.0"})
    nothing = await run_release(source=str(repository), bump="auto")
    assert not nothing.released and nothing.version is None
    commit(repository, "chore: tidy")
    assert not (await run_release(source=str(repository), bump="auto")).released
    commit(repository, "fix: a bug")
    assert (await run_release(source=str(repository), bump="auto")).version == "1.0.1"
    commit(repository, "feat: a feature")
    commit(repository, "fix: another bug")
    minor = await run_release(source=str(repository), bump="auto")
    assert minor.version == "1.1.0"
    commit(repository, "refactor!: all is new")
    assert (await run_release(source=str(repository), bump="auto")).version == "2.0.0"
    assert git(repository, "tag").split() == ["v1.0.0", "v1.0.1", "v1.1.0", "v2.0.0"]


async def test_a_released_commit_is_not_released_again(
    run_release: Release, repository: Path, registry: RegistryClient
) -> None:
    """Nothing to release, which is a success that says so; unless it is asked for, or this image does not have it."""
    first = await run_release(source=str(repository))
    for bump in ("minor", "auto", "prerelease"):
        again = await run_release(source=str(repository), bump=bump)
        assert (again.released, again.version) == (False, None)
        assert again.reason == "this commit is already released as 0.1.0; use --again to release it again"
    assert git(repository, "tag") == "v0.1.0"
    # From the same repository another image, for which the commit is new.
    other = await run_release(source=str(repository), image=f"{first.image}-debug")
    assert other.version == "0.2.0"
    assert (await run_release(source=str(repository), version={"again": True}, bump="auto")).version == "0.2.1"
    assert (await run_release(source=str(repository), version={"exact": "1.0.0"})).version == "1.0.0"
    (repository / "message").write_text("changed\n")
    assert (await run_release(source=str(repository), checkout={"allow_dirty": True})).version == "1.1.0"


async def test_a_line_goes_on_beside_another(run_release: Release, repository: Path, registry: RegistryClient) -> None:
    """A fix beside 2.0.0 on main is 1.0.1: it comes after 1.0.0, and moves the tags of its own line alone."""
    await run_release(source=str(repository), version={"exact": "1.0.0"})
    git(repository, "branch", "legacy")
    commit(repository, "feat!: two", message="two\n")
    two = await run_release(source=str(repository), bump="auto", version={"moving_tags": True})
    git(repository, "switch", "--quiet", "legacy")
    commit(repository, "fix: one", message="one\n")
    async with open_run(ReleaseRequest(source=str(repository), bump="auto")) as run:
        plan, _ = await plan_release(run, look_into(run, await open_source(run)), claimant=None)
    assert (plan.version, plan.previous_version) == ("1.0.1", "1.0.0")
    one = await run_release(source=str(repository), bump="auto", version={"moving_tags": True})
    assert (two.version, one.version) == ("2.0.0", "1.0.1")
    name = repository.name
    digests = {tag: await registry.head(name, tag) for tag in ("1", "1.0", "2", "2.0", "latest")}
    assert {tag: found.digest for tag, found in digests.items() if found} == {
        "1": one.digest,
        "1.0": one.digest,
        "2": two.digest,
        "2.0": two.digest,
        "latest": two.digest,
    }
    three = await run_release(source=str(repository), version={"exact": "2.0.1", "moving_tags": True, "again": True})
    assert three.tags == ("2.0.1",), "whoever follows 2 or latest keeps what 2.0.0 has"
    git(repository, "tag", "--delete", "v2.0.1")
    commit(repository, "feat!: also two")
    with pytest.raises(VersionTaken, match=r"after 1\.0\.1 would be 2\.0\.0, but 2\.0\.0 was released"):
        await run_release(source=str(repository), bump="auto")


async def test_a_channel_has_prereleases_and_a_tag_of_its_own(
    run_release: Release, repository: Path, registry: RegistryClient
) -> None:
    """From the branch of a work tree and of a URL; `latest` waits until the channel is merged."""
    asked: dict[str, Any] = {"bump": "auto", "version": {"channels": {"beta": "beta"}, "moving_tags": True}}
    one = await run_release(source=str(repository), **{**asked, "version": {"exact": "1.0.0", "moving_tags": True}})
    git(repository, "switch", "--quiet", "--create", "beta")
    commit(repository, "feat!: two", message="two\n")
    first = await run_release(source=str(repository), **asked)
    commit(repository, "fix: two", message="2\n")
    image = {"image": first.image}
    second = await run_release(source=repository.as_uri(), checkout={"ref": "beta"}, **image, **asked)
    assert (first.tags, second.tags) == (("2.0.0-beta.1", "beta"), ("2.0.0-beta.2", "beta"))
    assert second.reason.endswith("; the branch beta releases to the channel beta")

    async def held() -> dict[str, str]:
        heads = {tag: await registry.head(repository.name, tag) for tag in ("1", "2", "latest", "beta")}
        return {tag: head.digest for tag, head in heads.items() if head is not None}

    assert await held() == {"1": one.digest, "latest": one.digest, "beta": second.digest}
    git(repository, "switch", "--quiet", "main")
    git(repository, "merge", "--quiet", "--no-edit", "--no-ff", "beta")
    final = await run_release(source=str(repository), **asked)
    assert final.tags == ("2.0.0", "2", "2.0", "latest")
    assert await held() == {"1": one.digest, "2": final.digest, "latest": final.digest, "beta": second.digest}
    with pytest.raises(BranchUnknown, match="depends on its branch"):
        await run_release(source=repository.as_uri(), checkout={"ref": git(repository, "rev-parse", "beta")}, **asked)


async def test_a_part_of_a_repository_has_lines_too(run_release: Release, tmp_path: Path) -> None:
    """Where the registry keeps the versions, the images' revisions tell which are in the history."""
    part = make_source(tmp_path / f"mono{abs(hash(tmp_path)) % 10**6}" / f"part{abs(hash(tmp_path)) % 10**6}")
    mono = part.parent
    git(mono, "init", "--quiet", "--initial-branch=main")
    commit(mono, "feat: first")
    await run_release(source=str(part), version={"exact": "1.0.0"})
    git(mono, "branch", "1.x")
    commit(mono, "feat!: two", **{f"{part.name}/message": "two\n"})
    assert (await run_release(source=str(part), bump="auto")).version == "2.0.0"
    git(mono, "switch", "--quiet", "1.x")
    commit(mono, "fix: one", **{f"{part.name}/message": "one\n"})
    assert (await run_release(source=str(part), bump="auto")).version == "1.0.1"
    assert not (await run_release(source=str(part), version={"only_new": True})).released
    commit(mono, "feat: one", **{f"{part.name}/message": "more\n"})
    assert (await run_release(source=str(part))).version == "1.1.0"
    assert git(mono, "tag") == ""


async def test_a_monorepos_parts_have_versions_of_their_own(run_release: Release, tmp_path: Path) -> None:
    """With a prefix each part counts its own tags and only the commits that touch it."""
    mono = tmp_path / "mono"
    for part in ("app", "lib"):
        make_source(mono / part)
    git(mono, "init", "--quiet", "--initial-branch=main")
    commit(mono, "feat: both")
    for part in ("app", "lib"):
        assert (await run_release(source=str(mono / part), version={"tag_prefix": f"{part}/v"})).version == "0.1.0"
    commit(mono, "fix: app alone", **{"app/message": "changed\n"})
    app = await run_release(source=str(mono), checkout={"path": "app"}, version={"tag_prefix": "app/v"}, bump="auto")
    lib = await run_release(source=str(mono / "lib"), version={"tag_prefix": "lib/v"}, bump="auto")
    assert app.version == "0.1.1"
    assert not lib.released
    assert git(mono, "tag").split() == ["app/v0.1.0", "app/v0.1.1", "lib/v0.1.0"]


async def test_a_part_without_a_prefix_counts_the_registrys_tags(run_release: Release, tmp_path: Path) -> None:
    """The last image's revision tells where its commits begin; git gets no tag."""
    mono = tmp_path / f"mono{abs(hash(tmp_path)) % 10**6}"
    part = make_source(mono / f"part{abs(hash(tmp_path)) % 10**6}")
    git(mono, "init", "--quiet", "--initial-branch=main")
    commit(mono, "feat: first")
    assert (await run_release(source=str(part))).version == "0.1.0"
    assert not (await run_release(source=str(part), bump="auto")).released
    commit(mono, "feat: second", **{f"{part.name}/message": "changed\n"})
    assert (await run_release(source=str(part), bump="auto")).version == "0.2.0"
    assert git(mono, "tag") == ""


async def test_a_dirty_tree_is_refused_unless_allowed(run_release: Release, repository: Path) -> None:
    """What is released is what a revision names; --allow-dirty says otherwise on purpose."""
    (repository / "message").write_text("changed\n")
    with pytest.raises(DirtyTree):
        await run_release(source=str(repository))
    assert git(repository, "tag") == ""
    assert (await run_release(source=str(repository), checkout={"allow_dirty": True})).released


async def test_the_same_version_again_is_a_rerun(
    run_release: Release, repository: Path, registry: RegistryClient
) -> None:
    """The same revision under the same version succeeds with the same image; another revision is refused."""
    first = await run_release(source=str(repository), version={"exact": "1.0.0"})
    again = await run_release(source=str(repository), version={"exact": "1.0.0"})
    assert again.released and again.digest == first.digest
    commit(repository, "feat: other", message="other\n")
    with pytest.raises(VersionTaken):
        await run_release(source=str(repository), version={"exact": "1.0.0"})
    held = await registry.head(first.image.partition("/")[2], "1.0.0")
    assert held is not None and held.digest == first.digest


async def test_a_remote_keeps_the_tags(run_release: Release, repository: Path, tmp_path: Path) -> None:
    """With an origin the versions are its tags, and a stale clone goes on from them."""
    bare = tmp_path / "origin.git"
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", str(bare))
    git(repository, "remote", "add", "origin", str(bare))
    git(repository, "push", "--quiet", "origin", "main")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(bare), str(clone))
    image = (await run_release(source=str(repository))).image
    assert git(bare, "tag") == "v0.1.0"
    commit(clone, "feat: in the clone")
    second = await run_release(source=str(clone), image=image)
    assert second.version == "0.2.0"
    assert git(bare, "tag").split() == ["v0.1.0", "v0.2.0"]
    assert git(bare, "for-each-ref", "refs/slipway") == ""


async def test_a_url_is_fetched_at_its_ref(
    run_release: Release, repository: Path, registry: RegistryClient, tmp_path: Path
) -> None:
    """A branch of a repository elsewhere: shallow, released at its revision, tagged there, and nothing stays here."""
    git(repository, "checkout", "--quiet", "-b", "topic")
    revision = commit(repository, "feat: topic", message="topic\n")
    git(repository, "checkout", "--quiet", "main")
    bare = tmp_path / "origin.git"
    git(tmp_path, "clone", "--quiet", "--bare", str(repository), str(bare))
    result = await run_release(
        source=f"file://{bare}", checkout={"ref": "topic"}, image=f"{registry.host}/{repository.name}"
    )
    assert result.revision == revision
    assert git(bare, "rev-parse", "v0.1.0^{commit}") == revision
    commit(repository, "fix: on main")
    git(repository, "push", "--quiet", str(bare), "main")
    with pytest.raises(VersionTaken, match=r"0\.1\.0 was released from a commit outside this history"):
        await run_release(source=f"file://{bare}", image=result.image, bump="auto")
    git(repository, "merge", "--quiet", "--no-edit", "topic")
    git(repository, "push", "--quiet", str(bare), "main")
    patch = await run_release(source=f"file://{bare}", image=result.image, bump="auto")
    assert patch.version == "0.1.1"
    with pytest.raises(RefUnknown):
        await run_release(source=f"file://{bare}", checkout={"ref": "nowhere"}, image=result.image)
    async with open_run(ReleaseRequest()) as run:
        assert not list((run.home / "work").iterdir())


async def test_a_clone_is_the_same_source_under_any_umask(
    run_release: Release, repository: Path, registry: RegistryClient, tmp_path: Path
) -> None:
    """git knows of a file's mode only whether it is executable: two clones make one reproducible image."""
    (repository / "folder").mkdir()
    dockerfile = "FROM scratch\nCOPY folder /folder\nCOPY busybox message /app/\n"
    commit(repository, "feat: folders", **{"folder/file": "text\n", "Dockerfile": dockerfile})
    digests: list[str] = []
    for mask in (0o022, 0o077, 0o002):
        clone = tmp_path / f"{mask:o}" / repository.name
        before = os.umask(mask)
        try:
            git(tmp_path, "clone", "--quiet", str(repository), str(clone))
        finally:
            os.umask(before)
        image = f"{registry.host}/umask-{mask:o}/{repository.name}"
        result = await run_release(
            source=str(clone), image=image, build={"reproducible": True, "no_cache": True}, version={"git_remote": "-"}
        )
        digests += result.platforms.values()
    assert (tmp_path / "77" / repository.name / "folder").stat().st_mode & 0o777 == 0o700
    assert len(set(digests)) == 1


async def test_an_archive_is_released_by_its_checksum(
    run_release: Release, source: Path, registry: RegistryClient, tmp_path: Path
) -> None:
    """The archive that was named, unpacked into a folder of the run's own."""
    archive = tmp_path / "app-1.0.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(source, arcname="app-1.0")
    checksum = f"sha256:{hashlib.sha256(archive.read_bytes()).hexdigest()}"
    result = await run_release(
        source=archive.as_uri(),
        checkout={"checksum": checksum},
        image=f"{registry.host}/{source.name}",
        version={"exact": "1.0.0"},
    )
    assert result.released and result.revision is None


async def test_a_plan_does_nothing(repository: Path, registry: RegistryClient) -> None:
    """It says what a release would do: version, why, tags, effects; and git and registry are as before."""
    request = ReleaseRequest(source=str(repository), version={"moving_tags": True})
    async with open_run(request) as run, await open_source(run) as checkout:
        plan, _ = await plan_release(run, look_into(run, checkout), claimant=None)
    assert (plan.version, plan.images[0].tags, plan.git_tag) == ("0.1.0", ("0.1.0",), "v0.1.0")
    assert plan.effects()[0].startswith(f"build {repository} and push it")
    assert git(repository, "for-each-ref", "refs/slipway", "refs/tags") == ""
    assert await registry.tags(repository.name) == []


async def test_submodules_that_were_not_fetched_are_said(repository: Path, tmp_path: Path) -> None:
    """Of a URL and of a clone, each with its way out; git calls both of them clean."""
    library = make_source(tmp_path / "library")
    git(library, "init", "--quiet")
    commit(library, "feat: first")
    git(repository, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "lib")
    commit(repository, "feat: a library")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(repository), str(clone))
    for source, way_out in (
        (repository.as_uri(), ("the submodule lib is empty; fetch it with --submodules",)),
        (str(clone), ("the submodule lib is empty; run `git submodule update --init --recursive`",)),
        (str(repository), ()),
    ):
        async with open_run(ReleaseRequest(source=source)) as run, await open_source(run) as checkout:
            plan, _ = await plan_release(run, look_into(run, checkout), claimant=None)
        assert plan.warnings == way_out
