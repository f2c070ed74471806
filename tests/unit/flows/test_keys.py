"""Keys of artifacts: Prefect takes them, people can read them, and no two things share one."""

from __future__ import annotations

import re
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.flows.reporting.artifact_keys import history_key, key_of, older_history_key

GRAMMAR = re.compile("[a-z0-9-]+")
KINDS = ("release", "plan", "deploy", "deploy-plan", "history", "base-images")
# Names as they may be, made of what keys are made of, so that two are alike often.
NAMES = st.text(st.sampled_from("ab1-./_:@ xzsphukw"), max_size=8) | st.text(max_size=6)


@given(st.sampled_from(KINDS), NAMES, st.sampled_from(KINDS), NAMES)
def test_two_things_have_two_keys(kind: str, name: str, other_kind: str, other: str) -> None:
    """Whatever they are called."""
    assert (key_of(kind, name) == key_of(other_kind, other)) == ((kind, name) == (other_kind, other))
    assert GRAMMAR.fullmatch(key_of(kind, name))


def test_every_way_to_divide_the_same_words_has_its_own_key() -> None:
    """`team/app`, `team-app`, `team.app`, `team__app` ...: all that an image's name may have between two words."""
    names = ["".join(["r", *(f"{mark}{word}" for mark, word in zip(marks, "abcd", strict=True))])
             for marks in product(["/", ".", "-", "_", "__", "--", ":"], repeat=4)]  # fmt: skip
    assert len({key_of("release", name) for name in names}) == len(names)


def test_a_key_is_readable() -> None:
    """Kind and name are what one sees."""
    assert key_of("release", "r.example/team/app") == "release-r-example-team-app-pss"
    assert key_of("release", "r.example/team-app") == "release-r-example-team-app-psh"


def test_no_image_has_the_older_key_of_another() -> None:
    """The older ones end in hexadecimal digits, and no mark is one."""
    assert older_history_key("r.example/a-b") == "history-r-example-a-b-1949e2"
    assert not re.search("-[0-9a-f]{6}$", history_key("r.example/deeds:80/cafe.be"))
