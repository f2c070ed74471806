"""Signed releases: by a key that stays in Vault, before any tag points to them; and who verifies them."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

import pytest

from tests import patient
from tests.conftest import clean_environment
from tests.git_repository import commit, git, make_bare
from tests.git_server import serve_git
from tests.integration.release.keys import KEY, SIGNED, USUAL, Place
from tests.releases import Traces, complaint, make_source, registry_login, result_of
from tests.waiting import PATIENCE_S
from tests.warm import WarmStarter


def referrers(traces: Traces, image: str, digest: str) -> list[str]:
    """What the registry keeps beside a manifest: the tags of cosign's format and of the referrers' list."""
    host, _, name = image.partition("/")
    answer = patient.get(f"http://{host}/v2/{name}/tags/list", auth=registry_login(traces.connection))
    start = digest.replace(":", "-")
    return sorted(tag for tag in answer.raise_for_status().json()["tags"] if tag.startswith(start))


def test_a_release_is_signed_before_its_tag_and_verified_by_others(
    commands: WarmStarter, traces: Traces, place: Place, tmp_path: Path
) -> None:
    """The index and each platform, in both formats, with the provenance; Slipway and cosign verify it with the public
    key alone. The same release again signs nothing."""
    source = make_source(tmp_path / "app-signed")
    image = f"{traces.connection.registry}/{source.name}"
    options = ("--image", image, *SIGNED, *place.credentials)
    planned = commands.run("plan", source, *options, env=place.env)
    assert f"sign it with {KEY}, before it has a tag" in json.loads(planned.stdout)["effects"]
    ended = commands.run("release", source, *options, "--version", "1.0.0", env=place.env)
    result = result_of(ended)
    assert ended.stderr.index("> sign") < ended.stderr.index("> tag")
    (key,) = result["signed_by"]
    assert key.startswith(f"{KEY} version 1 (sha256:")

    pem = tmp_path / "release.pem"
    pem.write_text(commands.run("key", KEY, env=place.env).stdout)
    for trusted in (KEY, str(pem)):
        verified = commands.run(
            "verify", f"{image}:1.0.0", "--key", trusted, "--provenance", *place.credentials, env=place.env
        )
        assert verified.code == 0, verified.stderr
        found = json.loads(verified.stdout)
        assert (found["verified"], found["digest"]) == (True, result["digest"])
        assert found["platforms"] == result["platforms"]
        assert [each.partition(" v")[0] for each in found["attestations"]] == ["SLSA provenance"]

    user, password = registry_login(traces.connection)
    cosign = ["cosign", "verify", "--key", str(pem), "--insecure-ignore-tlog", "--allow-http-registry"]
    login = ["--registry-username", user, "--registry-password", password]
    shown = subprocess.run([*cosign, *login, f"{image}:1.0.0"], capture_output=True, text=True, timeout=PATIENCE_S)
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)[0]["critical"]["image"]["docker-manifest-digest"] == result["digest"]

    before = referrers(traces, image, result["digest"])
    assert any(tag.endswith(".sig") for tag in before)
    again = result_of(commands.run("release", source, *options, "--version", "1.0.0", env=place.env))
    assert (again["digest"], again["signed_by"]) == (result["digest"], result["signed_by"])
    assert referrers(traces, image, result["digest"]) == before
    assert "signed by" in traces.report(result["flow_run_id"])


def test_a_newcomers_first_release_is_signed(commands: WarmStarter, traces: Traces, tmp_path: Path) -> None:
    """In the embedded stack without any option, by the embedded Vault's key; the commands that the report shows verify
    it as they are printed."""
    source = make_source(tmp_path / "app-newcomer")
    planned = commands.run("plan", source, "--format", "json", env=USUAL)
    assert f"sign it with {KEY}, before it has a tag" in json.loads(planned.stdout)["effects"]
    ended = commands.run("release", source, env={**USUAL, "COLUMNS": "400"})
    assert ended.code == 0, ended.stderr
    run = traces.runs(f"{source.name} 0.1.0")[0]["id"]
    assert f"{KEY} version 1" in traces.report(run)
    shown = [line.strip() for line in (ended.stdout + ended.stderr).splitlines()]
    commands_shown = [line for line in shown if " verify " in line or " key vault:" in line]
    assert [line.split()[1] for line in commands_shown] == ["verify", "key", "verify"], shown
    assert all(line in traces.report(run) for line in commands_shown)
    user, password = registry_login(traces.connection)
    home = tmp_path / "home"
    (home / ".docker").mkdir(parents=True)
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    (home / ".docker" / "config.json").write_text(json.dumps({"auths": {traces.connection.registry: {"auth": auth}}}))
    env = {**clean_environment(), "SLIPWAY_HOME": str(traces.connection.home), "HOME": str(home)}
    for line in commands_shown:
        done = subprocess.run(
            ["/bin/sh", "-c", line], cwd=home, env=env, capture_output=True, text=True, timeout=PATIENCE_S
        )
        assert done.returncode == 0, (line, done.stderr)


def test_the_embedded_key_is_trusted_for_the_embedded_registry_alone(
    commands: WarmStarter, traces: Traces, place: Place, tmp_path: Path
) -> None:
    """Without a key's name; with another Vault, without signatures, or in another registry no key is trusted."""
    source = make_source(tmp_path / "app-trusting")
    for env in (USUAL, {"SLIPWAY_SIGN": "none"}):
        assert commands.run("release", source, "--again", "--format", "json", env=env).code == 0
    verified = commands.run("verify", f"{source.name}:0.1.0", "--provenance", env=USUAL)
    assert verified.code == 0 and f"signed by {KEY}" in verified.stdout, verified.stderr
    assert "is not signed" in complaint(commands.run("verify", f"{source.name}:0.2.0", env=USUAL))
    image = f"{traces.connection.registry}/{source.name}:0.1.0"
    for env, reference in (
        ({"SLIPWAY_SIGN": "none"}, image),
        ({**USUAL, **place.env}, image),
        (USUAL, "registry.example/team/app:0.1.0"),
    ):
        assert "no key is trusted" in complaint(commands.run("verify", reference, env=env), 2)


@pytest.mark.parametrize("way", ["option", "setting", "registry"])
def test_a_newcomers_release_may_do_without(
    commands: WarmStarter, traces: Traces, place: Place, tmp_path: Path, way: str
) -> None:
    """`--sign none`, SLIPWAY_SIGN=none; and nothing is signed with a Vault that is not the embedded one."""
    source = make_source(tmp_path / f"app-without-{way}")
    image = ("--image", f"{traces.connection.registry}/{source.name}")
    options, env = {
        "option": (("--sign", "none"), USUAL),
        "setting": ((), {"SLIPWAY_SIGN": "none"}),
        "registry": ((*image, *place.credentials[:2]), {**USUAL, **place.env}),
    }[way]
    result = result_of(commands.run("release", source, *options, "--format", "json", env=env))
    assert result["signed_by"] == []
    assert traces.tags(source.name) == ["0.1.0"]


def test_where_a_release_comes_from_is_verified(commands: WarmStarter, traces: Traces, tmp_path: Path) -> None:
    """Source, ref and age by the signed provenance, as BuildKit wrote it; anything else is refused by name. What cosign
    adds with a key of its own is verified with that key, which needs no Vault and no Prefect server."""
    folder = make_source(tmp_path / "work" / "app-sourced")
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder, "feat: begin", {})
    (tmp_path / "git").mkdir()
    git(make_bare(tmp_path / "git" / "app-sourced.git", folder), "config", "http.receivepack", "true")
    image = f"{traces.connection.registry}/app-sourced:0.1.0"
    with serve_git(tmp_path / "git") as server:
        source = server.url("app-sourced.git")
        result = result_of(commands.run("release", source, "--ref", "main", "--format", "json", env=USUAL))
    verify = ("verify", image, "--key", KEY, "--format", "json")
    verified = commands.run(*verify, "--source", source, "--ref", "main", "--max-age", "1h")
    assert verified.code == 0, verified.stderr
    found = json.loads(verified.stdout)
    assert (found["source"], found["ref"], found["revision"]) == (source, "main", result["revision"])
    for required, cause in (
        (("--source", "https://git.example.com/app"), "OtherSource"),
        (("--ref", "feature"), "OtherRef"),
        (("--max-age", "0s"), "TooOld"),
        (("--gate", "scan"), "NotAttested"),
        (("--rebuilt",), "NotRebuilt"),
    ):
        refused = commands.run(*verify, *required)
        assert refused.code == 1
        assert json.loads(refused.stdout)["error"]["cause"] == cause

    user, password = registry_login(traces.connection)
    env = {**clean_environment(), "COSIGN_PASSWORD": "x", "HOME": str(tmp_path)}
    access = ["--allow-http-registry", "--registry-username", user, "--registry-password", password]

    def cosign(*arguments: str) -> None:
        done = subprocess.run(
            ["cosign", *arguments], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=PATIENCE_S
        )
        assert done.returncode == 0, done.stderr

    cosign("generate-key-pair", "--output-key-prefix", "own")
    digest = f"{image.partition(':0.1')[0]}@{result['digest']}"
    cosign("sign", "--key", "own.key", "--recursive", "--tlog-upload=false", "--yes", *access, digest)
    passed = {"result": "PASSED", "configuration": [{"name": "scan"}], "passedTests": ["all"]}
    (tmp_path / "predicate.json").write_text(json.dumps(passed))
    kind = ("--type", "https://in-toto.io/attestation/test-result/v0.1", "--predicate", "predicate.json")
    cosign("attest", "--key", "own.key", *kind, "--tlog-upload=false", "--yes", *access, digest)
    theirs = ("verify", image, "--key", str(tmp_path / "own.pub"), "--gate", "scan", "--format", "json")
    verified = commands.run(*theirs)
    assert verified.code == 0, verified.stderr
    assert json.loads(verified.stdout)["gates"] == {"scan": "PASSED"}
    assert json.loads(commands.run(*theirs, "--sbom").stdout)["error"]["cause"] in {"NotAttested", "UntrustedKey"}


def test_a_release_that_is_killed_around_its_signature_is_signed_once(
    commands: WarmStarter, traces: Traces, place: Place, tmp_path: Path
) -> None:
    """kill -9 in each step from there on, each time the same command again: one version, one tag, one signature; and
    there is never a tag without it."""
    source = make_source(tmp_path / "app-killed-around-its-signature")
    image = f"{traces.connection.registry}/{source.name}"
    options: tuple[str | Path, ...] = ("release", source, "--image", image, *SIGNED, *place.credentials)
    verify = ("verify", image, "--key", KEY, *place.credentials)
    for moment in ("> verify", "> sign", "> tag", "> record"):
        command = commands.start(*options, env=place.env)
        command.until(moment)
        command.kill()
        assert command.end().code == -9
        if "0.1.0" in traces.tags(source.name):
            verified = commands.run(*verify, env=place.env)
            assert verified.code == 0, (moment, verified.stdout, traces.tags(source.name))
    result = result_of(commands.run(*options, env=place.env))
    # A busy machine may kill the last run when it was over, and this one is the next release.
    tags = sorted(tag for tag in traces.tags(source.name) if not tag.startswith("sha256-"))
    assert tags in (["0.1.0"], ["0.1.0", "0.2.0"])
    assert result["version"] == tags[-1]
    assert commands.run(*verify, env=place.env).code == 0
    for digest in (result["digest"], *result["platforms"].values()):
        (signatures,) = (tag for tag in referrers(traces, image, digest) if tag.endswith(".sig"))
        host, _, name = image.partition("/")
        answer = patient.get(
            f"http://{host}/v2/{name}/manifests/{signatures}",
            auth=registry_login(traces.connection),
            headers={"Accept": "application/vnd.oci.image.manifest.v1+json"},
        )
        assert len(answer.raise_for_status().json()["layers"]) == 1


def test_what_a_tag_names_already_is_signed_as_well(
    commands: WarmStarter, traces: Traces, place: Place, tmp_path: Path
) -> None:
    """A reproducible image that was released without a signature: it is built again, the tag stays at its index, and
    that has the signature then."""
    source = make_source(tmp_path / "app-late")
    image = f"{traces.connection.registry}/{source.name}"
    options = ("--image", image, "--reproducible", "--version", "1.0.0", *place.credentials)
    first = result_of(commands.run("release", source, *options, env=place.env))
    (source / "Dockerfile").touch()
    second = result_of(commands.run("release", source, *options, *SIGNED, env=place.env))
    assert second["digest"] == first["digest"] and second["signed_by"]
    verified = commands.run("verify", f"{image}:1.0.0", "--key", KEY, *place.credentials, env=place.env)
    assert verified.code == 0 and json.loads(verified.stdout)["digest"] == first["digest"], verified.stderr


def test_what_is_not_signed_by_a_trusted_key_is_refused(
    commands: WarmStarter, traces: Traces, place: Place, tmp_path: Path
) -> None:
    """Another key, no signature, an attestation that nobody signed: by its name, for people and programs."""
    source = make_source(tmp_path / "app-unsigned")
    image = f"{traces.connection.registry}/{source.name}"
    options = ("--image", image, *place.credentials)
    result_of(commands.run("release", source, *options, env=place.env))
    verify = ("verify", f"{image}:0.1.0", *place.credentials)
    said = commands.run(*verify, "--key", KEY, env=place.env)
    assert (said.code, json.loads(said.stdout)["verified"]) == (1, False)
    assert json.loads(said.stdout)["error"]["cause"] == "NotSigned"
    result_of(commands.run("release", source, *options, "--again", *SIGNED, env=place.env))
    verify = ("verify", f"{image}:0.2.0", *place.credentials)
    other = commands.run(*verify, "--key", "vault:transit/other", env=place.as_root())
    assert json.loads(other.stdout)["error"]["cause"] == "UntrustedKey"
    without = commands.run(*verify, "--key", KEY, "--sbom", env=place.env)
    assert json.loads(without.stdout)["error"]["cause"] == "NotAttested"


def test_a_moved_tag_is_noticed(commands: WarmStarter, traces: Traces, place: Place, tmp_path: Path) -> None:
    """Somebody with the registry's password writes a version's tag anew: what it names now is not signed, the digest
    that was released still is, and no release takes the tag for its own."""
    source = make_source(tmp_path / "app-moved")
    image = f"{traces.connection.registry}/{source.name}"
    options = ("--image", image, "--version", "1.0.0", *SIGNED, *place.credentials)
    result = result_of(commands.run("release", source, *options, env=place.env))
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "Dockerfile").write_text("FROM scratch\nLABEL evil=true\n")
    moved = commands.run("build", tmp_path / "evil", "--push", "--tag", f"{image}:1.0.0")
    assert moved.code == 0, moved.stderr
    verify = ("--key", KEY, *place.credentials)
    by_tag = commands.run("verify", f"{image}:1.0.0", *verify, env=place.env)
    assert (by_tag.code, json.loads(by_tag.stdout)["error"]["cause"]) == (1, "NotSigned")
    assert commands.run("verify", f"{image}@{result['digest']}", *verify, env=place.env).code == 0
    again = commands.run("release", source, *options, env=place.env)
    assert json.loads(again.stdout)["error"]["cause"] == "VersionTaken"


@pytest.mark.parametrize("key", ["vault:transit/absent", "vault:secret/absent"])
def test_a_key_that_cannot_sign_is_told_before_anything_is_built(
    commands: WarmStarter, traces: Traces, place: Place, tmp_path: Path, key: str
) -> None:
    """With the policy that is missing; no version is used."""
    source = make_source(tmp_path / "app-keyless")
    image = f"{traces.connection.registry}/{source.name}"
    options = ("--image", image, *place.credentials)
    ended = commands.run("release", source, *options, "--sign", key, env=place.env)
    said = complaint(ended)
    policy = key.removeprefix("vault:").replace("/absent", "/sign/absent")
    assert "denies it" in said and f'path "{policy}"' in said, said
    assert "build and push" not in ended.stderr
    assert traces.tags(source.name) == []


def test_nothing_is_public_where_vault_refuses_to_sign(
    commands: WarmStarter, traces: Traces, place: Place, tmp_path: Path
) -> None:
    """The public key can be read, so the image is built; without the signature it gets no tag, and its version is
    free."""
    source = make_source(tmp_path / "sign-refused")
    image = f"{traces.connection.registry}/{source.name}"
    options = ("--image", image, *place.credentials)
    readable = ("transit/keys/release", "secret/data/registry")
    rules = "\n".join(f'path "{path}" {{ capabilities = ["read"] }}' for path in readable)
    place.vault.root.call("POST", "sys/policies/acl/reader", {"policy": rules})
    reader = {**place.env, "VAULT_TOKEN": str(place.vault.token(policies=["reader"])["client_token"])}
    said = complaint(commands.run("release", source, *options, *SIGNED, env=reader))
    assert "denies it" in said and "transit/sign/release" in said
    assert [tag for tag in traces.tags(source.name) if not tag.startswith("sha256-")] == []
    assert result_of(commands.run("release", source, *options, *SIGNED, env=place.env))["version"] == "0.1.0"
