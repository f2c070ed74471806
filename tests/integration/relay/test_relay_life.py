"""The relay over time: secrets change, rules change, Prefect goes and comes, it is told to end."""

from __future__ import annotations

import errno
import json
import signal
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import RunningStack
from tests.faults import Front, front
from tests.integration.relay.conftest import (
    RULES,
    Probe,
    RunningRelay,
    commit_id,
    github_push,
    hex_hmac,
    running_relay,
)
from tests.releases import complaint
from tests.servers import VaultServer, vault_server
from tests.waiting import PATIENCE_S, looks, wait_until
from tests.warm import WarmStarter, warm_starter

PLACE = "vault:secret/webhooks/forgejo"


@dataclass(frozen=True)
class Surroundings:
    """`prefect`: a front before the server that can be spoilt. `starter`: commands that know that and this Vault."""

    prefect: Front
    vault: VaultServer
    starter: WarmStarter


@pytest.fixture(scope="module")
def surroundings(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Surroundings]:
    with ExitStack() as exits:
        asked = exits.enter_context(front(urlsplit(stack.connection.prefect_api_url).netloc))
        vault = exits.enter_context(vault_server(tmp_path_factory.mktemp("vault")))
        vault.put("secret/webhooks/forgejo", {"secret": "the first secret in Vault"})
        role = vault.approle("relay", 'path "secret/data/webhooks/*" { capabilities = ["read"] }')
        env = {
            **stack.env,
            "PREFECT_API_URL": f"http://{asked.host}/api",
            # The relay's own patience is tried by a unit of its own: here a refusal is one at once.
            "PREFECT_CLIENT_MAX_RETRIES": "0",
            "VAULT_ADDR": vault.address,
            "VAULT_ROLE_ID": role["role_id"],
            "VAULT_SECRET_ID": role["secret_id"],
        }
        yield Surroundings(asked, vault, exits.enter_context(warm_starter(env)))


@pytest.fixture
def relay(surroundings: Surroundings, probe: Probe, tmp_path: Path) -> Iterator[RunningRelay]:
    """One whose source `forgejo` has its secret in Vault."""
    rules = RULES.format(folder=tmp_path).replace(f"file:{tmp_path}/forgejo", PLACE)
    (tmp_path / "rules.yaml").write_text(rules)
    with running_relay(surroundings.starter, tmp_path) as running:
        yield running


def by_forgejo(relay: RunningRelay, secret: str) -> int:
    """The status of a delivery that is signed with it."""
    body = json.dumps(github_push(commit_id())).encode()
    headers = {
        "X-Forgejo-Delivery": str(uuid.uuid4()),
        "X-Forgejo-Event": "push",
        "X-Forgejo-Signature": hex_hmac(secret, body),
    }
    return relay.post_until_taken("forgejo", body, headers).status_code


def within(seconds: float, relay: RunningRelay, secret: str, status: int) -> None:
    deadline = time.monotonic() + seconds
    while (last := by_forgejo(relay, secret)) != status:
        assert time.monotonic() < deadline, (last, relay.log)
        time.sleep(0.2)


def test_a_secret_is_changed_in_vault(relay: RunningRelay, surroundings: Surroundings) -> None:
    """The new one opens at once, the old one as long as it is there as `previous`, and not much longer without."""
    vault = surroundings.vault
    old, new = "the first secret in Vault", "the second secret in Vault"
    assert by_forgejo(relay, old) == 200
    assert by_forgejo(relay, new) == 403
    vault.put("secret/webhooks/forgejo", {"secret": new, "previous": old})
    within(20, relay, new, 200)
    assert by_forgejo(relay, old) == 200
    vault.put("secret/webhooks/forgejo", {"secret": new})
    within(30, relay, old, 403)
    assert by_forgejo(relay, new) == 200
    vault.put("secret/webhooks/forgejo", {"secret": old})
    assert old not in relay.log
    assert new not in relay.log


def test_vault_is_sealed(relay: RunningRelay, surroundings: Surroundings) -> None:
    """503, so that the forge sends it again; other sources are not concerned; then it works."""
    surroundings.vault.seal()
    try:
        assert by_forgejo(relay, "the first secret in Vault") == 503
        relay.command.until("the secret cannot be read")
        assert relay.github({"zen": ""}, **{"X-GitHub-Event": "ping"}).status_code == 200
    finally:
        surroundings.vault.unseal()
    within(30, relay, "the first secret in Vault", 200)


def test_prefect_does_not_answer(relay: RunningRelay, surroundings: Surroundings, probe: Probe) -> None:
    """503 and one line in the log; the same delivery later starts the run, once."""
    commit = commit_id()
    body = json.dumps(github_push(commit)).encode()
    headers = relay.github_headers(body)
    for status in (None, 500, 503):
        surroundings.prefect.spoil("POST", "create_flow_run", status, times=1)
        answer = relay.post("github", body, headers)
        assert answer.status_code == 503, answer.text
        assert answer.headers["Retry-After"]
        surroundings.prefect.heal()
    surroundings.prefect.spoil("*", "", None)
    assert relay.post("github", body, headers).status_code == 503
    surroundings.prefect.heal()
    refused = 4
    # Prefect's SQLite is locked now and then: that is one more refusal, and one more line.
    while (answer := relay.post("github", body, headers)).status_code == 503 and refused < 14:
        refused += 1
    assert answer.json()["outcome"] == "done"
    relay.command.until(f"{headers['X-GitHub-Delivery']}: rule")
    assert relay.log.count("can be sent again") == refused
    assert commit not in relay.log
    assert len(probe.runs_of(commit)) == 1


def test_the_answer_got_lost(relay: RunningRelay, surroundings: Surroundings, probe: Probe) -> None:
    """The run was created and the forge does not know: sent again, it is found and not made a second time."""
    commit = commit_id()
    body = json.dumps(github_push(commit)).encode()
    headers = relay.github_headers(body)
    assert relay.post_until_taken("github", body, headers).status_code == 200
    with running_relay(surroundings.starter, relay.secrets_folder) as second:
        # A relay that was started anew remembers nothing, and knows other secrets here.
        again = relay.github_headers(body, second.secrets["github"])
        answer = second.post_until_taken(
            "github", body, {**headers, "X-Hub-Signature-256": again["X-Hub-Signature-256"]}
        )
        assert [run["new"] for run in answer.json()["runs"]] == [False]
    assert len(probe.runs_of(commit)) == 1


def runs_of(relay: RunningRelay, repository: str) -> list[str]:
    """The rules that a push to its main branch starts runs by."""
    body = json.dumps(github_push(commit_id(), repository=repository)).encode()
    answer = relay.post_until_taken("github", body, relay.github_headers(body))
    return [run["rule"] for run in answer.json()["runs"]]


def test_the_rules_change(relay: RunningRelay, probe: Probe) -> None:
    """A new file is in force soon, a bad one is not and is reported; SIGHUP looks at once."""
    path = relay.secrets_folder / "rules.yaml"
    good = path.read_text()
    path.write_text(good.replace("team/**", "crew/**"))
    relay.command.until("4 rules are active")
    assert runs_of(relay, "team/app") == []
    assert runs_of(relay, "crew/app") == ["main"]
    path.write_text(good.replace("deployment:", "deploiment:"))
    relay.command.signal(signal.SIGHUP)
    relay.command.until("the rules are unchanged: rules.yaml:14, rule main, deploiment")
    assert runs_of(relay, "crew/app") == ["main"]
    path.write_text(good)
    relay.command.signal(signal.SIGHUP)
    for _ in looks():
        if runs_of(relay, "team/app"):
            return
    raise AssertionError(relay.log)


def refused(port: int) -> bool:
    with socket.socket() as connection:
        connection.settimeout(5)
        return connection.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


def test_it_finishes_what_has_begun(relay: RunningRelay, probe: Probe) -> None:
    """SIGTERM in the middle of a delivery: nobody new is let in, and the delivery is answered and has its run."""
    commit = commit_id()
    body = json.dumps(github_push(commit)).encode()
    lines = ["POST /hooks/github HTTP/1.1", "Host: relay", "Content-Type: application/json", "Expect: 100-continue"]
    lines += [f"{name}: {value}" for name, value in relay.github_headers(body).items()]
    head = "\r\n".join([*lines, f"Content-Length: {len(body)}"]) + "\r\n\r\n"
    with socket.create_connection(("127.0.0.1", relay.port), timeout=PATIENCE_S) as connection:
        connection.sendall(head.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 100 "), "it is at work on it"
        connection.sendall(body[:10])
        relay.end()
        wait_until(lambda: refused(relay.port))
        connection.sendall(body[10:])
        answer = b""
        while data := connection.recv(65536):
            answer += data
    # 503 is an answer as well: a Prefect server on SQLite that is busy, and the forge is told to send it again.
    assert answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 503 "))
    assert len(probe.runs_of(commit)) == 1 or answer.startswith(b"HTTP/1.1 503 ")


def test_a_port_that_is_taken(relay: RunningRelay, surroundings: Surroundings) -> None:
    """It is said, with the address."""
    rules = relay.secrets_folder / "rules.yaml"
    listen = ("--listen", f"127.0.0.1:{relay.port}", "--health-listen", "127.0.0.1:0")
    ended = surroundings.starter.run("relay", *listen, "--rules", rules)
    assert ended.code == 1
    assert f"cannot listen on 127.0.0.1:{relay.port} (Address already in use)" in ended.stderr
    health = relay.health_url.removeprefix("http://")
    ended = surroundings.starter.run("relay", "--listen", "127.0.0.1:0", "--health-listen", health, "--rules", rules)
    assert (ended.code, f"cannot listen on {health} (Address already in use)" in ended.stderr) == (1, True)


def test_a_bad_rule_file_at_the_start(surroundings: Surroundings, tmp_path: Path) -> None:
    """Exit code 2 and the line; `--check` says the same without listening, or that all is well."""
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES.format(folder=tmp_path).replace("forge: gitea", "forge: gitee"))
    for arguments in (["--listen", "127.0.0.1:0"], ["--check"]):
        ended = surroundings.starter.run("relay", "--rules", rules, *arguments)
        assert ended.code == 2
        assert "rules.yaml:6, source gitea, forge" in ended.stderr
    rules.write_text(RULES.format(folder=tmp_path))
    checked = surroundings.starter.run("relay", "--rules", rules, "--check")
    assert (checked.code, checked.stdout) == (0, f"{rules}: 6 sources, 4 rules\n")


def test_a_trigger_without_a_server(surroundings: Surroundings) -> None:
    """`slipway trigger` names the server that does not answer, and what to do."""
    surroundings.prefect.spoil("*", "", None)
    said = complaint(surroundings.starter.run("trigger", "release/any"))
    surroundings.prefect.heal()
    assert f"the Prefect server {surroundings.prefect.host} does not answer" in said
