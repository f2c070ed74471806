"""What several folders' tests share: one real embedded stack, and the command line run against it."""

from __future__ import annotations

import atexit
import functools
import gc
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

from prefect_slipway.infra.local.config import StackConfig
from prefect_slipway.infra.local.connection import StackConnection
from prefect_slipway.infra.local.stack import Stack
from tests.migrated import migrated_database, use_database
from tests.ports import free_port
from tests.releases import Traces
from tests.waiting import PATIENCE_S
from tests.warm import WarmStarter, any_starter, warm_starter

# A busy machine makes an example slow, not wrong: no test asserts wall time.
settings.register_profile("slipway", deadline=None)
# For `make quick`: fewer examples of each property.
settings.register_profile("quick", deadline=None, max_examples=15)
settings.load_profile("slipway")

# A shell's background job inherits an ignored SIGINT, one that outlives its terminal an ignored SIGHUP, and so would
# every command that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Where the long waits are comes first, so that nothing long is left for one process alone at the end.
_ORDER = ("integration/worker", "integration/faults", "integration/once", "integration/deploy", "docs", "browser")
_THEN = ("integration", "contract")

SLIPWAY = Path(sys.executable).parent / "slipway"

_FOR_THE_INTERPRETER = ("PYTHON", "LC_", "LANG")

Run = Callable[..., subprocess.CompletedProcess[str]]


@dataclass(frozen=True)
class RunningStack:
    """An embedded stack that answers. `env`: the complete environment for commands against it."""

    connection: StackConnection
    env: Mapping[str, str]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole folders are moved, no test within its file."""
    items.sort(key=lambda item: _place(item.path.relative_to(Path(__file__).parent).as_posix()))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Tests and modules stay to the end: no garbage collection has to go through them, which takes it a third of a
    second, and some folders collect after each test."""
    gc.collect()
    gc.freeze()


def _place(path: str) -> int:
    first = (*_ORDER, *_THEN)
    return next((place for place, folder in enumerate(first) if path.startswith(f"{folder}/")), len(first))


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without settings that would reach for somebody's own servers."""
    ours = ("SLIPWAY_", "PREFECT_", "VAULT_", "BAO_", "DOCKER_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | more


def run_slipway(
    *arguments: str | Path, env: Mapping[str, str], cwd: Path | None = None, timeout: float = PATIENCE_S
) -> subprocess.CompletedProcess[str]:
    """`slipway ARGUMENTS` in a process of its own, with exactly this environment; started warm where nothing in it is
    for the interpreter."""
    if any(env.get(name) != os.environ.get(name) for name in env if name.startswith(_FOR_THE_INTERPRETER)):
        return run_program(SLIPWAY, *arguments, env=env, cwd=cwd, timeout=timeout)
    ended = _starter().start(*arguments, env=env, cwd=cwd, alone=True).end(timeout)
    return subprocess.CompletedProcess(arguments, ended.code, ended.stdout, ended.stderr)


@functools.cache
def _starter() -> WarmStarter:
    """This process's; it ends when its other end is closed, at the latest with this process."""
    exits = ExitStack()
    atexit.register(exits.close)
    return exits.enter_context(any_starter())


def run_program(
    *command: str | Path, env: Mapping[str, str], cwd: Path | None = None, timeout: float = PATIENCE_S
) -> subprocess.CompletedProcess[str]:
    """A command to its end, with nothing on its standard input; what it says is kept."""
    return subprocess.run(
        command,
        env=env,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
    )


_BURY = """
import shutil, subprocess, sys
slipway, folder = sys.argv[1:]
sys.stdin.read()
subprocess.run([slipway, "down", "--purge", "--force"])
shutil.rmtree(folder)
"""


@contextmanager
def stack_home(**more: str) -> Iterator[dict[str, str]]:
    """The environment of an empty home with free ports; whatever runs in it ends with the test, or with pytest.

    A path short enough for the sockets in it: sun_path has 108 bytes, unix(7).
    """
    folder = Path(tempfile.mkdtemp(prefix="sw", dir="/tmp"))
    env = clean_environment(
        SLIPWAY_HOME=str(folder / "home"),
        SLIPWAY_REGISTRY_PORT=str(free_port()),
        SLIPWAY_VAULT_PORT=str(free_port()),
        SLIPWAY_PREFECT_PORT=str(free_port()),
    )
    # It waits for the pipe to close, which happens even if this process is killed.
    undertaker = subprocess.Popen(
        [sys.executable, "-c", _BURY, SLIPWAY, folder],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield env | more
    finally:
        undertaker.communicate(timeout=PATIENCE_S)


@pytest.fixture(scope="session")
def migrated(pytestconfig: pytest.Config) -> Path:
    """A migrated Prefect database, for stacks whose first start is not what is tested."""
    assert pytestconfig.cache is not None
    return migrated_database(pytestconfig.cache.mkdir("prefect"))


@pytest.fixture(scope="session")
def stack(migrated: Path) -> Iterator[RunningStack]:
    """The session's embedded stack, all parts real. Its releases are signed where a test asks for it."""
    with stack_home(SLIPWAY_SIGN="none") as env:
        use_database(migrated, env)
        started = run_slipway("up", env=env)
        assert started.returncode == 0, started.stdout + started.stderr
        yield RunningStack(Stack(StackConfig.from_env(env)).connection(), env)


@pytest.fixture(scope="session")
def commands(stack: RunningStack) -> Iterator[WarmStarter]:
    """The same command line started warm, for tests that run many: `commands.run("release", source, env={...})`."""
    with warm_starter(stack.env) as starter:
        yield starter


@pytest.fixture(scope="session")
def traces(stack: RunningStack) -> Traces:
    """What releases leave in the session's stack."""
    return Traces(stack.connection)


# What a process reads while it starts: an environment that differs in it needs a process of its own.
_READ_AT_START = ("PREFECT_", "PYTHON", "SLIPWAY_HOME", "SLIPWAY_PREFECT", "PATH", "HOME", "TERM", "COLUMNS")


@pytest.fixture
def slipway(stack: RunningStack, commands: WarmStarter) -> Run:
    """The command line against the session's stack: `slipway("release", source, cwd=..., env={...})`.

    `env` is added to the stack's. It is started warm wherever that is the same.
    """

    def run(
        *arguments: str | Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float = PATIENCE_S,
    ) -> subprocess.CompletedProcess[str]:
        if env is not None and any(name.startswith(_READ_AT_START) for name in env):
            return run_slipway(*arguments, env={**stack.env, **env}, cwd=cwd, timeout=timeout)
        ended = commands.start(*arguments, env=env, cwd=cwd).end(timeout)
        return subprocess.CompletedProcess(arguments, ended.code, ended.stdout, ended.stderr)

    return run
