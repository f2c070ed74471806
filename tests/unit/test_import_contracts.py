"""The arrows between packages hold: each contract of pyproject.toml fails on a file that breaks it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = "prefect_slipway"

PLAIN = "import {}\n"
DEFERRED = "def later() -> None:\n    import {}\n"
FOR_TYPES = "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    import {}\n"

# For each contract, wrong imports: the new file that has one, what it imports, and how.
PLANTED = {
    "flows -> blocks -> infra": [
        ("infra/domain/planted_flow.py", f"{PACKAGE}.flows.build_options.places", FOR_TYPES),
        ("infra/vault/planted_block.py", f"{PACKAGE}.blocks.vault", DEFERRED),
        ("blocks/planted_request.py", f"{PACKAGE}.flows.request.release", PLAIN),
    ],
    "adapters, which do not know each other -> common -> domain": [
        ("infra/registry/planted_vault.py", f"{PACKAGE}.infra.vault", DEFERRED),
        ("infra/common/planted_adapter.py", f"{PACKAGE}.infra.source.git", PLAIN),
        ("infra/domain/planted_common.py", f"{PACKAGE}.infra.common.tasks", FOR_TYPES),
    ],
    "entry points -> flows -> steps -> rules -> run -> reporting -> request": [
        ("flows/run/planted_step.py", f"{PACKAGE}.flows.steps.build", FOR_TYPES),
        ("flows/steps/planted_command.py", f"{PACKAGE}.flows.cli.shell", DEFERRED),
        ("flows/bake/planted_run.py", f"{PACKAGE}.flows.run.open_run", PLAIN),
        ("flows/relay/planted_registration.py", f"{PACKAGE}.flows.registration.pools", PLAIN),
    ],
    "a BuildKit client -> a build -> its session -> files -> HTTP/2 -> messages": [
        ("infra/buildkit/session/planted_build.py", f"{PACKAGE}.infra.buildkit.build.request", FOR_TYPES),
        ("infra/buildkit/http2/planted_files.py", f"{PACKAGE}.infra.buildkit.files.walk", PLAIN),
    ],
    "installation, builders and workloads, which do not know each other -> access": [
        ("infra/kubernetes/access/planted_builder.py", f"{PACKAGE}.infra.kubernetes.builders.spec", PLAIN),
        ("infra/kubernetes/workloads/planted_builder.py", f"{PACKAGE}.infra.kubernetes.builders.spec", DEFERRED),
    ],
    "no cycles, between packages or between files": [
        ("flows/bake/planted_there.py", f"{PACKAGE}.flows.bake.planted_back", FOR_TYPES),
        ("flows/bake/planted_back.py", f"{PACKAGE}.flows.bake.planted_there", DEFERRED),
    ],
    "the domain is pure: standard library and semver": [("infra/domain/planted_yaml.py", "yaml", DEFERRED)],
    "Prefect only in blocks and flows, and there not in rules that work without it": [
        ("infra/source/planted_prefect.py", "prefect.flows", DEFERRED),
        ("flows/trust/planted_prefect.py", "prefect", PLAIN),
    ],
    "HTTP/2, protobuf and its compiler only in infra.buildkit": [
        ("infra/kubernetes/planted_hpack.py", "hpack", PLAIN),
        ("flows/steps/planted_protobuf.py", "google.protobuf", FOR_TYPES),
    ],
    "hvac, and the client under it, only in infra.vault": [("blocks/planted_hvac.py", "hvac", PLAIN)],
    "the Kubernetes client only in infra.kubernetes.access": [
        ("infra/kubernetes/builders/planted_client.py", "kubernetes.client", PLAIN)
    ],
    "aiohttp only where the Kubernetes client brings it, and in the relay, whose HTTP server it is": [
        ("infra/registry/planted_aiohttp.py", "aiohttp", DEFERRED)
    ],
    "what the embedded stack alone needs only in infra.local": [("flows/cli/planted_bcrypt.py", "bcrypt", DEFERRED)],
    "metrics and traces only in reporting, and the command that serves metrics": [
        ("flows/steps/planted_trace.py", "opentelemetry.trace", PLAIN)
    ],
    "pydantic only for what people and servers fill in: blocks and flows": [
        ("infra/local/planted_pydantic.py", "pydantic", PLAIN)
    ],
    "strangers' templates only in flows.notes": [("flows/trust/planted_jinja.py", "jinja2", DEFERRED)],
    "Rego only in infra.rego": [("flows/trust/planted_regopy.py", "regopy", DEFERRED)],
    "rich only in the command line's display": [("flows/reporting/planted_rich.py", "rich.console", DEFERRED)],
    "strangers' regular expressions only in flows.bake": [("flows/relay/planted_re2.py", "re2", PLAIN)],
}

# Where packages are listed, one that is not.
UNLISTED = {
    "flows -> blocks -> infra": "planted",
    "adapters, which do not know each other -> common -> domain": "infra/planted",
    "entry points -> flows -> steps -> rules -> run -> reporting -> request": "flows/planted",
    "a BuildKit client -> a build -> its session -> files -> HTTP/2 -> messages": "infra/buildkit/planted",
    "installation, builders and workloads, which do not know each other -> access": "infra/kubernetes/planted",
}


def contracts() -> dict[str, dict[str, object]]:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return {contract["name"]: contract for contract in config["tool"]["importlinter"]["contracts"]}


def report(folder: Path) -> dict[str, str]:
    """What `lint-imports` says of a copy of the package in `folder`, for each contract that is broken."""
    shutil.copy(ROOT / "pyproject.toml", folder)
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"]
    ended = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "400"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1, ended.stdout + ended.stderr
    broken = ended.stdout.partition("Broken contracts")[2]
    assert broken, ended.stdout + ended.stderr
    headings = re.split(r"^(.+)\n-+$", broken, flags=re.MULTILINE)[1:]
    return dict(zip(headings[::2], headings[1::2], strict=True))


def copied(folder: Path) -> Path:
    """The package as it is, without links, in `folder`."""
    return shutil.copytree(ROOT / PACKAGE, folder / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("planted")
    package = copied(folder)
    for planted in PLANTED.values():
        for file, imported, form in planted:
            (package / file).write_text(form.format(imported))
    return report(folder)


@pytest.fixture(scope="module")
def unlisted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("unlisted")
    package = copied(folder)
    for place in UNLISTED.values():
        (package / place).mkdir()
        (package / place / "__init__.py").touch()
    return report(folder)


@pytest.mark.parametrize("name", PLANTED)
def test_a_wrong_import_breaks_its_contract(broken: dict[str, str], name: str) -> None:
    """In a file that nobody has listed, also deferred or for types alone; the report names it."""
    for file, _, _ in PLANTED[name]:
        assert file.removesuffix(".py").rpartition("/")[2] in broken[name]


@pytest.mark.parametrize("name", UNLISTED)
def test_a_package_without_a_layer_breaks_its_contract(unlisted: dict[str, str], name: str) -> None:
    """Whoever adds one says where it belongs."""
    assert "planted" in unlisted[name]


def test_each_contract_is_tried() -> None:
    """None stands there untested; those with layers know all their packages."""
    assert set(PLANTED) == set(contracts())
    assert set(UNLISTED) == {name for name, contract in contracts().items() if contract["type"] == "layers"}


def test_the_domain_is_told_of_every_library() -> None:
    """A new dependency is one that the domain must not have."""
    graph = grimp.build_graph(PACKAGE, include_external_packages=True, cache_dir=None)
    imported = {module for module in graph.modules if not module.startswith(PACKAGE)}
    foreign = imported - sys.stdlib_module_names - {"semver", "compression"}  # `compression`: of Python 3.14
    pure = contracts()["the domain is pure: standard library and semver"]
    assert foreign == set(pure["forbidden_modules"])  # type: ignore[call-overload]
