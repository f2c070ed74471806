"""An application that was released from git on base images in the real registry, which move."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests import patient
from tests.conftest import RunningStack
from tests.git_repository import commit, git
from tests.integration.relay.conftest import Probe
from tests.releases import BASE, make_source, result_of
from tests.warm import WarmStarter


@dataclass
class Application:
    """`place`: REGISTRY/PATH of its image and bases. `revision`: of its repository's first commit."""

    commands: WarmStarter
    probe: Probe
    folder: Path
    place: str
    revision: str

    @property
    def image(self) -> str:
        return f"{self.place}/app"

    def move(self, content: str, base: str = "base") -> None:
        """Release a base with other content; its tag 1 moves."""
        source = self.folder / base
        if not source.exists():
            make_source(source, BASE + "COPY content /content\n")
        (source / "content").write_text(content)
        result_of(
            self.commands.run(
                *("release", source, "--image", f"{self.place}/{base}", "--version", f"1.{content}.0"),
                *("--moving-tags", "--format", "json"),
            )
        )

    def release(self, *more: str) -> dict[str, Any]:
        source = self.folder / "app.git"
        return result_of(
            self.commands.run("release", source, "--image", self.image, "--format", "json", "--bump", "patch", *more)
        )

    def check(self, *more: str) -> dict[str, Any]:
        ended = self.commands.run("check-bases", self.probe.name, "--format", "json", *more)
        assert ended.code == 0, ended.stderr
        [result] = json.loads(ended.stdout)
        assert isinstance(result, dict)
        return result


def make_application(
    stack: RunningStack,
    commands: WarmStarter,
    folder: Path,
    name: str,
    dockerfile: str,
    files: Mapping[str, str] = MappingProxyType({}),
    **asked: Any,
) -> Application:
    """Not released yet, and with a deployment whose runs nobody takes. `dockerfile`: `PLACE` is its registry's path.
    `files`: further ones. `asked`: further fields of the deployment's request."""
    place = f"{stack.connection.registry}/{name}"
    work = folder / "app.git"
    work.mkdir()
    git(work, "init", "--quiet", "--initial-branch=main")
    revision = commit(work, "feat: begin", {"Dockerfile": dockerfile.replace("PLACE", place), **files})
    api = stack.connection.prefect_api_url
    flow = patient.post(f"{api}/flows/", json={"name": "release"}).raise_for_status().json()["id"]
    request = {"source": str(work), "image": f"{place}/app", "bump": "auto", "version": {"only_new": True}, **asked}
    deployment = {"name": name, "flow_id": flow, "parameters": {"request": request}}
    made = patient.post(f"{api}/deployments/", json=deployment).raise_for_status()
    return Application(commands, Probe(api, f"release/{name}", made.json()["id"]), folder, place, revision)
