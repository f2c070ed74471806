"""The command line. Kept light: `slipway up`, `build` and the like must start without Prefect and pydantic.

A command is a module with `add_parser(subparsers)` and `run(args) -> int`, named in `COMMANDS`. Only the
module of the command that was typed is imported.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from prefect_slipway.flows.cli.guarded_output import guarded
from prefect_slipway.infra.domain.errors import SlipwayError

COMMANDS = {
    "release": "release an image",
    "deploy": "roll an image out to a workload in Kubernetes, by digest",
    "rollback": "return a workload to an earlier release",
    "promote": "promote an image from one environment to the next",
    "bake": "release several images of docker-bake.json or Compose files under one version",
    "build": "build with BuildKit only, like docker buildx",
    "builder": "show a builder's workers, disk usage and history, or prune its cache",
    "approve": "approve or reject a paused run",
    "plan": "show what a release would do, without doing it",
    "inspect": "show what a registry has of an image, and what changed since the version before",
    "history": "show the released versions of an image",
    "metrics": "serve Prometheus metrics of releases",
    "manifests": "print the Kubernetes objects of a shared builder",
    "deploy-flows": "register deployments, work pools, blocks and automations with Prefect",
    "worker": "run scheduled, pushed and UI-started releases on this machine",
    "relay": "receive webhooks from git forges and start runs by rules",
    "trigger": "start a run of a deployment or emit an event, from any CI",
    "check-bases": "release applications again whose base images changed",
    "sweep": "remove resources left behind by expired runs",
    "shell": "open a shell with buildctl next to a shared builder in Kubernetes",
    "login": "let docker, podman and other tools use a registry credential in Vault",
    "logout": "undo `slipway login`",
    "up": "start the embedded stack: builder, registry, Vault, Prefect",
    "status": "show which parts of the embedded stack are running",
    "down": "stop the embedded stack",
    "doctor": "show what this machine is missing and how to fix it",
}
"""Name and summary of each command; its module has its name, with underscores."""

_GARBAGE_THRESHOLD = 50_000

FAILED = 1
USAGE = 2
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; gives its exit code (see the epilog)."""
    with guarded():
        return _run(argv)


def _run(argv: Sequence[str] | None) -> int:
    # Imports make very many objects and no garbage: looking for it takes a fifth of a short command's time.
    gc.set_threshold(_GARBAGE_THRESHOLD)
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        args = _parser(arguments).parse_args(arguments)
        code: int = _module(args.command).run(args)
        # A closed reader (`| head`) shows when the rest is written: here, not at exit.
        sys.stdout.flush()
        return code
    except SystemExit as ended:  # argparse: --help, --version, or an option that it does not know
        return ended.code if isinstance(ended.code, int) else USAGE
    except KeyboardInterrupt:
        if _debug():
            raise
        print("slipway: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        cause = _cause(error)
        if cause is None or _debug():
            raise
        # The terminal may have been closed.
        with suppress(OSError):
            print(f"slipway: {cause}", file=sys.stderr)
            if cause.page:
                print(f"Run: {cause.page}", file=sys.stderr)
        return cause.exit_code
    finally:
        # The interpreter looks for garbage once more at its end, among all that goes with the process anyway.
        gc.freeze()


def _module(command: str) -> Any:
    return importlib.import_module(f"{__name__}.{command.replace('-', '_')}")


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="slipway",
        description="Release container images: from source to a versioned, pushed, verified and observable image.",
        epilog=(
            "exit codes: 0 done, 1 failed, 2 usage, 3 released but not cleaned up, 130 interrupted; "
            "SLIPWAY_DEBUG=1 shows tracebacks"
        ),
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print Slipway's version and exit")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        if arguments[:1] == [name]:
            _module(name).add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=summary)
    return parser


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from prefect_slipway.infra.common.distribution import VERSION

        print(f"slipway {VERSION}")
        parser.exit()


def _cause(error: Exception) -> SlipwayError | None:
    """The cause to tell, None for a fault of Slipway's own. On a full disk everything else is its consequence."""
    from prefect_slipway.infra.local.disk import full_disk_behind
    from prefect_slipway.infra.local.home import stack_home

    named = error if isinstance(error, SlipwayError) else _prefects(error)
    try:
        return full_disk_behind(error, stack_home(os.environ)) or named
    except SlipwayError:
        return named


def _prefects(error: Exception) -> SlipwayError | None:
    """The cause behind an error of Prefect's client: each command that talks to a server may meet it, at any moment."""
    if "prefect" not in sys.modules:
        return None
    from prefect_slipway.flows.server.errors import is_prefects, prefect_cause

    return prefect_cause(error) if is_prefects(error) else None


def _debug() -> bool:
    return os.environ.get("SLIPWAY_DEBUG") == "1"
