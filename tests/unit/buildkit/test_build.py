"""A build request becomes the message BuildKit wants, and its answer an outcome."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prefect_slipway.infra.buildkit.build.cache import CacheEntry
from prefect_slipway.infra.buildkit.build.outputs import ImagePush, LocalOutput, OciOutput
from prefect_slipway.infra.buildkit.build.request import BuildRequest
from prefect_slipway.infra.buildkit.build.solve import solve_request
from prefect_slipway.infra.buildkit.proto.generate import differences
from prefect_slipway.infra.domain.errors import InvalidOption


def test_frontend_attributes() -> None:
    """Each option is the attribute the Dockerfile frontend reads."""
    request = solve_request(
        BuildRequest(
            Path("/src"),
            dockerfile=Path("docker/Dockerfile.prod"),
            target="final",
            build_args={"A": "1"},
            labels={"l": "2"},
            platforms=("linux/amd64", "linux/arm64"),
            no_cache=True,
            network="host",
            source_date_epoch=0,
            attests={"provenance": "mode=max"},
        ),
        "ref",
        "session",
    )
    assert dict(request.FrontendAttrs) == {
        "filename": "Dockerfile.prod",
        "target": "final",
        "build-arg:A": "1",
        "build-arg:SOURCE_DATE_EPOCH": "0",
        "label:l": "2",
        "platform": "linux/amd64,linux/arm64",
        "no-cache": "",
        "force-network-mode": "host",
        "attest:provenance": "mode=max",
    }
    assert list(request.Entitlements) == ["network.host"]
    assert (request.Ref, request.Session, request.Frontend) == ("ref", "session", "dockerfile.v0")


def test_attributes_of_run_steps() -> None:
    """What concerns RUN steps and stages; the default network is no attribute."""
    attributes = solve_request(
        BuildRequest(
            Path("/src"),
            network="default",
            no_cache_stages=("a", "b"),
            pull=True,
            cgroup_parent="/docker",
            add_hosts=(("a", "192.0.2.1"), ("b", "2001:db8::1")),
            shm_size=65536,
            ulimits=("nofile=1:2", "core=0"),
            hostname="h",
        ),
        "r",
        "s",
    ).FrontendAttrs
    assert dict(attributes) == {
        "filename": "Dockerfile",
        "no-cache": "a,b",
        "image-resolve-mode": "pull",
        "cgroup-parent": "/docker",
        "add-hosts": "a=192.0.2.1,b=2001:db8::1",
        "shm-size": "65536",
        "ulimit": "nofile=1:2,core=0",
        "hostname": "h",
    }


@pytest.mark.parametrize(
    ("key", "attribute"),
    [
        ("org.example.a", "annotation.org.example.a"),
        ("manifest:a", "annotation.a"),
        ("index:a", "annotation-index.a"),
        ("manifest[linux/amd64]:a", "annotation-manifest[linux/amd64].a"),
        ("manifest-descriptor[linux/arm/v7]:a", "annotation-manifest-descriptor[linux/arm/v7].a"),
        ("index-descriptor:a", "annotation-index-descriptor.a"),
        ("https://a:b", "annotation.https://a:b"),
    ],
)
def test_annotations_say_where(key: str, attribute: str) -> None:
    """An annotation goes to the manifest unless its key says otherwise, and only to images."""
    request = solve_request(
        BuildRequest(Path("/src"), annotations={key: "v"}, outputs=(OciOutput(Path("o.tar")), LocalOutput(Path("o")))),
        "r",
        "s",
    )
    image, local = request.Exporters
    assert dict(image.Attrs) == {attribute: "v", "oci-mediatypes": "true"}
    assert dict(local.Attrs) == {}


def test_the_exporter_is_named_twice() -> None:
    """Old daemons read one exporter from two other fields; without an output there is none."""
    request = solve_request(BuildRequest(Path("/src"), outputs=(ImagePush("r.example/a:1", insecure=True),)), "r", "s")
    (exporter,) = request.Exporters
    assert dict(exporter.Attrs) == {
        "name": "r.example/a:1",
        "push": "true",
        "registry.insecure": "true",
        "store": "false",
    }
    assert dict(request.ExporterAttrsDeprecated) == dict(exporter.Attrs)
    assert request.ExporterDeprecated == exporter.Type == "image"
    assert not solve_request(BuildRequest(Path("/src")), "r", "s").Exporters


def test_a_url_is_the_daemons_to_fetch() -> None:
    """A context that is a URL is handed to the frontend, and no directory is offered."""
    request = BuildRequest("https://git.example/x.git#main", dockerfile=Path("a/Dockerfile"))
    assert request.directories() == {}
    attributes = solve_request(request, "r", "s").FrontendAttrs
    assert (attributes["context"], attributes["filename"]) == ("https://git.example/x.git#main", "a/Dockerfile")


def test_cache_entries() -> None:
    """Imports and exports carry their type and attributes; one without a type is refused."""
    entry = CacheEntry("registry", {"ref": "r.example/cache"})
    request = BuildRequest(Path("/src"), cache_imports=(entry,), cache_exports=(CacheEntry("inline"),))
    message = solve_request(request, "r", "s")
    cache = message.Cache
    assert json.loads(message.FrontendAttrs["cache-imports"]) == [
        {"Type": "registry", "Attrs": {"ref": "r.example/cache"}}
    ]
    assert [(item.Type, dict(item.Attrs)) for item in cache.Imports] == [("registry", {"ref": "r.example/cache"})]
    assert [(item.Type, dict(item.Attrs)) for item in cache.Exports] == [("inline", {"mode": "min"})]
    for entry in (CacheEntry(""), CacheEntry("registry"), CacheEntry("local", {"tag": "x"})):
        with pytest.raises(InvalidOption):
            solve_request(BuildRequest(Path("/src"), cache_imports=(entry,)), "r", "s")


def test_generated_modules_are_fresh() -> None:
    """infra/buildkit/wire is what the .proto files give."""
    assert differences() == []
