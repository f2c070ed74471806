"""YAML as Compose reads it: version 1.2, where `yes`, `NO` and `12:30:45` are strings and `0o17` is a number.

PyYAML reads 1.1; its scalars are resolved here as go.yaml.in/yaml (`internal/libyaml/resolver.go`) does, which both
`docker compose` and `docker buildx bake` read with. Unlike there a date is the text that it is written as.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import yaml

from prefect_slipway.flows.bake.bounds import MOST_VALUES, check_document, too_deep
from prefect_slipway.infra.domain.errors import InvalidOption

_TAG = "tag:yaml.org,2002:"
# Decimal, octal (0o17, and 017 as before 1.2), hexadecimal, binary; `_` may stand between digits.
_INTEGER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|0[bB][01]+|0|[1-9][0-9]*)")
_LONGEST_INTEGER = len("-0b") + 64
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_WORDS = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_KINDS = {bool: "bool", type(None): "null", int: "int", float: "float", str: "str"}


def _scalar(text: str) -> str | int | float | bool | None:
    """What a plain scalar stands for."""
    if text in _WORDS:
        return _WORDS[text]
    if _INFINITE.fullmatch(text):
        return float(text.replace(".", "", 1))
    digits = text.replace("_", "") if text[0] in "+-.0123456789" else ""
    if len(digits) <= _LONGEST_INTEGER and _INTEGER.fullmatch(digits):
        whole = int(re.sub(r"^([-+]?)0(?=[0-7])", r"\g<1>0o", digits), 0)
        if -(1 << 63) <= whole < 1 << 64:
            return whole
    if _FLOAT.fullmatch(digits) and math.isfinite(number := float(digits)):
        return number
    return text


class Reset:
    """`!reset`: removes the value of this name that earlier files set."""


@dataclass(frozen=True)
class Override:
    """`!override`: the value replaces the earlier one instead of being merged with it."""

    value: Any


def read_yaml(name: str, text: str) -> list[Any]:
    """The documents of a file, with `Reset` and `Override` in them. Raises InvalidOption."""
    try:
        documents = list(yaml.load_all(text, _Loader))
    except RecursionError:
        raise too_deep(name) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or "not readable YAML"
        raise InvalidOption(f"{name}{line}: {problem}") from error
    check_document(name, documents, lambda value: value.value if isinstance(value, Override) else value)
    return documents


class _Loader(yaml.SafeLoader):
    _merged = 0

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merges (`<<`) could multiply: each copies what it merges."""
        super().flatten_mapping(node)
        self._merged += len(node.value)
        if self._merged > MOST_VALUES:
            raise yaml.constructor.ConstructorError(None, None, "it merges too many maps", node.start_mark)

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode and implicit[0]:
            return _TAG + ("merge" if value == "<<" else _KINDS[type(_scalar(value))])
        return _TAG + {yaml.ScalarNode: "str", yaml.SequenceNode: "seq", yaml.MappingNode: "map"}[kind]

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if key.tag not in {f"{_TAG}str", f"{_TAG}merge"}:
                raise yaml.constructor.ConstructorError(None, None, "a key must be a string", key.start_mark)
            if key.value in seen:
                problem = f"the key {key.value!r} appears twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value)
        found: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return found

    def untagged(self, node: yaml.Node) -> Any:
        """The node's value as if it had no tag."""
        if isinstance(node, yaml.MappingNode):
            return self.construct_mapping(node, deep=True)
        if isinstance(node, yaml.SequenceNode):
            return self.construct_sequence(node, deep=True)
        assert isinstance(node, yaml.ScalarNode), "there are three kinds of nodes"
        return _scalar(node.value) if node.style is None else node.value


def _plain(loader: Any, node: Any) -> Any:
    return _scalar(node.value)


def _text(loader: Any, node: Any) -> Any:
    return node.value


def _reset(loader: Any, node: Any) -> Any:
    return Reset()


def _override(loader: Any, node: Any) -> Any:
    return Override(loader.untagged(node))


def _unknown(loader: Any, suffix: str, node: Any) -> Any:
    return loader.untagged(node)


for _kind in ("bool", "null", "int", "float"):
    _Loader.add_constructor(_TAG + _kind, _plain)
_Loader.add_constructor(f"{_TAG}timestamp", _text)
_Loader.add_constructor("!reset", _reset)
_Loader.add_constructor("!override", _override)
_Loader.add_multi_constructor("!", _unknown)
