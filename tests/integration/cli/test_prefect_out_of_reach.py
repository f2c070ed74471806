"""A Prefect server that is not there, wants another key, lies elsewhere or is broken: each command says so alike."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import prefect
import pytest

from prefect_slipway.flows.cli.commands import COMMANDS
from tests.conftest import clean_environment, run_slipway
from tests.ports import free_port
from tests.releases import complaint
from tests.serving import serving
from tests.warm import WarmStarter, warm_starter

VERSION = "/admin/version"

# What each server answers to the question for its version, and to all else: status and body.
ANSWERS = {
    "wants another key": ((401, '{"detail": "no"}'), (401, '{"detail": "no"}')),
    "lies elsewhere": ((404, '{"detail": "Not Found"}'),) * 2,
    "is a web page": ((200, "<html></html>"),) * 2,
    "is broken": ((500, '{"exception_message": "Internal Server Error"}'),) * 2,
    "has a full disk": ((200, json.dumps(prefect.__version__)), (500, '{"exception_message": "no"}')),
    "is older": ((200, '"2.20.4"'), (404, '{"detail": "Not Found"}')),
}
SAID = {
    "is not there": ("does not answer: connection refused", "check PREFECT_API_URL and that the server is running"),
    "wants another key": ("answered 401", "set PREFECT_API_AUTH_STRING"),
    "lies elsewhere": ("there is no Prefect API at 127.0.0.1:", "check PREFECT_API_URL: it must be the address"),
    "is a web page": ("is not a Prefect API", "check PREFECT_API_URL: it must be the address"),
    "is broken": ("answered 500", "look at the server's log (a full disk"),
    "has a full disk": ("answered 500", "look at the server's log (a full disk"),
    "is older": ("is of another major version", "use a server of the same major version"),
}
PASSING = {"is not there", "is broken", "has a full disk"}

TALKING = {
    "release": ["SOURCE", "--builder", "tcp://127.0.0.1:9", "--image", "127.0.0.1:9/app"],
    "bake": ["--source", "SOURCE", "--builder", "tcp://127.0.0.1:9", "--repository", "127.0.0.1:9/app"],
    "plan": ["block:app", "--image", "127.0.0.1:9/app"],
    "deploy": ["127.0.0.1:9/app:1.0.0", "--workload", "deployment/app"],
    "rollback": ["deployment/app"],
    "promote": ["--environment", "a:workload=deployment/app", "--environment", "b:workload=deployment/app"],
    "approve": ["some-run"],
    "history": ["127.0.0.1:9/app"],
    "dashboard": [],
    "deploy-flows": [],
    "worker": [],
    "trigger": ["release/any-source"],
    "check-bases": ["release/any-source"],
    "login": ["--credentials", "block:app"],
}
LASTING = {"relay": ["--listen", "127.0.0.1:0", "--rules", "RULES"], "metrics": ["--listen", "127.0.0.1:PORT"]}
# `sweep` tells a server if there is one, `status` and `doctor` ask without Prefect's client.
OTHERS = {
    "build",
    "builder",
    "completion",
    "config",
    "init",
    "inspect",
    "key",
    "verify",
    "manifests",
    "notes",
    "rebuild",
    "sweep",
    "shell",
    "up",
    "status",
    "down",
    "doctor",
    "logout",
}


def answering(answers: tuple[tuple[int, str], tuple[int, str]]) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body = answers[0 if self.path.endswith(VERSION) else 1]
            self.send_response(status)
            self.send_header("Content-Type", "text/html" if body.startswith("<") else "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

        def log_message(self, *_: object) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


@dataclass(frozen=True)
class Server:
    """`what` is wrong with it. `commands`: started warm, with `env`, which names it."""

    what: str
    env: Mapping[str, str]
    commands: WarmStarter


@pytest.fixture(scope="module", params=SAID)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Prefect reads its settings when it is imported, so each server has a starter of its own."""
    home = tmp_path_factory.mktemp("home")
    with ExitStack() as exits:
        port = free_port()
        if request.param in ANSWERS:
            made = answering(ANSWERS[request.param])
            exits.callback(made.server_close)
            exits.enter_context(serving(made))
            port = made.server_port
        env = clean_environment(
            SLIPWAY_HOME=str(home), PREFECT_HOME=str(home / "prefect"), PREFECT_API_URL=f"http://127.0.0.1:{port}/api"
        )
        yield Server(request.param, env, exits.enter_context(warm_starter(env)))


@pytest.fixture
def arguments(tmp_path: Path) -> Mapping[str, list[str]]:
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "sources: [{name: forge, forge: github, secret: 'file:/nowhere'}]\n"
        "rules: [{name: main, repository: team/app, deployment: release/any-source}]\n"
    )
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    values = {"SOURCE": str(tmp_path), "RULES": str(rules), "127.0.0.1:PORT": f"127.0.0.1:{free_port()}"}
    return {name: [name, *(values.get(one, one) for one in rest)] for name, rest in {**TALKING, **LASTING}.items()}


def test_no_command_is_forgotten() -> None:
    """Whoever adds a command says here whether it talks to Prefect."""
    assert set(COMMANDS) == {*TALKING, *LASTING, *OTHERS}


@pytest.mark.parametrize("command", TALKING)
def test_each_command_says_it(server: Server, arguments: Mapping[str, list[str]], command: str) -> None:
    """Exit code 1, the cause with the server's address, the next action, and not a line more."""
    said = complaint(server.commands.run(*arguments[command]))
    cause, action = SAID[server.what]
    assert cause in said
    assert f"\nNext: {action}" in said
    assert len(said.splitlines()) <= 3, said


def test_an_event_says_it_as_well(server: Server) -> None:
    """`trigger --event`, which asks for nothing before it tells something."""
    assert SAID[server.what][0] in complaint(server.commands.run("trigger", "--event", "ci.tested"))


@pytest.mark.parametrize("command", LASTING)
def test_what_runs_on_waits_for_what_passes_alone(
    server: Server, arguments: Mapping[str, list[str]], command: str
) -> None:
    """A wrong address or key does not mend itself, so it ends; a server that is away it waits for, and says so once."""
    running = server.commands.start(*arguments[command])
    if server.what == "has a full disk" and command == "relay":
        running.until("listening on")  # which a delivery alone would show
    else:
        running.until(SAID[server.what][0])
    if server.what not in PASSING:
        complaint(running.end())
        return
    running.signal(signal.SIGTERM)
    ended = running.end()
    assert ended.code == 0
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("command", ["status", "doctor"])
def test_the_stack_is_not_said_to_be_well(server: Server, command: str) -> None:
    """Exit code 1, and what is wrong with the server."""
    if server.what in {"has a full disk", "is older"}:
        pytest.skip("it tells its version, which is all that these ask for")
    ended = run_slipway(command, env=server.env)
    assert ended.returncode == 1
    lines = [line for line in ended.stdout.splitlines() if "answer" in line]
    assert "prefect" in lines[0]
    assert "check PREFECT_API" in ended.stdout or "look at its log" in ended.stdout
