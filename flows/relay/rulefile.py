"""Read a rule file: errors name their line, and an invalid new file does not replace the valid old one."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from prefect_slipway.flows.relay import LOGGER
from prefect_slipway.flows.relay.rules import RuleBook
from prefect_slipway.flows.request.wrong import wrong
from prefect_slipway.infra.domain.errors import InvalidOption

_MOST_BYTES = 1 << 20

logger = logging.getLogger(LOGGER)


class RuleFile:
    """The active rules. `problem`: what is wrong with the current file, None if it is active."""

    def __init__(self, path: Path) -> None:
        """Read the file. Raises InvalidOption."""
        self.path = path
        self.problem: str | None = None
        content = self._content()
        self._seen = _mark(content)
        self.rules = parse_rules(content, path.name)

    def refresh(self, *, loudly: bool = False) -> None:
        """Reload a changed file and log it. `loudly`: also log that nothing changed. Raises nothing."""
        try:
            content = self._content()
            if _mark(content) == self._seen and not loudly:
                return
            self.rules = parse_rules(content, self.path.name)
        except InvalidOption as error:
            # Checked again each time until it is valid.
            self._seen = b""
            if self.problem != error.cause or loudly:
                logger.error("the rules are unchanged: %s", error.cause)
            self.problem = error.cause
            return
        self._seen = _mark(content)
        self.problem = None
        logger.info("%s: %d sources and %d rules are active", self.path, len(self.rules.sources), len(self.rules.rules))

    def _content(self) -> bytes:
        try:
            with self.path.open("rb") as file:
                content = file.read(_MOST_BYTES + 1)
        except OSError as error:
            raise InvalidOption(f"the rule file {self.path} cannot be read ({error.strerror})") from error
        if len(content) > _MOST_BYTES:
            raise InvalidOption(f"the rule file {self.path} is larger than {_MOST_BYTES} bytes")
        return content


def parse_rules(content: bytes, name: str) -> RuleBook:
    """The rules in a YAML file called `name`. Raises InvalidOption: file, line, rule, and what is wrong."""
    try:
        root = yaml.compose(content, Loader=_Loader)
        if root is None:
            raise InvalidOption(f"{name} is empty")
        _refuse_twice(root, name)
        document = _value(root)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}:{mark.line + 1}" if mark else name
        raise InvalidOption(
            f"{where}: not YAML: {getattr(error, 'problem', None) or 'unreadable bytes'}",
            action="quote values that begin with * or !",
        ) from error
    try:
        return RuleBook.model_validate(document)
    except ValidationError as error:
        raise InvalidOption(_complaint(error, root, name)) from None


class _Loader(yaml.SafeLoader):
    """YAML without dates: a parameter that looks like one stays the text that was written."""


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _value(root: yaml.Node) -> Any:
    loader = _Loader("")
    try:
        return loader.construct_document(root)
    finally:
        loader.dispose()


def _refuse_twice(node: yaml.Node, name: str) -> None:
    """YAML lets the last of two equal keys win, which nobody means."""
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                raise InvalidOption(f"{name}:{key.start_mark.line + 1}: {key.value!r} appears twice")
            seen.add(key.value)
            _refuse_twice(value, name)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_twice(value, name)


def _complaint(error: ValidationError, root: yaml.Node, name: str) -> str:
    found = error.errors(include_url=False, include_input=False)
    # A misspelt field is both unknown and missing: the unknown one tells what is wrong.
    unknown = next((one for one in found if one["type"] == "extra_forbidden"), None)
    if unknown is not None:
        return f"{_where(root, unknown['loc'], name)}: there is no such field"
    return f"{_where(root, found[0]['loc'], name)}: {wrong(found[0])}"


def _where(root: yaml.Node, location: Sequence[int | str], name: str) -> str:
    """`FILE:LINE, rule NAME, FIELD`, as far down as the location leads."""
    node, line, said = root, root.start_mark.line, ""
    for position, key in enumerate(location):
        if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
            node = node.value[key]
            line = node.start_mark.line
            if position == 1:
                said = f", {str(location[0]).removesuffix('s')} {_name_of(node) or key + 1}"
        elif isinstance(node, yaml.MappingNode):
            entry = next(((given, value) for given, value in node.value if given.value == key), None)
            if position > 0 and isinstance(key, str):
                said += f", {key}"
            if entry is None:
                break
            line, node = entry[0].start_mark.line, entry[1]
    return f"{name}:{line + 1}{said}"


def _name_of(node: yaml.Node) -> str | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == "name" and isinstance(value.value, str):
                return value.value
    return None


def _mark(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
