"""A release takes what a build takes: secrets and keys from Vault, contexts, annotations, limits."""

from __future__ import annotations

import base64
import json
import secrets
import sqlite3
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from prefect_slipway.flows.bake.targets import Target
from prefect_slipway.flows.planning.source import look_into
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.run.open_run import open_run
from prefect_slipway.flows.run.sources import open_source
from prefect_slipway.infra.domain.errors import InvalidOption
from tests import patient
from tests.accounts import accounts_at
from tests.conftest import RunningStack
from tests.integration.release.conftest import Release
from tests.releases import BASE, Traces, complaint, make_source, registry_login, result_of, run_line
from tests.servers import VaultServer, vault_server
from tests.warm import Ended, WarmStarter

PLACE = "secret/npm#token"


@dataclass(frozen=True)
class Safe:
    """A Vault with the registry's credential and a token, and the environment of releases that use it."""

    vault: VaultServer
    env: Mapping[str, str]
    token: str

    def options(self, traces: Traces, source: Path) -> tuple[str, ...]:
        image = f"{traces.connection.registry}/{source.name}"
        return ("--image", image, "--credentials", "vault:secret/registry", "--format", "json")


@pytest.fixture(scope="module")
def safe(tmp_path_factory: pytest.TempPathFactory, traces: Traces) -> Iterator[Safe]:
    user, password = registry_login(traces.connection)
    token = f'{secrets.token_urlsafe(12)} "/+ü'
    with vault_server(tmp_path_factory.mktemp("vault")) as server:
        server.put("secret/registry", {"username": user, "password": password})
        server.put("secret/npm", {"token": token})
        root = server.token(policies=["root"])["client_token"]
        yield Safe(server, {"VAULT_ADDR": server.address, "VAULT_TOKEN": str(root)}, token)


def mounts(kind: str, command: str) -> str:
    """A RUN instruction that mounts a secret or an agent."""
    return f"RUN --mount={kind} {json.dumps(['/bin/busybox', 'sh', '-c', command])}\n"


def manifest(traces: Traces, result: dict[str, Any], what: str = "manifests") -> dict[str, Any]:
    """Of the image for its only platform."""
    (digest,) = result["platforms"].values()
    host, _, name = result["image"].partition("/")
    answer = patient.get(
        f"http://{host}/v2/{name}/{what}/{digest}",
        auth=registry_login(traces.connection),
        headers={"Accept": "application/vnd.oci.image.manifest.v1+json"},
    )
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


def all_that_is_left(traces: Traces, run: Mapping[str, Any], ended: Ended) -> str:
    """By a run: what it printed, its log and report, and the server's database."""
    database = traces.connection.home / "prefect" / "prefect.db"
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as prefect:
        kept = "\n".join(prefect.iterdump())
    return "\n".join([ended.stderr, ended.stdout, *traces.log(run["id"]), traces.report(run["id"]), kept])


def encoded(secret: str) -> tuple[str, ...]:
    """As a log may have it."""
    return secret, base64.b64encode(secret.encode()).decode(), quote(secret, safe=""), json.dumps(secret)[1:-1]


def test_a_secret_that_vault_makes_is_revoked_with_the_run(
    commands: WarmStarter, traces: Traces, safe: Safe, tmp_path: Path
) -> None:
    """Leased for the release: the step has one that is good, and afterwards nobody has it."""
    step = mounts("type=secret,id=queue,required=true", "cat /run/secrets/queue; echo")
    source = make_source(tmp_path / "app-leased", BASE + step)
    with accounts_at(safe.vault.root, "queue", ttl_s=3600) as accounts:
        secret = ("--secret", "id=queue,vault=queue/creds/push#password")
        ended = commands.run("release", source, *secret, *safe.options(traces, source), env=safe.env)
        result_of(ended)
        assert accounts.made >= 1 and "***" in ended.stderr
        assert accounts.users == set()
    everything = all_that_is_left(traces, traces.runs(f"{source.name} 0.1.0")[0], ended)
    assert not any(form in everything for password in accounts.passwords for form in encoded(password))


def test_a_secret_comes_from_vault_and_is_nowhere(
    commands: WarmStarter, traces: Traces, safe: Safe, tmp_path: Path
) -> None:
    """A step has it; a step that prints it, in any encoding, prints asterisks; nothing that is left holds it."""
    forms = "cat /run/secrets/npm; echo; /bin/busybox base64 -w0 /run/secrets/npm; echo"
    source = make_source(
        tmp_path / "app-secret",
        BASE + mounts("type=secret,id=npm,required=true", f"{forms}; /bin/busybox wc -c < /run/secrets/npm > /size"),
    )
    ended = commands.run(
        "release", source, "--secret", f"id=npm,vault={PLACE}", *safe.options(traces, source), env=safe.env
    )
    result = result_of(ended)
    assert "***" in ended.stderr
    run = traces.runs(f"{source.name} 0.1.0")[0]
    everything = all_that_is_left(traces, run, ended)
    for form in encoded(safe.token):
        assert form not in everything
    assert PLACE in json.dumps(run["parameters"])
    assert result["steps"] > 0


def test_a_failed_step_does_not_tell_the_secret(
    commands: WarmStarter, traces: Traces, safe: Safe, tmp_path: Path
) -> None:
    """Its last lines are quoted in the error, masked."""
    source = make_source(
        tmp_path / "app-tells", BASE + mounts("type=secret,id=npm", "cat /run/secrets/npm; echo; exit 9")
    )
    ended = commands.run(
        "release", source, "--secret", f"id=npm,vault={PLACE}", *safe.options(traces, source), env=safe.env
    )
    said = complaint(ended)
    assert "***" in said and safe.token not in ended.stderr
    assert safe.token not in traces.state(source.name)["message"]


def test_a_secret_that_vault_lacks_is_told_before_anything_is_built(
    commands: WarmStarter, traces: Traces, safe: Safe, tmp_path: Path
) -> None:
    """Its place is named, and no version is used."""
    source = make_source(tmp_path / "app-lacks", BASE + mounts("type=secret,id=npm", "true"))
    options = safe.options(traces, source)
    ended = commands.run("release", source, "--secret", "id=npm,vault=secret/absent#token", *options, env=safe.env)
    said = complaint(ended)
    assert "vault:secret/absent" in said and "provision builder" not in ended.stderr
    ended = commands.run("plan", source, "--secret", "id=npm,vault=secret/absent#token", *options, env=safe.env)
    assert "vault:secret/absent" in complaint(ended)
    ended = commands.run("release", source, "--secret", "id=npm,vault=secret/npm#other", *options, env=safe.env)
    assert "no text in the field 'other'" in complaint(ended)
    assert traces.tags(source.name) == []


def test_a_key_comes_from_vault(commands: WarmStarter, traces: Traces, safe: Safe, tmp_path: Path) -> None:
    """A step is offered an agent, and never the key."""
    key = ed25519.Ed25519PrivateKey.generate()
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    ).decode()
    safe.vault.put("secret/deploy", {"private_key": text.strip()})
    source = make_source(
        tmp_path / "app-ssh",
        BASE + mounts("type=ssh,required=true", 'test -S "$SSH_AUTH_SOCK" && echo agent is offered'),
    )
    ended = commands.run(
        "release",
        source,
        "--ssh",
        "default=vault:secret/deploy#private_key",
        *safe.options(traces, source),
        env=safe.env,
    )
    result_of(ended)
    assert "agent is offered" in ended.stderr


def test_what_a_person_types_is_as_with_buildx(
    commands: WarmStarter, traces: Traces, safe: Safe, tmp_path: Path
) -> None:
    """Files and directories relative to here, the environment, hosts, limits, annotations, another compression."""
    (tmp_path / "here" / "more").mkdir(parents=True)
    (tmp_path / "here" / "more" / "file").write_text("of another context")
    (tmp_path / "here" / "secret.txt").write_text("typed-secret-of-a-file")
    check = (
        'grep -q "10.1.2.3.*other.example" /etc/hosts && test "$(ulimit -n)" = 1234 '
        '&& test "$(cat /file)" = "of another context" && test "$(cat /run/secrets/file)" = typed-secret-of-a-file'
    )
    source = make_source(
        tmp_path / "app-typed", BASE + "COPY --from=more file /file\n" + mounts("type=secret,id=file", check)
    )
    options = (
        "--secret", "id=file,src=secret.txt", "--build-context", "more=more", "--add-host", "other.example:10.1.2.3",
        "--ulimit", "nofile=1234", "--annotation", "com.example.by=test", "--compression", "zstd",
        "--force-compression", "--oci-media-types", "--pull",
    )  # fmt: skip
    ended = commands.run(
        "release", source, *options, *safe.options(traces, source), env=safe.env, cwd=tmp_path / "here"
    )
    found = manifest(traces, result_of(ended))
    assert found["annotations"]["com.example.by"] == "test"
    assert all(layer["mediaType"].endswith("+zstd") for layer in found["layers"])


def test_outputs_and_caches_are_written_where_somebody_types(
    commands: WarmStarter, traces: Traces, safe: Safe, tmp_path: Path
) -> None:
    """An archive with the images that were pushed, their files, and a cache that another release imports; the plan and
    the report say so, and nothing else is left beside them."""
    here = tmp_path / "here"
    here.mkdir()
    source = make_source(tmp_path / "options-beside", BASE + run_line("echo built > /made"))
    options = (
        "--output", "type=oci,dest=air/app.tar", "--output", "type=local,dest=files",
        "--cache-to", "type=local,dest=cache,mode=max", "--cache-from", "type=local,src=cache",
        *safe.options(traces, source),
    )  # fmt: skip
    planned = commands.run("plan", source, *options, env=safe.env, cwd=here)
    outputs = [f"type=oci,dest={here}/air/app.tar", f"type=local,dest={here}/files"]
    plan = json.loads(planned.stdout)
    assert plan["build_options"]["outputs"] == outputs
    assert f"write {outputs[0]} when it is verified" in plan["effects"]
    result = result_of(commands.run("release", source, *options, env=safe.env, cwd=here))
    with tarfile.open(here / "air" / "app.tar") as archive:
        held = {name.removeprefix("blobs/sha256/") for name in archive.getnames()}
    assert {digest.removeprefix("sha256:") for digest in result["platforms"].values()} <= held
    assert (here / "files" / "made").read_text() == "built\n"
    assert (here / "cache" / "index.json").is_file()
    assert sorted(path.name for path in here.rglob("*partial*")) == []
    report = traces.report(traces.runs(f"{source.name} 0.1.0")[0]["id"])
    assert "build options" in report and "air/app.tar" in report
    second = commands.run("release", source, "--again", *options, env=safe.env, cwd=here)
    assert result_of(second)["version"] == "0.2.0"


def test_nothing_is_written_beside_a_failed_build(
    commands: WarmStarter, traces: Traces, safe: Safe, tmp_path: Path
) -> None:
    """What was there stays."""
    source = make_source(tmp_path / "app-fails-beside", BASE + run_line("exit 7"))
    (tmp_path / "app.tar").write_text("of yesterday")
    options = ("--output", "type=oci,dest=app.tar", *safe.options(traces, source))
    complaint(commands.run("release", source, *options, env=safe.env, cwd=tmp_path))
    assert (tmp_path / "app.tar").read_text() == "of yesterday"
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        (("--secret", "id=x,vault=nowhere"), "does not name a field"),
        (("--secret", "id=x,vault=secret/npm#token,env=X"), "vault= names the whole place"),
        (("--allow", "everything"), "--allow 'everything' is not known"),
        (("--shm-size", "much"), "--shm-size"),
        (("--add-host", "nohost"), "is not HOST:IP"),
        (("--attest", "mode=max"), "has no type"),
        (("--output", "type=docker,dest=x"), "neither type=oci,dest=FILE nor type=local,dest=DIRECTORY"),
        (("--cache-to", "type=s3,bucket=b,secret_access_key=k"), "contains a credential"),
    ],
)
def test_what_cannot_be_read_is_refused_at_once(
    commands: WarmStarter, tmp_path: Path, options: tuple[str, ...], cause: str
) -> None:
    """As a usage error, before there is a run."""
    source = make_source(tmp_path / "options-refused")
    ended = commands.run("release", source, *options)
    assert ended.code == 2, ended.stderr
    assert cause in ended.stderr and ">" not in ended.stderr.splitlines()[0]


def test_a_deployment_takes_nothing_of_the_machine_that_is_not_allowed(
    commands: WarmStarter, traces: Traces, safe: Safe, tmp_path: Path
) -> None:
    """Its parameters are not typed by who owns the machine; a file of the source neither."""
    source = make_source(tmp_path / "app-asks")
    (source / "docker-bake.json").write_text(
        json.dumps({"target": {"default": {"secret": [f"id=npm,vault={PLACE}"], "tags": ["example.com/app"]}}})
    )
    repository = ("--repository", f"{traces.connection.registry}/asks", "--credentials", "vault:secret/registry")
    ended = commands.run("bake", "--source", source, *repository, env=safe.env)
    assert f"allow it with --allow vault={PLACE}" in complaint(ended, 2)
    ended = commands.run("bake", "--source", source, *repository, "--allow", "vault=secret/*", env=safe.env)
    assert ended.code == 0, ended.stderr


@pytest.mark.parametrize(
    ("build", "permission"),
    [
        ({"outputs": ["type=oci,dest=/srv/app.tar"]}, "fs.write=/srv/app.tar"),
        ({"cache_to": ["type=local,dest=/srv/cache"]}, "fs.write=/srv/cache"),
        ({"cache_from": ["type=local,src=/srv/cache"]}, "fs.read=/srv/cache"),
    ],
)
async def test_places_of_the_worker_must_be_allowed(
    run_release: Release, source: Path, build: dict[str, object], permission: str
) -> None:
    """A deployment's parameters name them; the refusal says what whoever runs it has to allow."""
    with pytest.raises(InvalidOption) as raised:
        await run_release(source=str(source), build=build)
    assert f"--allow {permission}" in str(raised.value.action)


async def test_the_hosts_network_must_be_allowed(stack: RunningStack, source: Path) -> None:
    """On a builder with another one, before it is asked for anything; the embedded engine has no other."""
    allowed = {"network": "host", "allow": ["network.host"]}
    elsewhere = "tcp://127.0.0.1:9"
    for address, build in ((elsewhere, allowed), (stack.connection.builder, {"network": "host"})):
        assert (await looked_into(source, address, build)).network == "host"
    with pytest.raises(InvalidOption, match=r"--network host: it needs the entitlement network\.host"):
        await looked_into(source, elsewhere, {"network": "host"})


async def looked_into(source: Path, builder: str, build: Mapping[str, object]) -> Target:
    request = ReleaseRequest.read({"source": str(source), "builder": {"address": builder}, "build": build})
    async with open_run(request) as run, await open_source(run) as checkout:
        return look_into(run, checkout).targets.targets["image"]


async def test_a_commit_that_was_released_with_other_options_is_told(run_release: Release, repository: Path) -> None:
    """It is not released again without being asked, and the difference is not passed over."""
    assert (await run_release(source=str(repository))).released
    same = await run_release(source=str(repository))
    assert same.reason == "this commit is already released as 0.1.0; use --again to release it again"
    other = await run_release(source=str(repository), build={"labels": {"team": "blue"}})
    assert "released as 0.1.0 with other build options" in other.reason


def test_the_plan_of_steps_is_the_same_in_a_rerun(
    commands: WarmStarter, traces: Traces, safe: Safe, tmp_path: Path
) -> None:
    """The options are a part of what is released: the same ones are the same release, others are not."""
    source = make_source(tmp_path / "app-again", BASE + run_line("true"))
    options = (*safe.options(traces, source), "--version", "1.0.0")
    first = result_of(commands.run("release", source, "--annotation", "a=1", *options, env=safe.env))
    again = result_of(commands.run("release", source, "--annotation", "a=1", *options, env=safe.env))
    assert again["digest"] == first["digest"]
    said = complaint(commands.run("release", source, "--annotation", "a=2", *options, env=safe.env))
    assert "1.0.0 is released or reserved already" in said
