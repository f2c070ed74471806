"""What a daemon is told, and how its messages are read: values in, values out."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from prefect_slipway.infra.buildkit.build.cache import CacheEntry, resolved_exports, resolved_imports
from prefect_slipway.infra.buildkit.build.events import LogChunk, Progress, Step, Warned, events_of
from prefect_slipway.infra.buildkit.build.outputs import (
    DockerOutput,
    ImagePush,
    ImageStore,
    LocalOutput,
    OciOutput,
    Output,
    TarOutput,
    exporter,
)
from prefect_slipway.infra.buildkit.build.provenance import provenances
from prefect_slipway.infra.buildkit.build.request import BuildRequest
from prefect_slipway.infra.buildkit.wire.control_pb2 import BuildHistoryRecord, StatusResponse
from prefect_slipway.infra.domain.errors import ContextError, DockerfileMissing


def test_a_status_message_is_read_whole() -> None:
    """Steps, progress, output and warnings; a time that is not set is None, not 1970."""
    said = StatusResponse()
    vertex = said.vertexes.add(digest="sha256:a", name="RUN make", inputs=["sha256:b"], cached=True, error="no")
    vertex.started.FromMilliseconds(1500)
    said.statuses.add(vertex="sha256:a", ID="layer", name="pushing", current=3, total=9)
    said.logs.add(vertex="sha256:a", stream=2, msg=b"\xff")
    warning = said.warnings.add(vertex="sha256:a", short=b"old\xff", detail=[b"why"], url="https://example.com")
    warning.info.filename = "Dockerfile"
    warning.ranges.add().start.line = 7
    said.warnings.add(vertex="sha256:b", short=b"bare")
    assert list(events_of(said)) == [
        Step("sha256:a", "RUN make", ("sha256:b",), started=1.5, cached=True, error="no"),
        Progress("sha256:a", "layer", "pushing", 3, 9),
        LogChunk("sha256:a", 2, b"\xff", 0.0),
        Warned("sha256:a", "old\ufffd", ("why",), "https://example.com", "Dockerfile", 7),
        Warned("sha256:b", "bare"),
    ]


@pytest.mark.parametrize(
    ("output", "engine", "expected"),
    [
        (ImageStore("a"), False, ("image", {"name": "a"})),
        (ImageStore("a"), True, ("moby", {"name": "a"})),
        (LocalOutput(Path("out")), False, ("local", {})),
        (TarOutput(Path("out.tar")), False, ("tar", {})),
        (OciOutput(Path("out"), "a", tar=False), False, ("oci", {"name": "a", "tar": "false"})),
        (DockerOutput(Path("out.tar"), "a"), False, ("docker", {"name": "a"})),
        (
            ImagePush("r/a", by_digest=True, insecure=True, keep=False, rewrite_timestamp=True),
            False,
            (
                "image",
                {
                    "name": "r/a",
                    "push": "true",
                    "push-by-digest": "true",
                    "registry.insecure": "true",
                    "store": "false",
                    "rewrite-timestamp": "true",
                },
            ),
        ),
    ],
)
def test_each_output_is_an_exporter(output: Output, engine: bool, expected: tuple[str, dict[str, str]]) -> None:
    """With the names that BuildKit's exporters read."""
    assert exporter(output, {}, engine=engine) == expected


def test_an_annotated_image_has_media_types_that_can_hold_it() -> None:
    """Docker's own have no place for annotations."""
    _, attributes = exporter(ImageStore("a"), {"index:made": "here"}, engine=False)
    assert attributes["oci-mediatypes"] == "true"
    assert "here" in attributes.values()


def test_a_cache_that_is_not_there_yet_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The first build with a cache folder is no failure; what another type needs is passed on."""
    local = CacheEntry("local", {"src": str(tmp_path)})
    registry = CacheEntry("registry", {"ref": "r/cache"})
    with caplog.at_level(logging.WARNING):
        assert resolved_imports([local, registry], {}) == [registry]
    assert f"no cache to import in {tmp_path}" in caplog.text
    assert resolved_exports([CacheEntry("inline", {})], {}) == [CacheEntry("inline", {"mode": "min"})]


def test_a_record_says_where_its_provenance_is() -> None:
    """By platform, or of the one result; the first of a kind, and nothing that is no statement of SLSA's."""
    record = BuildHistoryRecord()
    for kind, predicate in (("text/plain", "x"), ("application/vnd.in-toto+json", "https://slsa.dev/provenance/v1")):
        made = record.Result.Attestations.add(digest=f"sha256:{kind[0]}", media_type=kind)
        made.annotations["in-toto.io/predicate-type"] = predicate
    assert list(provenances(record)) == [("", "sha256:a", "https://slsa.dev/provenance/v1")]
    record.Results["linux/amd64"].CopyFrom(record.Result)
    assert [platform for platform, _, _ in provenances(record)] == ["linux/amd64"]
    assert list(provenances(BuildHistoryRecord())) == []


def test_a_context_that_cannot_be_read_is_told_before_the_build(tmp_path: Path) -> None:
    """A file in its place, or no Dockerfile in it."""
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ContextError, match="is not a directory"):
        BuildRequest(file).directories()
    with pytest.raises(DockerfileMissing, match=f"there is no Dockerfile in {tmp_path}"):
        BuildRequest(tmp_path).directories()
    (tmp_path / "Dockerfile").touch()
    assert set(BuildRequest(tmp_path).directories().values()) == {tmp_path}
    output = OciOutput(tmp_path / "out", tar=False)
    assert BuildRequest(tmp_path, outputs=(output,)).layouts()["export"].path == tmp_path / "out"
