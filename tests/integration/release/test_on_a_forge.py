"""A release is shown on its forge once it is public; whatever the forge does, the image is public."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.forges.double import REPOSITORY, TOKEN, Fault, ForgeDouble, forge_double
from tests.git_repository import commit, git
from tests.integration.release.keys import SIGNED, Place
from tests.releases import Traces, complaint, make_source, result_of
from tests.warm import WarmStarter


@pytest.fixture(params=["github", "gitlab", "gitea"])
def double(request: pytest.FixtureRequest) -> Iterator[ForgeDouble]:
    with forge_double(request.param) as double:
        yield double


@pytest.fixture
def options(double: ForgeDouble, place: Place) -> tuple[str, ...]:
    place.vault.put("secret/forge", {"token": TOKEN})
    named = ("--forge", double.kind, "--forge-url", double.api, "--forge-repository", REPOSITORY[double.kind])
    return (*named, "--forge-token", "vault:secret/forge#token", *place.credentials)


def test_a_release_is_on_its_forge(
    commands: WarmStarter, traces: Traces, place: Place, double: ForgeDouble, options: tuple[str, ...], tmp_path: Path
) -> None:
    """With digest, verification and SBOM; the same command again writes nothing. While the forge is down the image is
    public all the same, and the same command does the rest."""
    env = place.as_root()
    source = make_source(tmp_path / f"app-on-{double.kind}")
    git(source, "init", "--quiet", "--initial-branch=main")
    commit(source, "feat: first", {})
    image = f"{traces.connection.registry}/{source.name}"
    options = ("--image", image, *options, *SIGNED, "--bump", "auto")
    planned = json.loads(commands.run("plan", source, *options, env=env).stdout)
    (effect,) = (each for each in planned["effects"] if "release v" in each)
    assert effect.startswith(f"create or update the release v0.1.0 of {REPOSITORY[double.kind]} on 127.0.0.1:")
    assert double.seen == []

    # Two failures: the step is tried again by itself, and the release is made.
    double.faults += [Fault(503), None, Fault(500, after=True)]
    result = result_of(commands.run("release", source, *options, env=env))
    assert result["forge"]["page"].endswith("v0.1.0") and result["warnings"] == []
    text = double.body("v0.1.0")
    assert planned["notes"]["markdown"] in text and "first" in text
    assert f"`{result['reference']}`" in text and f"\nslipway verify {result['reference']} --key" in text
    assert TOKEN not in traces.report(result["flow_run_id"]) + str(traces.log(result["flow_run_id"]))
    assert result["forge"]["page"] in traces.report(result["flow_run_id"]).replace("\u2060", "").replace("\\", "")
    # What was added to the report left its links.
    assert "/artifacts/key/" in traces.reports(f"{source.name} 0.1.0")[0]
    before = list(double.writes)
    again = json.loads(commands.run("release", source, *options, env=env).stdout)
    assert (again["released"], again["forge"]["did"]) == (False, "unchanged")
    assert double.writes == before

    commit(source, "feat: second", {"new": "file"})
    double.faults += [Fault(403, {"message": "no"})] * 5
    ended = commands.run("release", source, *options, env=env)
    assert ended.code == 4, ended.stderr
    result = json.loads(ended.stdout)
    assert result["released"] and result["digest"] and "0.2.0" in traces.tags(source.name)
    (warning,) = result["warnings"]
    assert (
        warning.startswith(f"no release v0.2.0 of {REPOSITORY[double.kind]} on 127.0.0.1") and "Next: give" in warning
    )
    assert f"WARN: {warning}" in ended.stderr
    assert "v0.2.0" not in double.releases
    double.faults.clear()
    done = json.loads(commands.run("release", source, *options, env=env).stdout)
    assert (done["released"], done["forge"]["did"]) == (False, "created")
    assert f"`{result['reference']}`" in double.body("v0.2.0") and "second" in double.body("v0.2.0")


def test_what_is_needed_is_said_first(commands: WarmStarter, traces: Traces, place: Place, tmp_path: Path) -> None:
    """Before anything is built: a forge that cannot be told, and versions without git."""
    env = place.as_root()
    source = make_source(tmp_path / "forge-nowhere")
    on = ("--image", f"{traces.connection.registry}/{source.name}", *place.credentials)
    options = ("--forge-token", "vault:secret/forge", *on)
    said = complaint(commands.run("release", source, *options, env=env), code=2)
    assert "git tag" in said
    git(source, "init", "--quiet", "--initial-branch=main")
    commit(source, "feat: first", {})
    said = complaint(commands.run("plan", source, *options, env=env), code=2)
    assert "--forge github, gitlab or gitea" in said
    (source / "slipway.toml").write_text('[forge]\ntoken = "vault:secret/forge"\n')
    said = complaint(commands.run("plan", source, *on, env=env), code=2)
    assert "`forge.token`" in said and "--config-allow" in said
