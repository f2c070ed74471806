"""What cannot be released as asked is refused with its cause and the next action, before anything is made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.git_repository import git, make_repository
from tests.integration.faults.conftest import Make
from tests.integration.source.test_archive import checksum, make_tar
from tests.releases import DOCKERFILE, Traces, complaint, result_of
from tests.warm import WarmStarter


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        (["--image", "registry.example.com/Team/App"], "'registry.example.com/Team/App'"),
        (["--image", "registry.example.com/app:1.0.0"], "has a tag or digest"),
        (["--version", "1.2"], "'1.2' is not"),
        (["--version", "v1.2.3"], "v1.2.3"),
        (["--prerelease-token", "r_c"], "r_c"),
        (["--label", "novalue"], "not KEY=VALUE"),
        (["--builder", "ftp://somewhere"], "ftp"),
        (["--credentials", "vault:nothing"], "vault:MOUNT/PATH"),
        (["--credentials", "a-password"], "vault:MOUNT/PATH"),
        (["--git-credentials", "secret/git"], "vault:MOUNT/PATH"),
        (["--vault", "vault:secret/x"], "block:NAME"),
        (["--registry-ca", "/no/such/ca.pem"], "the file '/no/such/ca.pem' does not exist"),
        (["--builder", "kubernetes", "--builder-option", "replicas=two"], "replicas='two' is not a number"),
        (["--ref", "main", "--checksum", "sha256:00"], "a ref belongs to git and a checksum to an archive"),
    ],
)
def test_an_option_that_cannot_be_read_is_a_usage_error(
    commands: WarmStarter, traces: Traces, source: Make, options: list[str], cause: str
) -> None:
    """Exit code 2, what is wrong with it and what to write instead; no run begins, and a value that may be a secret is
    not repeated."""
    folder = source()
    said = complaint(commands.run("release", folder, *options, "--format", "json"), code=2)
    assert cause in said
    assert "a-password" not in said
    assert traces.runs(folder.name) == []
    traces.assert_nothing_left()


def test_a_deploys_options_are_looked_at_before_its_run(commands: WarmStarter, traces: Traces) -> None:
    """The same for the other flows."""
    options = ("--pull-credentials", "secret/registry")
    said = complaint(commands.run("deploy", "r.example/refused:1.0.0", "--workload", "deployment/app", *options), 2)
    assert "vault:MOUNT/PATH" in said
    assert traces.runs("r.example/refused") == []


def test_what_is_named_in_a_vault_needs_one(commands: WarmStarter, traces: Traces, source: Make) -> None:
    """With a builder and a registry of one's own and no stack: said before a run begins."""
    folder = source()
    options = ("--builder", "tcp://127.0.0.1:9", "--image", "127.0.0.1:9/app", "--credentials", "vault:secret/registry")
    env = {
        "SLIPWAY_HOME": str(folder / "home"),
        "PREFECT_API_URL": traces.connection.prefect_api_url,
    }
    said = complaint(commands.run("release", folder, *options, env=env))
    assert said.startswith("vault:secret/registry is in Vault, but no Vault is configured\nNext: set VAULT_ADDR")
    assert traces.runs(folder.name) == []


def test_an_unknown_bump_shows_the_known_ones(commands: WarmStarter, source: Make) -> None:
    """Exit code 2, with the choices."""
    ended = commands.run("release", source(), "--bump", "huge")
    assert (ended.code, ended.stdout) == (2, "")
    assert "'huge'" in ended.stderr
    for choice in ("major", "minor", "patch", "prerelease", "auto"):
        assert choice in ended.stderr


def test_an_illegal_tag_prefix_is_refused(commands: WarmStarter, traces: Traces, tmp_path: Path) -> None:
    """A prefix git allows in no tag."""
    repository = make_repository(tmp_path / "app-prefix", {"Dockerfile": DOCKERFILE})
    said = complaint(commands.run("release", repository, "--tag-prefix", "a b", "--format", "json"), code=2)
    assert "a b" in said
    traces.assert_failed("app-prefix", "a b")


def test_a_tag_prefix_needs_a_repository(commands: WarmStarter, traces: Traces, source: Make) -> None:
    """A plain directory has no git tags."""
    folder = source()
    said = complaint(commands.run("release", folder, "--tag-prefix", "v", "--format", "json"), code=2)
    assert "needs a source in a git repository" in said
    traces.assert_failed(folder.name, "needs a source in a git repository")


def test_a_missing_source_is_said(commands: WarmStarter, tmp_path: Path) -> None:
    """The path, and to check it, before there is a run or a builder."""
    missing = tmp_path / "app-nowhere"
    ended = commands.run("release", missing, "--format", "json")
    assert complaint(ended).startswith(f"{missing} does not exist\nNext: check the path")
    assert json.loads(ended.stdout)["flow_run_id"] is None


def test_a_directory_whose_name_is_not_utf_8_is_said(commands: WarmStarter, traces: Traces, source: Make) -> None:
    """Before there is a run, which is recorded as JSON."""
    folder = source()
    folder = folder.rename(folder.with_name("a\udcff"))
    ended = commands.run("release", ".", cwd=folder)
    assert "is not UTF-8" in complaint(ended, 2)


def test_a_missing_repository_is_said(commands: WarmStarter, traces: Traces, tmp_path: Path) -> None:
    """The same for one that would have to be cloned; its folder is gone again."""
    complaint(commands.run("release", f"file://{tmp_path}/app-gone.git", "--format", "json"))
    traces.assert_failed("app-gone", "app-gone.git")


def test_an_unknown_ref_is_said(commands: WarmStarter, traces: Traces, tmp_path: Path) -> None:
    """The ref, and how to look."""
    repository = make_repository(tmp_path / "app-ref", {"Dockerfile": DOCKERFILE})
    said = complaint(commands.run("release", f"file://{repository}", "--ref", "no-such", "--format", "json"))
    assert "no-such" in said
    assert "git ls-remote" in said
    traces.assert_failed("app-ref", "no-such")


def test_uncommitted_changes_are_refused_unless_allowed(commands: WarmStarter, traces: Traces, tmp_path: Path) -> None:
    """The files that differ are named; --allow-dirty releases them."""
    repository = make_repository(
        tmp_path / "app-dirty", {"Dockerfile": "FROM scratch\nCOPY message /\n", "message": "1"}
    )
    (repository / "message").write_text("2")
    said = complaint(commands.run("release", repository, "--format", "json"))
    assert "1 uncommitted change\n  message\nNext: commit or stash the changes, or add --allow-dirty" in said
    traces.assert_failed("app-dirty", "1 uncommitted change")
    assert git(repository, "tag") == ""
    result = result_of(commands.run("release", repository, "--allow-dirty", "--format", "json"))
    assert result["version"] == "0.1.0"
    assert git(repository, "for-each-ref", "--format=%(refname)").split() == ["refs/heads/main", "refs/tags/v0.1.0"]
    traces.assert_nothing_left()


@pytest.mark.parametrize(
    ("files", "cause"),
    [
        ({}, "app-odd.tar.gz is empty"),
        ({"readme": b"x"}, "there is no Dockerfile in"),
        ({"app/Dockerfile": b"FROM scratch\n", "other": b"x"}, "there is no Dockerfile in"),
    ],
    ids=["empty", "no Dockerfile", "elsewhere"],
)
@pytest.mark.parametrize("command", ["plan", "release"])
def test_what_cannot_be_built_is_not_planned(
    commands: WarmStarter, traces: Traces, tmp_path: Path, command: str, files: dict[str, bytes], cause: str
) -> None:
    """An archive that holds nothing, or no Dockerfile: the plan says so, and not that it would be released."""
    archive = tmp_path / "app-odd.tar.gz"
    archive.write_bytes(make_tar(files))
    options = ("--checksum", checksum(archive.read_bytes()), "--format", "json")
    said = complaint(commands.run(command, archive.as_uri(), *options))
    assert cause in said
    assert "Next: " in said
    traces.assert_nothing_left()


def test_a_directory_without_a_dockerfile_is_not_planned(commands: WarmStarter, traces: Traces, tmp_path: Path) -> None:
    """The same for what is on this machine; the file that was asked for is named."""
    (tmp_path / "app-bare").mkdir()
    said = complaint(commands.run("plan", tmp_path / "app-bare", "--file", "docker/Dockerfile.prod"))
    assert said.startswith(f"there is no docker/Dockerfile.prod in {tmp_path}/app-bare\n")
    traces.assert_nothing_left()
