"""YAML and JSON as text: values are found by the parser's positions and replaced in place, so that comments, order,
quotes, indentation, anchors and line ends stay byte for byte."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import yaml
from yaml import MappingNode, Node, ScalarNode, SequenceNode

from prefect_slipway.infra.domain.errors import ManifestInvalid

MOST_CHARACTERS = 1 << 20
_MOST_LEVELS = 100

# What a plain scalar would not be a string for, in YAML 1.1 or 1.2; and what it may consist of here.
_NOT_TEXT = re.compile(
    r"[-+]?[0-9_]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?|[-+]?0[xXoObB][0-9a-fA-F_]+|[-+]?[0-9_]+(?::[0-5]?[0-9])+"
    r"|y|n|yes|no|on|off|true|false|null|~",
    re.IGNORECASE,
)
_PROPERTIES = re.compile(r"(?:[&!][^\s,\[\]{}]*(?:\s+|\Z))*")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/@+-]*(?::[A-Za-z0-9][A-Za-z0-9._/@+-]*)*")


@dataclass(frozen=True, slots=True)
class Spot:
    """A value that is there (`node`), or the key that it would have in a mapping."""

    node: ScalarNode | None
    mapping: MappingNode | None = None
    key: str = ""

    @property
    def value(self) -> str | None:
        return None if self.node is None or _is_null(self.node) else self.node.value


class YamlText:
    """A file: its documents, and the changes to its text. `name`: for people. All methods raise ManifestInvalid."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self._changes: dict[tuple[int, int], str] = {}

    @cached_property
    def documents(self) -> list[Node]:
        """Their roots. An alias is the node of its anchor, so that nothing is ever expanded."""
        if len(self.text) > MOST_CHARACTERS:
            raise ManifestInvalid(f"{self.name} is larger than {MOST_CHARACTERS >> 20} MiB")
        text = self.text.removeprefix("\ufeff")
        try:
            text.encode()
            loader = yaml.CBaseLoader if hasattr(yaml, "CBaseLoader") else yaml.BaseLoader
            # Counted by the events, because the composer recurses.
            level = 0
            for event in yaml.parse(text, loader):
                level += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
                if level > _MOST_LEVELS:
                    raise ManifestInvalid(f"{self.name} is nested more than {_MOST_LEVELS} levels deep")
            return [node for node in yaml.compose_all(text, loader) if node is not None]
        except UnicodeEncodeError:
            raise ManifestInvalid(f"{self.name} is not UTF-8") from None
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = f", line {mark.line + 1}" if mark is not None else ""
            raise ManifestInvalid(f"{self.name}{line}: {getattr(error, 'problem', None) or 'not YAML'}") from error

    @property
    def changed(self) -> str:
        """The text with all changes, which is readable again."""
        text = self.text
        for (start, end), new in sorted(self._changes.items(), reverse=True):
            text = text[:start] + new + text[end:]
        return text

    def at(self, root: Node, path: Sequence[str | int]) -> Spot | None:
        """The scalar at a path of keys and indices, or where its last key belongs; None if even that does not exist."""
        node = root
        for step in path[:-1]:
            found = self.child(node, step)
            if found is None:
                return None
            node = found
        found = self.child(node, path[-1])
        if found is None:
            missing = isinstance(node, MappingNode) and isinstance(path[-1], str)
            return Spot(None, node, path[-1]) if missing else None  # type: ignore[arg-type]
        if not isinstance(found, ScalarNode):
            raise ManifestInvalid(f"{self.where(found)}: {path[-1]} is not a text")
        return Spot(found)

    def child(self, node: Node, step: str | int) -> Node | None:
        """The value of a key, or an item. What is merged (`<<`) does not count: a key beside it overrides it."""
        if isinstance(node, SequenceNode) and isinstance(step, int):
            return node.value[step] if step < len(node.value) else None
        if not isinstance(node, MappingNode):
            return None
        found = [value for key, value in node.value if isinstance(key, ScalarNode) and key.value == step]
        if len(found) > 1:
            raise ManifestInvalid(f"{self.where(found[1])}: the key {step} is there twice")
        return found[0] if found else None

    def where(self, node: Node) -> str:
        return f"{self.name}, line {node.start_mark.line + 1}"

    def scalars(self) -> Iterator[ScalarNode]:
        """All values that are texts, each once."""
        seen: set[int] = set()
        waiting = list(self.documents)
        while waiting:
            node = waiting.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            if isinstance(node, ScalarNode):
                yield node
            elif isinstance(node, SequenceNode):
                waiting += node.value
            elif isinstance(node, MappingNode):
                waiting += [value for _, value in node.value]

    def rest_of_line(self, node: Node) -> str:
        """What follows a value on its line."""
        end = self._index(node.end_mark)
        return self.text[end : self._line_end(end)]

    def put(self, spot: Spot, value: str) -> None:
        """Write a value. Where it stands already nothing is changed."""
        if spot.node is not None:
            if spot.value != value:
                self._replace(spot.node, value)
        elif spot.mapping is not None:
            self._add_key(spot.mapping, spot.key, value)

    def append(self, root: MappingNode, key: str, item: Mapping[str, str]) -> None:
        """Add an item to the sequence that a key of the document holds, with the key if need be."""
        there = self.child(root, key)
        if isinstance(there, SequenceNode) and there.value and not there.flow_style:
            first = there.value[0].start_mark
            line = self.text.splitlines()[first.line][: first.column]
            dash = line.rfind("-")
            self._insert(self._line_end(self._end(there)), self._item(item, dash, first.column - dash))
        elif isinstance(there, SequenceNode):
            self._insert_last(there, self._braces(item))
        elif isinstance(there, ScalarNode) and not there.value:
            self._insert(self._line_end(self._index(there.start_mark)), self._item(item, 0, 2))
        elif there is not None:
            raise ManifestInvalid(f"{self.where(there)}: {key} is not a list")
        elif root.flow_style:
            self._insert_last(root, f"{_quoted(key)}: [{self._braces(item)}]")
        else:
            tail = "" if self.text.endswith("\n") else self._eol
            self._insert(len(self.text), f"{tail}{key}:{self._item(item, 0, 2)}{self._eol}")

    def _replace(self, node: ScalarNode, value: str) -> None:
        start, end = self._index(node.start_mark), self._index(node.end_mark)
        # The parser counts an anchor and a tag to the value.
        properties = _PROPERTIES.match(self.text, start, end)
        start = properties.end() if properties is not None else start
        if node.style in {"|", ">"} or "\n" in self.text[start:end]:
            raise ManifestInvalid(f"{self.where(node)}: the value spans several lines", action="write it on one line")
        shown = {"'": f"'{value}'", '"': _quoted(value)}.get(node.style or "") or _plain(value)
        # An empty value stands right behind its colon, or its anchor.
        space = " " if start == end and not self.text[start - 1].isspace() else ""
        self._changes[start, end] = space + shown

    def _add_key(self, mapping: MappingNode, key: str, value: str) -> None:
        """After the last key of the mapping whose value is on one line."""
        pairs = [
            (name, old)
            for name, old in mapping.value
            if isinstance(name, ScalarNode)
            and isinstance(old, ScalarNode)
            and old.style not in {"|", ">"}
            and old.start_mark.line == name.start_mark.line
        ]
        if not pairs:
            raise ManifestInvalid(f"{self.where(mapping)}: there is no key beside which {key} can be written")
        name, old = pairs[-1]
        start, end = self._index(name.start_mark), self._index(old.end_mark)
        if mapping.flow_style:
            before = self.text[:start]
            blank = before[len(before.rstrip()) :] or " "
            shown = _quoted(key) if name.style == '"' else key
            self._insert(end, f",{blank}{shown}: {_quoted(value)}")
        else:
            self._insert(self._line_end(end), f"{self._eol}{' ' * name.start_mark.column}{key}: {_plain(value)}")

    def _item(self, item: Mapping[str, str], dash: int, width: int) -> str:
        leads = [" " * dash + "-" + " " * (width - 1), *[" " * (dash + width)] * (len(item) - 1)]
        pairs = zip(leads, item.items(), strict=True)
        return "".join(f"{self._eol}{lead}{key}: {_plain(value)}" for lead, (key, value) in pairs)

    def _braces(self, item: Mapping[str, str]) -> str:
        return "{" + ", ".join(f"{_quoted(key)}: {_quoted(value)}" for key, value in item.items()) + "}"

    def _insert(self, at: int, text: str) -> None:
        self._changes[at, at] = self._changes.get((at, at), "") + text

    def _insert_last(self, collection: SequenceNode | MappingNode, text: str) -> None:
        """Into brackets or braces."""
        before = self.text[: self._index(collection.end_mark) - 1].rstrip()
        self._insert(len(before), text if before[-1] in "[{" else f"{'' if before[-1] == ',' else ','} {text}")

    def _end(self, node: Node) -> int:
        """Where the text of a node ends: the parser lets a block end where the next thing begins. Of an alias, whose
        node is elsewhere, the key is on the same line."""
        if isinstance(node, SequenceNode | MappingNode) and not node.flow_style:
            parts = [part for value in node.value for part in (value if isinstance(value, tuple) else (value,))]
            return max(map(self._end, parts))
        end = self._index(node.end_mark)
        return len(self.text[:end].rstrip()) if isinstance(node, ScalarNode) and node.style in {"|", ">"} else end

    def _line_end(self, index: int) -> int:
        found = re.compile(r"\r?\n|\Z").search(self.text, index)
        assert found is not None, "a text has an end"
        return found.start()

    def _index(self, mark: yaml.Mark) -> int:
        return int(mark.index) + self.text.startswith("\ufeff")

    @cached_property
    def _eol(self) -> str:
        return "\r\n" if "\r\n" in self.text else "\n"


def _is_null(node: ScalarNode) -> bool:
    return node.style is None and node.value in {"", "~", "null", "Null", "NULL"}


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _plain(value: str) -> str:
    return value if _PLAIN.fullmatch(value) and not _NOT_TEXT.fullmatch(value) else _quoted(value)
