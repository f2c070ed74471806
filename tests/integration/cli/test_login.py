"""`slipway login`: docker and its kin get a registry's credential from Vault, each by its own means."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from prefect_slipway.infra.local.registry import write_users
from tests.conftest import SLIPWAY, RunningStack, clean_environment, run_slipway
from tests.releases import make_source
from tests.servers import VaultServer, registry_server, vault_server
from tests.waiting import PATIENCE_S

HELPER = "docker-credential-slipway"
TOOLS = ("docker", "podman", "skopeo", "cosign", "oras")


@dataclass(frozen=True)
class User:
    """Somebody with a home of their own, on the machine of the session's stack.

    `env`: of a new shell, which knows nothing of the stack. `docker`: with the address of the engine.
    """

    home: Path
    env: Mapping[str, str]
    stack: Mapping[str, str]

    @property
    def config(self) -> Path:
        return self.home / ".docker" / "config.json"

    @property
    def logins(self) -> Path:
        return self.home / ".config" / "slipway" / "logins.json"

    def slipway(self, *arguments: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
        return run_slipway(*arguments, env={**self.stack, **self.env, **more})

    def run(self, *command: str | Path, text: str | None = None, **more: str) -> subprocess.CompletedProcess[str]:
        """In the new shell."""
        return subprocess.run(
            command,
            input=text,
            env={**self.env, **more},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def helper(self, action: str, text: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        return self.run(HELPER, action, text=text, **more)

    def get(self, server: str, **more: str) -> dict[str, Any]:
        answer = self.helper("get", server, **more)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        found: dict[str, Any] = json.loads(answer.stdout)
        return found

    def pulls(self, tool: str, reference: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
        """The image, by what the tool has for that."""
        folder.mkdir()
        by_tag = reference.partition("@")[0]
        commands: dict[str, list[str | Path]] = {
            "docker": ["docker", "pull", reference],
            "podman": [
                *("podman", "--root", folder / "root", "--runroot", folder / "run", "--storage-driver", "vfs"),
                *("pull", "--tls-verify=false", reference),
            ],
            "skopeo": ["skopeo", "copy", "--src-tls-verify=false", f"docker://{by_tag}", f"dir:{folder}/image"],
            "cosign": ["cosign", "save", "--dir", folder / "image", reference],
            "oras": ["oras", "manifest", "fetch", "--plain-http", reference],
        }
        pulled = self.run(*commands[tool], **more)
        if tool == "docker" and pulled.returncode == 0:
            self.remove(reference)
        return pulled

    def remove(self, reference: str) -> None:
        """From the engine, which is the builder of other tests."""
        assert self.run("docker", "rmi", reference).returncode == 0


@pytest.fixture
def user(stack: RunningStack, tmp_path: Path) -> User:
    home = tmp_path / "home"
    (home / ".local" / "bin").mkdir(parents=True)
    path = f"{home}/.local/bin:{os.environ['PATH']}"
    env = {name: value for name, value in clean_environment().items() if not name.startswith(("XDG_", "REGISTRY_"))}
    engine = stack.connection.builder.replace("docker://", "unix://")
    return User(home, {**env, "HOME": str(home), "PATH": path, "DOCKER_HOST": engine}, stack.env)


@pytest.fixture(scope="module")
def released(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The reference, by tag and digest, of an image in the stack's registry."""
    source = make_source(tmp_path_factory.mktemp("pulled") / "pulled")
    return str(json.loads(run_slipway("release", source, "--format", "json", env=stack.env).stdout)["reference"])


def needs(tool: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")


@pytest.mark.parametrize("tool", TOOLS)
def test_it_works_with(tool: str, user: User, released: str, tmp_path: Path) -> None:
    """Refused before the login and after the logout, pulled between them; the password lies in no file."""
    needs(tool)
    host = released.partition("/")[0]
    assert user.pulls(tool, released, tmp_path / "1").returncode != 0
    login = user.slipway("login")
    assert login.returncode == 0, login.stderr
    assert login.stdout.splitlines() == [
        f"{host}: docker, podman, skopeo, cosign and oras now use the credential in vault:secret/slipway/registry",
        f"  {user.config}",
        f"  {user.home}/.local/bin/{HELPER}",
    ]
    pulled = user.pulls(tool, released, tmp_path / "2")
    assert pulled.returncode == 0, pulled.stdout + pulled.stderr
    secret = user.get(host)["Secret"]
    found = [path for path in user.home.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert found == []
    assert user.slipway("logout").stdout == f"{host}: logged out\n"
    assert user.pulls(tool, released, tmp_path / "3").returncode != 0
    assert [path for path in (user.config, user.logins, user.home / ".local/bin" / HELPER) if path.exists()] == []


@pytest.mark.parametrize("tool", ["podman", "skopeo", "cosign"])
def test_podmans_own_file_counts(tool: str, user: User, released: str, tmp_path: Path) -> None:
    """REGISTRY_AUTH_FILE, which they read in place of docker's; an entry in it that is out of date is no hindrance."""
    needs(tool)
    host = released.partition("/")[0]
    file = tmp_path / "auth.json"
    before = json.dumps({"auths": {host: {"auth": "b2xkOm9sZA=="}}}, indent="\t")
    file.write_text(before)
    named = {"REGISTRY_AUTH_FILE": str(file)}
    if tool != "cosign":  # which reads it only where docker has no file
        assert user.pulls(tool, released, tmp_path / "1", **named).returncode != 0
    assert f"  {file}" in user.slipway("login", **named).stdout
    pulled = user.pulls(tool, released, tmp_path / "2", **named)
    assert pulled.returncode == 0, pulled.stderr
    # Without the variable as well: what was changed is known.
    assert user.slipway("logout").returncode == 0
    assert file.read_text() == before


def test_dockers_folder_may_be_elsewhere(user: User, released: str, tmp_path: Path) -> None:
    """DOCKER_CONFIG."""
    named = {"DOCKER_CONFIG": str(tmp_path / "elsewhere")}
    assert user.slipway("login", **named).returncode == 0
    assert not user.config.exists()
    assert user.pulls("docker", released, tmp_path / "image", **named).returncode == 0


def test_what_the_report_prints_works(user: User, tmp_path: Path) -> None:
    """The last lines of a release, typed as they stand there in a new shell, get the image; once somebody is logged in
    the login is not printed any more."""
    source = make_source(tmp_path / "printed")
    by_default = {name: value for name, value in user.env.items() if name != "DOCKER_HOST"}
    told = run_slipway("release", source, env={**user.stack, **by_default})
    *_, login, pull = (line.strip() for line in told.stdout.splitlines())
    assert login == f"{SLIPWAY} login"
    for command in (login, pull):
        # The stack is found by the user's SLIPWAY_HOME; all else is the shell's.
        env = {**by_default, "SLIPWAY_HOME": user.stack["SLIPWAY_HOME"]}
        done = subprocess.run(["sh", "-c", command], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (command, done.stderr)
    assert "Status: " in done.stdout
    user.remove(pull.rpartition(" ")[2])
    again = run_slipway("release", source, env={**user.stack, **by_default}).stdout.splitlines()
    assert again[-2] == "  pull:"
    assert again[-1].startswith("    docker ")


def test_docker_login_and_logout_go_through_it(user: User, released: str, tmp_path: Path) -> None:
    """What docker stores is what it got, and no other; after its logout nothing is given until the next login."""
    host = released.partition("/")[0]
    assert user.slipway("login").returncode == 0
    again = user.run("docker", "login", host)
    assert (again.returncode, "Login Succeeded" in again.stdout) == (0, True), again.stderr
    other = user.helper("store", json.dumps({"ServerURL": host, "Username": "me", "Secret": "mine"}))
    assert other.returncode == 1
    assert f"the credential of {host} is in Vault: vault:secret/slipway/registry" in other.stdout
    assert user.run("docker", "logout", host).returncode == 0
    assert user.pulls("docker", released, tmp_path / "1").returncode != 0
    assert user.slipway("login").returncode == 0
    assert user.pulls("docker", released, tmp_path / "2").returncode == 0


def test_the_protocol(user: User, released: str) -> None:
    """As the helpers of docker/docker-credential-helpers speak it: answers and errors on standard output."""
    host = released.partition("/")[0]
    assert user.slipway("login").returncode == 0
    answer = user.get(f"{host}\n")
    assert (list(answer), answer["ServerURL"]) == (["ServerURL", "Username", "Secret"], host)
    assert user.get(f"https://{host}")["Secret"] == answer["Secret"]
    assert json.loads(user.helper("list").stdout) == {host: answer["Username"]}
    assert user.helper("version").stdout.startswith(f"{HELPER} ")
    unknown = user.helper("get", "other.example")
    assert (unknown.returncode, unknown.stdout) == (1, "credentials not found in native keychain\n")
    assert user.helper("erase", "other.example").returncode == 0
    for action, text in (("store", "{"), ("store", "[]"), ("store", '{"ServerURL": "other.example"}'), ("fetch", "")):
        refused = user.helper(action, text)
        assert refused.returncode == 1
        assert refused.stdout
        assert "Traceback" not in refused.stderr
    assert user.helper("erase", host).returncode == 0
    assert user.helper("get", host).stdout == "credentials not found in native keychain\n"


def test_a_stack_that_is_down_is_said(user: User, released: str) -> None:
    """Where the tool shows it, too: docker passes over what a helper says on its standard output."""
    host = released.partition("/")[0]
    assert user.slipway("login").returncode == 0
    noted = json.loads(user.logins.read_text())
    noted[host]["home"] = str(user.home / "nothing")
    user.logins.write_text(json.dumps(noted))
    pulled = user.run("docker", "pull", released)
    assert pulled.returncode == 1
    assert f"slipway: the embedded stack is not running in {user.home}/nothing\nNext: run `slipway up`" in pulled.stderr
    user.logins.write_text("{")
    assert f"{user.logins} cannot be read" in user.helper("get", host).stdout
    user.logins.unlink()
    user.logins.parent.rmdir()
    user.logins.parent.symlink_to("/proc/none")
    refused = user.slipway("login")
    assert (refused.returncode, f"{user.logins} cannot be written" in refused.stderr) == (2, True), refused.stderr


def test_a_purge_ends_the_login(user: User) -> None:
    """The registry is no more, and so is its entry; others stay."""
    assert user.slipway("login").returncode == 0
    noted = json.loads(user.logins.read_text())
    (host,) = noted
    kept = user.config.read_text().replace("{", '{\n\t"auths": {},', 1)
    user.config.write_text(kept)
    purged = str(user.home / "purged")
    user.logins.write_text(json.dumps({host: {**noted[host], "home": purged}}))
    assert run_slipway("down", "--purge", env={**user.env, "SLIPWAY_HOME": purged}).returncode == 0
    assert not user.logins.exists()
    assert json.loads(user.config.read_text()) == {"auths": {}}


# A registry and a Vault of one's own ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Own:
    """`env`: by which Slipway finds the Vault, and may read all of its secrets."""

    host: str
    home: Path
    vault: VaultServer
    env: Mapping[str, str]

    def let_in(self, password: str) -> None:
        """Change the password, in the registry and in Vault."""
        write_users(self.home, {"alice": password})
        self.vault.put("secret/team/registry", {"username": "alice", "password": password})


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Own]:
    home = tmp_path_factory.mktemp("registry")
    with registry_server(home, {"alice": "first"}) as host, vault_server(tmp_path_factory.mktemp("vault")) as vault:
        role = vault.approle("reads", 'path "secret/data/*" { capabilities = ["read"] }')
        env = {"VAULT_ADDR": vault.address, "VAULT_ROLE_ID": role["role_id"], "VAULT_SECRET_ID": role["secret_id"]}
        one = Own(host, home, vault, env)
        one.let_in("first")
        yield one


def test_any_credential_in_vault(user: User, own: Own) -> None:
    """`--credentials` as a release has it; a changed password counts at once. The way into one's own Vault is in the
    environment, and another Vault's token is not sent there."""
    login = user.slipway("login", own.host, "--credentials", "vault:secret/team/registry", **own.env)
    assert login.returncode == 0, login.stderr
    assert user.get(own.host, **own.env)["Secret"] == "first"
    listed = user.run("skopeo", "login", "--get-login", own.host, **own.env)
    assert listed.stdout == "alice\n"
    own.let_in("second")
    assert user.get(own.host, **own.env)["Secret"] == "second"
    without = user.helper("get", own.host)
    assert (without.returncode, "but no login is" in without.stderr) == (1, True)
    elsewhere = user.helper("get", own.host, **{**own.env, "VAULT_ADDR": "http://127.0.0.1:9"})
    assert "but VAULT_ADDR is http://127.0.0.1:9" in elsewhere.stdout
    assert user.slipway("logout", own.host).returncode == 0
    assert not user.config.exists()


def test_hosts_may_be_named_as_for_a_release(user: User, own: Own) -> None:
    """HOST=vault:…, and both logins stand side by side; `--all` ends all."""
    assert user.slipway("login").returncode == 0
    where = f"{own.host}=vault:secret/team/registry"
    assert user.slipway("login", "--credentials", where, **own.env).returncode == 0
    assert set(json.loads(user.config.read_text())["credHelpers"].values()) == {"slipway"}
    assert user.get(own.host, **own.env)["Username"] == "alice"
    assert len(user.slipway("logout", "--all").stdout.splitlines()) == 2
    assert not user.config.exists()
    assert user.slipway("logout").stdout == "not logged in\n"


def test_a_saved_registry_may_be_named(user: User, own: Own, stack: RunningStack) -> None:
    """block:NAME, which Prefect knows."""
    fields = f"host={own.host!r}, credential='vault:secret/team/registry'"
    saving = f"from prefect_slipway.blocks import Registry; Registry({fields}).save('login')"
    env = {**user.env, "PREFECT_API_URL": stack.connection.prefect_api_url}
    saved = subprocess.run(
        [SLIPWAY.with_name("python"), "-c", saving], env=env, capture_output=True, text=True, check=False
    )
    assert saved.returncode == 0, saved.stderr
    login = user.slipway("login", "--credentials", "block:login", **own.env)
    assert login.returncode == 0, login.stderr
    assert user.get(own.host, **own.env)["Username"] == "alice"


def test_what_is_wrong_is_said_before_anything_is_written(user: User, own: Own) -> None:
    """A password that the registry refuses, a secret that is not there, no Vault, no name."""
    own.vault.put("secret/team/wrong", {"username": "alice", "password": "wrong"})
    for where, said in (
        ("vault:secret/team/wrong", "401"),
        ("vault:secret/team/none", "has nothing there"),
        ("secret/team/registry", "not of the form vault:MOUNT/PATH"),
    ):
        refused = user.slipway("login", own.host, "--credentials", where, **own.env)
        assert refused.returncode in {1, 2}
        assert said in refused.stderr
        assert "Next: " in refused.stderr
    assert "no credential was given for r.example" in user.slipway("login", "r.example").stderr
    nowhere = run_slipway("login", env={**user.env, "SLIPWAY_HOME": str(user.home / "none")})
    assert (
        nowhere.returncode,
        "no registry was given, and the embedded stack is not running in" in nowhere.stderr,
    ) == (
        2,
        True,
    )
    assert not user.config.exists()
    assert not user.logins.exists()


def test_a_helper_that_docker_would_not_find(user: User, tmp_path: Path) -> None:
    """Where no folder on PATH takes a link to it: how to put it there, and nothing is changed."""
    only = tmp_path / "only"
    only.mkdir()
    refused = user.slipway("login", PATH=str(only))
    assert refused.returncode == 1
    assert f"the program {HELPER} is not on PATH" in refused.stderr
    assert f'Next: export PATH="$PATH:{SLIPWAY.parent}"' in refused.stderr
    assert not user.config.exists()


def test_a_plain_build_uses_it_as_well(user: User, own: Own, tmp_path: Path) -> None:
    """`slipway build` reads docker's configuration: a base image's registry is asked with what the helper says."""
    assert user.slipway("login", own.host, "--credentials", "vault:secret/team/registry", **own.env).returncode == 0
    name = f"{own.host}/team/base:1"
    built = user.slipway("build", make_source(tmp_path / "base"), "--tag", name, "--push", **own.env)
    assert built.returncode == 0, built.stderr
    inspected = user.run("skopeo", "inspect", "--tls-verify=false", f"docker://{name}", **own.env)
    assert inspected.returncode == 0, inspected.stderr
