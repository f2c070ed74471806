"""A set whose targets are for several platforms: one index an image, each platform on its base's own layers."""

from __future__ import annotations

import json
from typing import Any

from prefect_slipway.infra.registry.model import OCI_INDEX, OCI_MANIFEST
from tests import patient
from tests.git_repository import commit
from tests.integration.bake.conftest import ImageSet, bake_file, versions
from tests.releases import BASE, complaint, registry_login
from tests.warm import WarmStarter

BOTH = ["linux/amd64", "linux/arm64"]
ACCEPT = f"{OCI_INDEX}, {OCI_MANIFEST}"


def manifest(image_set: ImageSet, target: str, reference: str) -> dict[str, Any]:
    connection = image_set.traces.connection
    url = f"http://{connection.registry}/v2/{image_set.prefix}/{target}/manifests/{reference}"
    answer = patient.get(url, auth=registry_login(connection), headers={"Accept": ACCEPT})
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


def layers_by_platform(image_set: ImageSet, target: str) -> dict[str, list[str]]:
    """The layers of the release 0.1.0, by platform: as its index and, below it, each platform's manifest says."""
    found = {}
    for entry in manifest(image_set, target, "0.1.0")["manifests"]:
        platform = f"{entry['platform']['os']}/{entry['platform']['architecture']}"
        if platform == "unknown/unknown":  # an attestation
            continue
        layers = manifest(image_set, target, entry["digest"])["layers"]
        found[platform] = [layer["digest"] for layer in layers]
    return found


def write(image_set: ImageSet, **targets: Any) -> None:
    """Images in which nothing is run, as no other platform's programs run here; a platform's file differs."""
    files = {f"{name}.Dockerfile": f"FROM base\nCOPY {name}.Dockerfile /\n" for name in ("web", "api")}
    base = f"{BASE}ARG TARGETARCH\nCOPY $TARGETARCH /architecture\n"
    arches = {"amd64": "amd64\n", "arm64": "arm64\n"}
    definition = json.dumps(bake_file(base={"dockerfile": "base.Dockerfile", "platforms": BOTH}, **targets))
    commit(image_set.source, "feat: p", {**files, **arches, "base.Dockerfile": base, "docker-bake.json": definition})


def heir(name: str, *platforms: str) -> dict[str, Any]:
    return {"inherits": ["_all"], "dockerfile": f"{name}.Dockerfile", "platforms": list(platforms)}


def test_each_platform_is_built_on_its_base(commands: WarmStarter, image_set: ImageSet) -> None:
    """Base and heir are an index each, with both platforms; an heir may be for one of its base's platforms only."""
    write(image_set, web=heir("web", *BOTH), api=heir("api", "linux/arm64"))
    digests = versions(commands.run("bake", "--emulate", "--format", "json", cwd=image_set.source))
    image_set.assert_released("0.1.0")
    base, web = (layers_by_platform(image_set, target) for target in ("base", "web"))
    assert set(base) == set(web) == set(BOTH)
    assert base["linux/amd64"] != base["linux/arm64"]
    for platform in BOTH:
        assert web[platform][:-1] == base[platform]
    api = layers_by_platform(image_set, "api")
    assert api["linux/arm64"][:-1] == base["linux/arm64"] and len(api) == 1
    assert digests == {target: image_set.digest(target, "0.1.0") for target in digests}
    again = commands.run("bake", "--emulate", "--format", "json", "--version", "0.1.0", cwd=image_set.source)
    assert versions(again) == digests


def test_an_heir_for_a_platform_that_its_base_is_not_for_is_refused(commands: WarmStarter, image_set: ImageSet) -> None:
    """Before anything is built."""
    write(image_set, web=heir("web", *BOTH, "linux/s390x"))
    said = complaint(commands.run("bake", "--format", "json", cwd=image_set.source), code=2)
    assert "use the same platforms for both" in said
    image_set.assert_released()
