"""Which base images count as moved, check after check."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.flows.base_images.changes import Noted, Sighting, look

OLD, NEW = {"linux/amd64": "sha256:old"}, {"linux/amd64": "sha256:new"}


def names(digest: str, sightings: list[Sighting], before: Noted | None) -> tuple[list[str], Noted]:
    moves, noted = look(digest, sightings, before)
    return [move.name for move in moves], noted


def test_an_images_own_base_needs_no_record() -> None:
    """Its layers say whether it is still the one: at the first look already."""
    assert names("r1", [Sighting("a", OLD, begins=True)], None)[0] == []
    assert names("r1", [Sighting("a", NEW, begins=False)], None)[0] == ["a"]


def test_what_is_built_with_is_noted_first() -> None:
    """And has moved when it is another one at the next look; it stays so until there is a release."""
    moved, noted = names("r1", [Sighting("go", OLD)], None)
    assert moved == []
    for _ in range(2):
        moved, noted = names("r1", [Sighting("go", NEW)], noted)
        assert moved == ["go"]
    moved, noted = names("r2", [Sighting("go", NEW)], noted)
    assert moved == []
    assert names("r2", [Sighting("go", OLD)], noted)[0] == ["go"]


def test_a_release_in_between() -> None:
    """What was seen before it counts for what is built with; the layers for the image's own base."""
    _, noted = names("r1", [Sighting("go", OLD), Sighting("a", OLD, begins=True)], None)
    moved, _ = names("r2", [Sighting("go", NEW), Sighting("a", NEW, begins=True)], noted)
    assert moved == ["go"]


def test_the_same_layers_under_another_digest() -> None:
    """A base whose settings alone have changed has moved as well."""
    _, noted = names("r1", [Sighting("a", OLD, begins=True)], None)
    assert names("r1", [Sighting("a", NEW, begins=True)], noted)[0] == ["a"]


def test_no_release_after_release_for_one_move() -> None:
    """Layers that never fit lead to one release, not to one each night."""
    before: Noted | None = None
    released = 0
    for _ in range(5):
        moved, before = names(f"r{released}", [Sighting("a", NEW, begins=False)], before)
        released += bool(moved)
    assert released == 1


SIGHTINGS = st.lists(
    st.builds(
        Sighting,
        st.sampled_from("abc"),
        st.dictionaries(st.sampled_from(["", "linux/amd64"]), st.sampled_from(["x", "y"]), min_size=1),
        st.none() | st.booleans(),
    ),
    max_size=3,
    unique_by=lambda one: one.name,
)


@given(first=SIGHTINGS, second=SIGHTINGS)
def test_what_is_noted_survives_being_stored(first: list[Sighting], second: list[Sighting]) -> None:
    """As a value of JSON; and the same look twice for the same release says the same."""
    _, noted = look("r1", first, None)
    stored = Noted.parse(json.loads(json.dumps(noted.as_value())))
    assert stored == noted
    assert look("r1", second, stored)[0] == look("r1", second, look("r1", second, stored)[1])[0]


@given(value=st.none() | st.text() | st.lists(st.integers()) | st.dictionaries(st.text(), st.integers()))
def test_another_value_is_no_note(value: object) -> None:
    """Somebody may have edited the variable."""
    assert Noted.parse(value) is None
