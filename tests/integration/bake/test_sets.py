"""`slipway bake` on real parts: one version for all images, public all or none, finished by a rerun."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from prefect_slipway.flows.reporting.events import IMAGE_RELEASED
from prefect_slipway.infra.registry.model import OCI_INDEX, OCI_MANIFEST
from tests import patient
from tests.git_repository import commit
from tests.integration.bake.conftest import ImageSet, bake_file, unique, versions
from tests.integration.once.conftest import a_tag_is_held, hold_tags, hold_tags_for, let_tags_pass
from tests.releases import complaint, registry_login
from tests.waiting import wait_until
from tests.warm import WarmStarter


def layers(image_set: ImageSet, target: str, tag: str) -> list[str]:
    """Of the only image in an index."""
    connection = image_set.traces.connection

    def manifest(reference: str) -> Any:
        url = f"http://{connection.registry}/v2/{image_set.prefix}/{target}/manifests/{reference}"
        accept = {"Accept": f"{OCI_INDEX}, {OCI_MANIFEST}"}
        return patient.get(url, auth=registry_login(connection), headers=accept).raise_for_status().json()

    return [layer["digest"] for layer in manifest(manifest(tag)["manifests"][0]["digest"])["layers"]]


def test_a_set_is_released_under_one_version(commands: WarmStarter, image_set: ImageSet) -> None:
    """Each image is built on its base's digest, tagged with the set's version and announced; then the next version."""
    ended = commands.run("bake", "--format", "json", cwd=image_set.source)
    digests = versions(ended)
    assert json.loads(ended.stdout)["version"] == "0.1.0"
    image_set.assert_released("0.1.0")
    for target, digest in digests.items():
        assert image_set.digest(target, "0.1.0") == digest
    base = layers(image_set, "base", "0.1.0")
    for target in ("web", "api"):
        assert layers(image_set, target, "0.1.0")[: len(base)] == base
    traces = image_set.traces
    told = traces.told(IMAGE_RELEASED, f"{traces.connection.registry}/{image_set.prefix}/web")
    assert (told["digest"], told["version"]) == (digests["web"], "0.1.0")
    assert image_set.traces.state(image_set.prefix)["message"].startswith("3 images of ")

    image_set.write("web", unique())
    assert versions(commands.run("bake", "base", "web", "api", "--format", "json", cwd=image_set.source)) != digests
    image_set.assert_released("0.1.0", "0.2.0")


def test_one_failing_build_leaves_no_tag_at_all(commands: WarmStarter, image_set: ImageSet) -> None:
    """The others were built, perhaps pushed, and none is public; the version is free for the set that is mended."""
    image_set.write("api", unique("exit 7"))
    said = complaint(commands.run("bake", "--format", "json", cwd=image_set.source))
    assert "exit code 7" in said
    image_set.assert_released()
    state = image_set.traces.state(image_set.prefix)
    assert state["type"] == "FAILED" and "StepFailed" in state["message"]
    image_set.write("api", unique())
    versions(commands.run("bake", "--format", "json", cwd=image_set.source))
    image_set.assert_released("0.1.0")


def test_a_killed_set_is_finished_by_the_same_command(commands: WarmStarter, image_set: ImageSet) -> None:
    """Killed in its builds, then when the images' tags are there and git's is not: the same digests become public."""
    running = commands.start("bake", "--format", "json", cwd=image_set.source)
    running.until("> verify")
    running.kill()
    running.end()
    assert image_set.git_tags() == []

    hold_tags(image_set.remote)
    running = commands.start("bake", "--format", "json", cwd=image_set.source)
    running.until("> tag")
    wait_until(lambda: image_set.tags("api") == ["0.1.0"] and a_tag_is_held(image_set.remote))
    running.kill()
    running.end()
    let_tags_pass(image_set.remote)
    public = {target: image_set.digest(target, "0.1.0") for target in ("base", "web", "api")}
    assert image_set.git_tags() == []
    assert versions(commands.run("bake", "--format", "json", cwd=image_set.source)) == public
    image_set.assert_released("0.1.0")


def test_a_failure_between_tags_is_finished_by_the_same_command(commands: WarmStarter, image_set: ImageSet) -> None:
    """git refuses its tag when all images have theirs: the run fails, the next one makes that very version whole."""
    hook = image_set.remote / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\n! grep -q refs/tags/\n")
    hook.chmod(0o755)
    complaint(commands.run("bake", "--format", "json", cwd=image_set.source))
    public = {target: image_set.digest(target, "0.1.0") for target in ("base", "web", "api")}
    hook.unlink()
    assert versions(commands.run("bake", "--format", "json", cwd=image_set.source)) == public
    image_set.assert_released("0.1.0")


def test_two_sets_at_once_get_two_versions(commands: WarmStarter, image_set: ImageSet) -> None:
    """Each whole."""
    # A run that begins when the other is done has nothing new to release.
    hold_tags_for(image_set.remote, 2)
    both = [commands.start("bake", "--format", "json", cwd=image_set.source) for _ in range(2)]
    found = sorted(json.loads(one.end().stdout)["version"] for one in both)
    assert found == ["0.1.0", "0.2.0"]
    image_set.assert_released("0.1.0", "0.2.0")


def test_compose_and_a_base_that_nobody_asked_for(commands: WarmStarter, image_set: ImageSet, tmp_path: Path) -> None:
    """Compose services outside of git: versions by the registry's tags; the base is pushed, and gets no tag."""
    registry = image_set.traces.connection.registry
    source = tmp_path / "outside" / image_set.prefix
    shutil.copytree(image_set.source, source, ignore=shutil.ignore_patterns(".git", "*.json"))
    (source / "compose.yaml").write_text(f"""
services:
  base: {{build: {{dockerfile: base.Dockerfile}}}}
  api:
    image: "{registry}/{image_set.prefix}/${{NAME:-api}}:${{TAG}}"
    build: {{dockerfile: api.Dockerfile, additional_contexts: {{base: "service:base"}}}}
""")
    for _ in range(2):
        ended = commands.run("bake", "api", "--format", "json", "--var", "TAG=x", "--moving-tags", cwd=source)
        assert set(versions(ended)) == {"api"}
    assert image_set.tags("api") == ["0.1", "0.1.0", "0.2", "0.2.0", "latest"]
    assert image_set.tags("base") == []
    image_set.traces.assert_nothing_left()


def test_what_a_file_may_not_do_is_said_before_anything_is_built(commands: WarmStarter, image_set: ImageSet) -> None:
    """A secret of the environment, a path outside the source, one repository for two images, what is no release."""
    cases: dict[str, dict[str, Any]] = {
        "--allow env=HOME": {"web": {"secret": ["id=x,env=HOME"]}},
        "--allow fs.read=/etc": {"web": {"context": "/etc"}},
        "use a different repository for each": {
            "web": {"tags": ["r.example.com/a:1"]},
            "api": {"tags": ["r.example.com/a:2"]},
        },
        "remove it": {"web": {"call": "check"}},
    }
    for action, targets in cases.items():
        commit(image_set.source, "feat: bad", {"docker-bake.json": json.dumps(bake_file(**targets))})
        assert action in complaint(commands.run("bake", "--format", "json", cwd=image_set.source), code=2), action
    image_set.assert_released()
