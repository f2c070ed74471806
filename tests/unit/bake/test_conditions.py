"""A bake file's variables are checked by the conditions that it sets for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from prefect_slipway.flows.bake.read import read_folder
from prefect_slipway.flows.bake.targets import choose
from prefect_slipway.flows.build_options.places import Places
from prefect_slipway.infra.domain.errors import InvalidOption


def read(folder: Path, validation: Any, **variables: str) -> Any:
    document = {
        "variable": {
            "X": {"default": "x", "validation": validation},
            "Y": {"default": 5},
            "L": {"default": ["a", "b"]},
        },
        "target": {"default": {"args": {"X": "${X}"}}},
    }
    (folder / "docker-bake.json").write_text(json.dumps(document))
    return choose(read_folder(Places.of(folder, None, ()), [], variables), []).targets["default"].args


def rule(condition: Any, message: str = "it is ${X}") -> dict[str, Any]:
    return {"condition": condition, "error_message": message}


@pytest.mark.parametrize(
    "condition",
    [
        True,
        "true",
        "${true}",
        '${X == "x"}',
        '${X != "" && Y < 6}',
        '${X == "y" || (Y >= 5 && !false)}',
        "${Y == 2 + 3}",
        "${Y * 2 - 1 == 9 && Y % 2 == 1 && -Y < 0 && 10 / Y == 2}",
        '${X == "x" ? true : false}',
        '${contains(["x", "y"], X)}',
        '${length(L) == 2 && L[1] == "b" && L.0 == "a"}',
        "${strlen(X) == 1}",
        '${can(regex("^[a-z]$", X))}',
        '${!can(regex("^[0-9]$", X))}',
        '${regex("(.)", X)[0] == "x"}',
        '${length(regexall("x", "${X}-${X}")) == 2}',
        "${X != null}",
        '${"5" != Y}',
        '${"a\\"b\\u0041" == "a\\"bA"}',
    ],
    ids=str,
)
def test_a_value_that_is_allowed(tmp_path: Path, condition: Any) -> None:
    """Operators, and functions that look at a value."""
    assert read(tmp_path, rule(condition)) == {"X": "x"}


@pytest.mark.parametrize(
    ("validation", "words"),
    [
        (rule('${X == "y"}'), "the variable X has a value that is not allowed: it is x"),
        (rule(False), "is not allowed"),
        ({"condition": "${false}"}, "no reason given"),
        ([rule(True), rule("${false}", "the second")], "the second"),
        (rule('X == "x"'), "not to true or false"),
        (rule("${null}"), "not to true or false"),
        (rule("${X}"), "not to true or false"),
        ({"error_message": "x"}, "needs a condition"),
        (rule("${X < 5}"), "needs a number"),
        (rule("${Y / 0 == 1}"), "cannot be computed"),
        (rule("${L[7] == 1}"), "does not exist"),
        (rule("${NOBODY}"), "no variable NOBODY"),
        (rule("${X ==}"), "not a supported expression"),
        (rule('${homedir() == "X"}'), "no function homedir"),
        (rule("${length(X) == 1}"), "length arguments that it cannot take"),
        (rule("${" + "(" * 60 + "true" + ")" * 60 + "}"), "nested more than"),
    ],
)
def test_a_value_that_is_not_allowed(tmp_path: Path, validation: Any, words: str) -> None:
    """The file's own message; a condition that cannot be worked out is no permission."""
    with pytest.raises(InvalidOption, match=words):
        read(tmp_path, validation)


def test_a_value_that_is_given(tmp_path: Path) -> None:
    """Is what is checked."""
    assert read(tmp_path, rule('${X == "y"}'), X="y") == {"X": "y"}
    with pytest.raises(InvalidOption, match="it is z"):
        read(tmp_path, rule('${X == "y"}'), X="z")
