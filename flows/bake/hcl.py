"""docker-bake.hcl as the document that docker-bake.json would be: blocks are objects, attributes are expressions.

Grammar: "Structural Elements" in hclsyntax/spec.md (hashicorp/hcl). Only the files' structure is read here; python-hcl2
reads HCL, too, but takes over a second to load its grammar, and leaves expressions as text.
"""

from __future__ import annotations

import re
from typing import Any

from prefect_slipway.flows.bake.bounds import MOST_LEVELS, too_deep
from prefect_slipway.flows.bake.expression import NAME, blank, parse
from prefect_slipway.flows.bake.template import Attribute
from prefect_slipway.infra.domain.errors import InvalidOption

_LABEL = re.compile(r'"((?:[^"\\\n$%])*)"')
_LINE_END = re.compile(r"[ \t]*(?:/\*[^\n]*?\*/[ \t]*)*(?:(?:#|//)[^\n]*)?(?:\r?\n|$)")


class Repeated(list[Any]):
    """The values of a key that an object has several times, as a block may."""


def parse_hcl(name: str, text: str) -> dict[str, Any]:
    """The document. Raises InvalidOption."""
    reader = _Reader(name, text.removeprefix("\ufeff"))
    document = reader.body(0)
    if reader.at < len(reader.text):
        raise reader.wrong("is not expected here")
    return document


class _Reader:
    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self.text = text
        self.at = 0

    def body(self, level: int) -> dict[str, Any]:
        """Attributes and blocks, until the end or a `}`."""
        if level > MOST_LEVELS:
            raise too_deep(self._name)
        found: dict[str, Any] = {}
        while True:
            self.at = blank(self.text, self.at)
            name = NAME.match(self.text, self.at)
            if name is None:
                return found
            begin, self.at = self.at, name.end()
            after = blank(self.text, self.at)
            if self.text.startswith("=", after) and not self.text.startswith("==", after):
                if name[0] in found:
                    self.at = begin
                    raise self.wrong("is set twice")
                found[name[0]] = self._attribute(after + 1)
            else:
                _add(found, name[0], self._block(level))

    def _attribute(self, start: int) -> Attribute:
        expression, self.at = parse(self._where(start), self.text, start)
        source = self.text[start : self.at].strip()
        end = _LINE_END.match(self.text, self.at)
        # A heredoc ends with its own line; a body may be on one line.
        if end is None and not self.text.startswith("}", blank(self.text, self.at)):
            raise self.wrong("is not expected behind a value")
        return Attribute(expression, source)

    def _block(self, level: int) -> Any:
        labels = []
        while True:
            self.at = blank(self.text, self.at)
            label = _LABEL.match(self.text, self.at) or NAME.match(self.text, self.at)
            if label is None:
                break
            labels.append(label[1] if label.re is _LABEL else label[0])
            self.at = label.end()
        if not self.text.startswith("{", self.at):
            raise self.wrong("is not expected here")
        self.at += 1
        inner: Any = self.body(level + 1)
        self.at = blank(self.text, self.at)
        if not self.text.startswith("}", self.at):
            raise self.wrong("is not expected here")
        self.at += 1
        for label_text in reversed(labels):
            inner = {label_text: inner}
        return inner

    def _where(self, at: int) -> str:
        return f"{self._name}, line {self.text.count(chr(10), 0, at) + 1}"

    def wrong(self, what: str) -> InvalidOption:
        """The error for what is at this place."""
        at = blank(self.text, self.at)
        line = self.text[at:].partition("\n")[0].strip()
        shown = repr(line[:40]) if line else "the end of the file"
        return InvalidOption(f"{self._where(at)}: {shown} {what}", action="check the file with `docker buildx bake`")


def _add(found: dict[str, Any], name: str, value: Any) -> None:
    if name not in found:
        found[name] = Repeated([value])
    elif isinstance(found[name], Repeated):
        found[name].append(value)
    else:
        raise InvalidOption(f"{name} is an attribute and a block", action="use only one of them")
