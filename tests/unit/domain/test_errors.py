"""The named causes: complete, as their tree says, fit to be stored; and credentials, which are not."""

from __future__ import annotations

import copy
import inspect
import pickle
import re

import pytest

from prefect_slipway.infra.domain import errors
from prefect_slipway.infra.domain.credentials import Anonymous, Credential
from prefect_slipway.infra.domain.errors import InvalidReference, SlipwayError, StepFailed, UsageError

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, SlipwayError)]
LEAVES = [kind for kind in CLASSES if not kind.__subclasses__()]


def documented() -> dict[str, tuple[str | None, bool]]:
    """Name, parent and mark of each class in the tree of the module's docstring."""
    found: dict[str, tuple[str | None, bool]] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    ((?:[│ ]   )*(?:[├└]── )?)([A-Z]\w+)(.*)", line)
        if match and (match[1] or match[2] == "SlipwayError"):
            depth = len(match[1]) // 4
            path[depth:] = [match[2]]
            found[match[2]] = (path[depth - 1] if depth else None, match[3].rstrip().endswith("(retry)"))
    return found


def test_the_tree_lists_exactly_the_classes() -> None:
    """Each class stands in the docstring below its parent, and nothing else does."""
    parents = {kind.__name__: kind.__bases__[0].__name__ for kind in CLASSES if kind is not SlipwayError}
    assert {name: parent for name, (parent, _) in documented().items()} == parents | {"SlipwayError": None}


def test_the_tree_marks_exactly_the_retryable() -> None:
    """What tasks retry on is what the docstring says."""
    assert {name for name, (_, retry) in documented().items() if retry} == {
        kind.__name__ for kind in CLASSES if kind.retryable
    }


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_survives_pickling(kind: type[SlipwayError]) -> None:
    """All fields, notes included, in every protocol and as a copy."""
    error = kind("what happened", action="do this", retry_after=1.5, details="line 1\nline 2")
    if isinstance(error, StepFailed):
        error.step, error.status = "[2/3] RUN false", 1
    error.add_note("seen at noon")
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(error, protocol))
        assert type(again) is kind
        assert again.__dict__ == error.__dict__
        assert again.args == error.args == ("what happened",)
        assert str(again) == str(error)
    assert copy.deepcopy(error).__dict__ == error.__dict__


@pytest.mark.parametrize("kind", LEAVES)
def test_every_cause_ends_with_the_next_action(kind: type[SlipwayError]) -> None:
    """Each concrete cause has one by itself (a usage error of many kinds gets it where it is raised)."""
    error = kind("what happened", details="some lines\n")
    lines = str(error).splitlines()
    assert lines[:2] == ["what happened", "some lines"]
    if kind is not errors.InvalidOption:
        assert lines[-1] == f"Next: {kind.default_action}"
        assert kind.default_action
    assert str(kind("x", action="go on")).splitlines() == ["x", "Next: go on"]
    assert str(kind("x", action="")) == "x"


@pytest.mark.parametrize("kind", CLASSES)
def test_exit_codes(kind: type[SlipwayError]) -> None:
    """1 failed, 2 usage, 130 interrupted."""
    expected = 2 if issubclass(kind, UsageError) else 130 if kind is errors.Interrupted else 1
    assert kind.exit_code == expected
    assert kind("x").name == kind.__name__


def test_a_failed_step_keeps_its_fields() -> None:
    """Step and exit status, given by name."""
    error = StepFailed("RUN false failed", step="[2/3] RUN false", status=1)
    assert (error.step, error.status) == ("[2/3] RUN false", 1)


def test_an_error_without_a_wish_to_wait_has_none() -> None:
    """Defaults: the class's action, no seconds, no details."""
    error = InvalidReference("x")
    assert (error.action, error.retry_after, error.details) == (InvalidReference.default_action, None, "")


def test_a_credential_is_neither_shown_nor_stored() -> None:
    """Not in repr, str or format, not by pickle or copy."""
    credential = Credential("robot", "hidden-treasure")
    assert "hidden-treasure" not in f"{credential!r} {credential!s} {credential} {[credential]}"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="must not be stored"):
            pickle.dumps(credential, protocol)
    for duplicate in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="must not be stored"):
            duplicate(credential)
    assert credential == Credential("robot", "hidden-treasure")
    assert credential != Credential("robot", "other")


async def test_anonymous_has_no_credential() -> None:
    """For any host."""
    assert await Anonymous().credential("registry.example.com") is None
