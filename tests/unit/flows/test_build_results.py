"""What of a build's or a frontend's answer is told, and how."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from prefect_slipway.flows.cli.build_results import as_metadata, image_id, result_files
from prefect_slipway.flows.cli.call import shown, status_of
from prefect_slipway.infra.domain.errors import BuilderProtocolError, DockerfileInvalid, OutputError


def packed(value: Any) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


def test_metadata_are_what_they_stand_for() -> None:
    """Objects and lists of objects are unpacked, as buildx does; all else stays the text that it is."""
    texts = {
        "object": packed({"a": 1}),
        "objects": packed([{"a": 1}]),
        "list": packed([1]),
        "empty": packed({}),
        "number": packed(5),
        "word": "abcd",
        "digest": "sha256:" + "0" * 64,
        "result.json": '{"targets": []}',
    }
    found = json.loads(as_metadata(texts))
    assert found == {**texts, "object": {"a": 1}, "objects": [{"a": 1}], "result.json": {"targets": []}}
    assert list(found) == sorted(texts)


def test_an_images_id() -> None:
    """The config's digest, else the image's, else none."""
    assert image_id({"containerimage.config.digest": "c", "containerimage.digest": "i"}) == "c"
    assert image_id({"containerimage.digest": "i"}) == "i"
    assert image_id({}) == ""


def test_files_for_results(tmp_path: Path) -> None:
    """They are written whole or not at all, and an old id goes when the build begins."""
    identity, metadata = tmp_path / "id", tmp_path / "metadata"
    identity.write_text("old")
    metadata.write_text("old")
    with pytest.raises(ZeroDivisionError), result_files(str(identity), str(metadata)) as (first, _):
        assert first is not None
        assert not identity.exists()
        raise ZeroDivisionError
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"metadata": "old"}
    with result_files(str(identity), str(metadata)) as (first, second):
        assert first is not None
        assert second is not None
        first.write("new")
        second.write("new too")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"id": "new", "metadata": "new too"}
    with result_files(None, None) as files:
        assert files == (None, None)


@pytest.mark.parametrize("place", ["missing/file", "folder", "file/below"])
def test_files_that_cannot_be(tmp_path: Path, place: str) -> None:
    """Known at the beginning, and nothing is left of the other one."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    before = sorted(tmp_path.iterdir())
    with (
        pytest.raises(OutputError, match="cannot be written"),
        result_files(str(tmp_path / "id"), str(tmp_path / place)),
    ):
        raise AssertionError
    assert sorted(tmp_path.iterdir()) == before


SOURCE = {"filename": "Dockerfile", "data": base64.b64encode(b"FROM scratch\nFOO\n").decode()}
WRONG = {"message": "unknown instruction: FOO", "location": {"ranges": [{"start": {"line": 2}, "end": {"line": 2}}]}}


def lint(found: Any, text: str = "", status: str = "") -> dict[str, bytes]:
    return {
        "result.json": json.dumps(found).encode(),
        "result.txt": text.encode(),
        "result.statuscode": status.encode(),
    }


@pytest.mark.parametrize(
    ("found", "words", "status"),
    [
        ({"warnings": None}, "Check complete, no warnings found.", ""),
        ({"warnings": []}, "Check complete, no warnings found.", ""),
        ({"warnings": [{}]}, "Check complete, 1 warning has been found!\nthe text", "1"),
        ({"warnings": [{}, {}]}, "Check complete, 2 warnings have been found!\nthe text", "1"),
        ({"buildError": WRONG, "sources": [SOURCE]}, "", "1"),
    ],
)
def test_what_a_check_found(found: Any, words: str, status: str) -> None:
    """How much, and what the frontend says of it; as JSON what the frontend says alone."""
    answer = lint(found, "the text\n", status)
    assert shown("lint", "", answer) == words
    assert shown("lint", "json", answer) == answer["result.json"].decode()


def test_how_a_check_ends() -> None:
    """With the frontend's code, unless that is not wanted; a Dockerfile that cannot be built is a cause of its own."""
    assert status_of("lint", lint({"warnings": [{}]}, status="1"), ignored=False) == 1
    assert status_of("lint", lint({"warnings": [{}]}, status="1"), ignored=True) == 0
    assert status_of("lint", lint({}), ignored=False) == 0
    assert status_of("outline", lint({}, status="x"), ignored=False) == 0
    with pytest.raises(DockerfileInvalid, match="unknown instruction: FOO") as error:
        status_of("lint", lint({"buildError": WRONG, "sources": [SOURCE]}, status="1"), ignored=True)
    assert "   2 | >>> FOO" in error.value.details
    odd: object
    for odd in ({"buildError": {}}, {"buildError": {**WRONG, "location": 5}}, {"buildError": WRONG, "sources": "x"}):
        with pytest.raises(DockerfileInvalid):
            status_of("lint", lint(odd), ignored=False)


def test_answers_that_are_none() -> None:
    """A frontend that answers something else is told of, or passed over."""
    with pytest.raises(BuilderProtocolError, match="not JSON"):
        shown("lint", "", {"result.json": b"\xff{"})
    odd: object
    for odd in ([], 5, {"warnings": 5}, {"buildError": 5}):
        assert status_of("lint", lint(odd), ignored=False) == 0
        assert isinstance(shown("lint", "", lint(odd)), str)
    assert shown("outline", "", {"result.json": b"{}"}) == "{}"
    assert shown("outline", "json", {"result.txt": b"text\n\n"}) == "text"
