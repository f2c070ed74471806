"""A source policy is the runner's: it holds for each build of a release, and is told wherever the release is."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from prefect_slipway.blocks import SourcePolicy
from prefect_slipway.infra.domain.errors import BuildSourceDenied, InvalidOption
from tests.integration.release.conftest import Release
from tests.integration.release.test_attestations import Held, parameters
from tests.integration.release.test_build_options import manifest
from tests.releases import BASE, Traces, complaint, make_source, result_of, run_line
from tests.source_policies import rule, rules_text
from tests.warm import WarmStarter

HUB = "docker-image://docker.io/*"


def policy_file(folder: Path, *rules: Mapping[str, object]) -> Path:
    file = folder / "policy.json"
    file.write_text(rules_text(*rules))
    return file


def test_a_denied_base_fails_the_release(commands: WarmStarter, traces: Traces, tmp_path: Path) -> None:
    """The plan says it in advance; the release fails with source, rule and line, and leaves nothing."""
    source = make_source(tmp_path / "denied-base-app", "ARG FROM=alpine:3\nFROM ${FROM}\n")
    options = ("--source-policy", policy_file(tmp_path, rule("DENY", HUB)), "--format", "json")
    plan = json.loads(commands.run("plan", source, *options).stdout)
    said = f"the source policy denies docker-image://docker.io/library/alpine:3 (rule 1, DENY {HUB})"
    assert plan["warnings"] == [said]
    ended = commands.run("release", source, *options)
    assert said in complaint(ended)
    assert "   2 | >>> FROM ${FROM}" in ended.stderr
    traces.assert_failed(source.name, said)
    other = commands.run("plan", source, *options, "--build-arg", "FROM=registry.example/base:1")
    assert json.loads(other.stdout)["warnings"] == []


def test_what_is_allowed_is_released_and_recorded(commands: WarmStarter, traces: Traces, tmp_path: Path) -> None:
    """Plan, result, report and provenance name the policy by the digest of its file; the cache's export follows it as
    well. Another policy is another release."""
    source = make_source(tmp_path / "app-allowed", BASE + run_line("echo allowed > /made"))
    file = policy_file(tmp_path, rule("DENY", "*"), rule("ALLOW", "local://*"))
    digest = f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    options = ("--source-policy", file, "--format", "json")
    plan = json.loads(commands.run("plan", source, *options).stdout)
    assert (plan["source_policy"], plan["effects"][0]) == (digest, f"apply the source policy {digest} to each build")
    result = result_of(commands.run("release", source, *options, "--cache", "on"))
    assert result["source_policy"] == digest
    assert result["caches"][0]["exported"] and result["warnings"] == []
    assert digest in traces.report(result["flow_run_id"])
    asked = parameters(Held(traces, source.name).provenance(result["version"]))
    assert asked["slipway:source-policy"] == digest
    same = ("release", source, "--format", "json", "--version", result["version"])
    assert "is released or reserved already" in complaint(commands.run(*same))
    assert result_of(commands.run(*same, *options[:2]))["digest"] == result["digest"]


async def test_a_saved_policy(
    commands: WarmStarter, run_release: Release, traces: Traces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its name, in a request as in the option, for one image and for a set; what cannot be read fails closed."""
    source = make_source(tmp_path / "app-saved-policy", "FROM busybox\n")
    text = rules_text(rule("DENY", HUB))
    monkeypatch.setenv("PREFECT_API_URL", traces.connection.prefect_api_url)
    with pytest.raises(InvalidOption):
        SourcePolicy(text='{"rules": [{"deny": "*"}]}')
    with pytest.raises(InvalidOption, match="no 'Slipway Source Policy' block named 'strict-none'"):
        await run_release(source=str(source), build={"source_policy": "block:strict-none"})
    with temporary_settings({PREFECT_API_URL: traces.connection.prefect_api_url}):
        await SourcePolicy(text=text).asave("strict", overwrite=True)
    with pytest.raises(BuildSourceDenied, match=r"rule 1, DENY"):
        await run_release(source=str(source), build={"source_policy": "block:strict"})
    (source / "docker-bake.json").write_text(json.dumps({"target": {"default": {}}}))
    said = "the source policy denies docker-image://docker.io/library/busybox:latest"
    option = ("--source-policy", "block:strict")
    plan = json.loads((await asyncio.to_thread(commands.run, "plan", source, *option, "--format", "json")).stdout)
    assert plan["warnings"] == [f"{said} (rule 1, DENY {HUB})"]
    assert plan["source_policy"] == f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    assert said in (await asyncio.to_thread(commands.run, "bake", "--plan", *option, cwd=source)).stdout
    (source / "Dockerfile").write_text(BASE)
    result = await run_release(source=str(source), build={"source_policy": "block:strict"})
    assert result.source_policy == plan["source_policy"]
    assert traces.runs(source.name)[0]["parameters"]["request"]["build"]["source_policy"] == "block:strict"


def test_every_target_of_a_set_follows_it(commands: WarmStarter, traces: Traces, tmp_path: Path) -> None:
    """A set's targets, with the one that is to blame."""
    source = make_source(tmp_path / "policy-set")
    (source / "b.Dockerfile").write_text("FROM busybox\n")
    targets = {"a": {}, "b": {"dockerfile": "b.Dockerfile"}}
    definition = {"target": targets, "group": {"default": {"targets": list(targets)}}}
    (source / "docker-bake.json").write_text(json.dumps(definition))
    file = policy_file(tmp_path, rule("DENY", HUB))
    ended = commands.run("bake", "--source-policy", file, "--format", "json", cwd=source)
    assert "denies docker-image://docker.io/library/busybox:latest" in complaint(ended)
    plan = commands.run("bake", "--plan", "--source-policy", file, cwd=source).stdout
    assert "WARN: target b: the source policy denies docker-image://docker.io/library/busybox:latest" in plan


def test_a_build_follows_it(commands: WarmStarter, tmp_path: Path) -> None:
    """`slipway build` has the option, and reads docker buildx's variable."""
    source = make_source(tmp_path / "app-built", "FROM busybox\n")
    file = policy_file(tmp_path, rule("DENY", HUB))
    said = "denies docker-image://docker.io/library/busybox:latest"
    assert said in complaint(commands.run("build", source, "--source-policy", file))
    env = {"EXPERIMENTAL_BUILDKIT_SOURCE_POLICY": str(file)}
    assert said in complaint(commands.run("build", source, env=env))


@pytest.mark.parametrize("command", ["release", "build"])
def test_a_policy_in_rego_where_the_builder_does_not_ask_it(
    commands: WarmStarter, tmp_path: Path, command: str
) -> None:
    """The embedded engine is too old for it, which is said instead of building without a policy."""
    source = make_source(tmp_path / f"app-rego-{command}")
    (tmp_path / "policy.rego").write_text('package docker\n\ndecision := {"allow": true}\n')
    ended = commands.run(command, source, "--source-policy", tmp_path / "policy.rego")
    assert "does not ask a source policy in Rego" in complaint(ended)


@pytest.mark.parametrize("command", ["release", "build"])
def test_a_policy_that_cannot_be_read(commands: WarmStarter, tmp_path: Path, command: str) -> None:
    """A missing file and a mistake in it are told before anything is built."""
    source = make_source(tmp_path / "app-unread")
    ended = commands.run(command, source, "--source-policy", tmp_path / "missing.json")
    assert f"cannot be read: {os.strerror(2)}" in complaint(ended, 2)
    (tmp_path / "policy.json").write_text('{"rules": [{"action": "deny"}]}')
    ended = commands.run(command, source, "--source-policy", tmp_path / "policy.json")
    assert "rule 1: action is none of ALLOW, DENY, CONVERT" in complaint(ended, 2)


def test_a_policy_in_the_source_is_nothing_until_the_runner_names_it(
    commands: WarmStarter, traces: Traces, tmp_path: Path
) -> None:
    """Whoever can change the source cannot change the rules: a file there is a file."""
    source = make_source(tmp_path / "app-own")
    file = policy_file(source, rule("DENY", "*"))
    result = result_of(commands.run("release", source, "--format", "json"))
    assert result["source_policy"] is None
    ended = commands.run("release", source, "--format", "json", "--source-policy", file)
    assert "denies local://" in complaint(ended)
    assert "Next: allow local://*" in ended.stderr
    assert manifest(traces, result)["layers"]
