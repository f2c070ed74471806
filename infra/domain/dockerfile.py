"""The images that a Dockerfile builds on, as far as they can be found without building it.

Source: frontend/dockerfile/parser and shell (moby/buildkit), Docker's Dockerfile reference ("FROM", "ARG", "COPY
--from", "RUN --mount"). A small reader of our own: dockerfile-parse (2.0.1) knows neither here-documents nor
`COPY --from`, and does not say which stages a target needs.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from prefect_slipway.infra.domain.errors import DockerfileInvalid
from prefect_slipway.infra.domain.globs import ANY, Loop, One, Part, glob, literal
from prefect_slipway.infra.domain.platform import this_machine
from prefect_slipway.infra.domain.text import shortened

_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(\S.*)")
_DIRECTIVES = {"syntax", "escape", "check"}
_HEREDOC = re.compile(r"[0-9]*<<(-?)\s*([^<]*)")
_HEREDOCS_IN = {"RUN", "COPY", "ADD"}
_NAME = re.compile(r"[0-9]+|[@*#?$!-]|\w+")
_MOUNT_FROM = re.compile(r"--mount=\S*?\bfrom=([^,\s]+)")
_COPY_FROM = re.compile(r"--from=(\S+)")
_SCRATCH, _IMAGE = "scratch", "docker-image://"
# An image's name is shorter; ARGs that use each other twice, or one long one often, would fill any memory.
_LONGEST, _LONGEST_TOGETHER = 16 << 10, 16 << 20
# What a pattern counts for, in characters: it costs more time.
_OF_A_PATTERN, _LONGEST_MATCHED = 64 << 10, 128
_DEEPEST = 50
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class BaseImage:
    """An image as the Dockerfile names it, with its ARGs filled in. `runtime`: the built image begins with its
    layers."""

    name: str
    runtime: bool


class _Use(NamedTuple):
    """The image or stage `name`, which the stage `by` uses; `ours`: the built image begins with its layers."""

    by: int
    name: str
    ours: bool


@dataclass
class _Stage:
    base: str
    name: str = ""
    uses: list[str] = field(default_factory=list)

    def named(self, number: int, *, ours: bool) -> Iterator[_Use]:
        """What the stage, whose number this is, builds on."""
        yield _Use(number, self.base, ours)
        yield from (_Use(number, used, ours=False) for used in self.uses)


def base_images(
    text: str,
    *,
    build_args: Mapping[str, str] | None = None,
    target: str | None = None,
    platforms: Iterable[str] = (),
    contexts: Mapping[str, str] = MappingProxyType({}),
) -> list[BaseImage]:
    """The images that the target (None for the last stage) builds on, directly or through other stages; each once.

    `platforms`: that it is built for; none: this machine's. `contexts`: additional ones, which stand for images and
    stages of their names. `FROM scratch` and other stages are not images. Raises DockerfileInvalid: no FROM, no such
    target, a FROM whose ARG has no value.
    """
    named = {_familiar(name): place for name, place in contexts.items()}
    runtime: dict[str, bool] = {}
    for platform in [*platforms] or [this_machine()]:
        arguments = _Arguments(build_args or {}, platform, target or "default")
        for base in _bases(_stages(text, arguments), target, named):
            runtime[base.name] = runtime.get(base.name, False) or base.runtime
    return [BaseImage(name, ours) for name, ours in runtime.items()]


def _familiar(name: str) -> str:
    """A name in the form by which the frontend looks for a context."""
    return name.lower().removeprefix("docker.io/").removeprefix("library/").removesuffix(":latest")


def _bases(stages: Sequence[_Stage], target: str | None, named: Mapping[str, str]) -> list[BaseImage]:
    if not stages:
        raise DockerfileInvalid("the Dockerfile has no FROM")
    numbers: dict[str, list[int]] = {}
    for number, stage in enumerate(stages):
        numbers.setdefault(stage.name, []).append(number)
    last: int | None = len(stages) - 1
    if target is not None and (last := _index(numbers, target, len(stages))) is None:
        raise DockerfileInvalid(f"the Dockerfile has no stage {target!r}")
    assert last is not None
    runtime: dict[str, bool] = {}
    # Not recursive: there may be more stages than Python's stack is deep.
    waiting, seen = [stages[last].named(last, ours=True)], {last}
    while waiting:
        if (use := next(waiting[-1], None)) is None:
            waiting.pop()
            continue
        if (place := named.get(_familiar(use.name))) is not None:
            image = place.removeprefix(_IMAGE)
            if image != place:
                runtime[image] = runtime.get(image, False) or use.ours
            continue
        found = _index(numbers, use.name, use.by)
        if found is None:
            if use.name.lower() != _SCRATCH:
                runtime[use.name] = runtime.get(use.name, False) or use.ours
        elif use.ours or found not in seen:
            seen.add(found)
            waiting.append(stages[found].named(found, ours=use.ours))
    return [BaseImage(name, ours) for name, ours in runtime.items()]


def _index(numbers: Mapping[str, list[int]], name: str, before: int) -> int | None:
    """The stage that a name or number means at this place: only earlier ones can be meant, the latest of a name."""
    named = numbers.get(name.lower(), [])
    if earlier := bisect_left(named, before):
        return named[earlier - 1]
    # Python refuses to read a number of thousands of digits.
    number = name.lstrip("0") or "0"
    return int(number) if name.isdecimal() and len(number) < 10 and int(number) < before else None


def _stages(text: str, arguments: _Arguments) -> list[_Stage]:
    stages: list[_Stage] = []
    for word, rest, escape in _instructions(text):
        if word == "ARG" and not stages:
            for declared in words(rest, escape):
                arguments.add(declared, escape)
        elif word == "FROM":
            parts = [part for part in rest.split() if not part.startswith("--")]
            base = arguments.filled(parts[0], escape) if parts else ""
            if not base:
                raise DockerfileInvalid(
                    f"FROM {rest}: the image is empty after its ARGs are substituted",
                    action="set the ARGs with --build-arg",
                )
            named = len(parts) == 3 and parts[1].upper() == "AS"
            stages.append(_Stage(base, parts[2].lower() if named else ""))
        elif stages and word in {"COPY", "ADD", "RUN"}:
            pattern = _MOUNT_FROM if word == "RUN" else _COPY_FROM
            # Flags stand first; what looks like one later on is an argument of the command.
            found = [match[1] for flag in _leading_flags(rest) if (match := pattern.match(flag)) is not None]
            stages[-1].uses += [name.strip("'\"") for name in found if "$" not in name]
    return stages


def _leading_flags(rest: str) -> Iterator[str]:
    for part in rest.split():
        if not part.startswith("--"):
            return
        yield part


class _Arguments:
    """What names stand for before the first FROM and in each FROM: ARGs and the platform."""

    def __init__(self, given: Mapping[str, str], platform: str, target: str) -> None:
        self._given = given
        self._left = _LONGEST_TOGETHER
        own = {**_of_platform("BUILD", this_machine()), **_of_platform("TARGET", platform), "TARGETSTAGE": target}
        self._values = {name: given.get(name, value) for name, value in own.items()}

    def add(self, declared: str, escape: str) -> None:
        """NAME or NAME=DEFAULT. Raises DockerfileInvalid as `filled`."""
        name, equals, default = declared.partition("=")
        if name in self._given:
            self._values[name] = self._given[name]
        elif equals:
            self._values[name] = self.filled(default, escape)

    def filled(self, text: str, escape: str) -> str:
        """The text with their values and without quotes. Raises DockerfileInvalid for values that are too long, and
        for substitutions that cannot be made."""
        return _Word(text, escape, self).read()

    def value(self, name: str) -> str | None:
        """The value that is put into a text; None without one."""
        found = self._values.get(name)
        self.spend(len(found or ""))
        return found

    def spend(self, characters: int) -> None:
        """Raises DockerfileInvalid for too many."""
        self._left -= characters
        if self._left < 0:
            raise _too_long(f"ARGs give more than {_LONGEST_TOGETHER}")


def _of_platform(whose: str, platform: str) -> dict[str, str]:
    system, _, rest = platform.partition("/")
    architecture, _, variant = rest.partition("/")
    parts = {"PLATFORM": platform, "OS": system, "ARCH": architecture, "VARIANT": variant, "OSVERSION": ""}
    return {f"{whose}{name}": value for name, value in parts.items()}


def _too_long(what: str) -> DockerfileInvalid:
    return DockerfileInvalid(f"{what} characters", action="shorten them")


class _Word:
    """A word with quotes and substitutions, as the frontend's shell/lex.go reads it."""

    def __init__(self, text: str, escape: str, arguments: _Arguments) -> None:
        self._text = text
        self._escape = escape
        self._arguments = arguments
        self._at = 0
        self._depth = 0

    def read(self, stop: str = "", *, raw: bool = False) -> str:
        """As far as `stop`, which is taken, or to the end. `raw`: escapes stay, for a pattern."""
        found: list[str] = []
        size = 0
        quoted = False
        while (char := self._next()) and (quoted or char != stop):
            part = char
            if char == "$":
                part = self._substituted()
            elif char == self._escape:
                after = self._next()
                kept = raw or (quoted and after not in {'"', "$", self._escape})
                part = (char if kept else "") + after
            elif char == '"':
                quoted, part = not quoted, ""
            elif char == "'" and not quoted:
                end = self._text.find(char, self._at)
                part = self._text[self._at : end if end >= 0 else None]
                self._at += len(part) + 1
            found.append(part)
            size += len(part)
            if size > _LONGEST:
                raise _too_long(f"an ARG has more than {_LONGEST}")
        if stop and char != stop:
            raise self._wrong()
        return "".join(found)

    def _next(self) -> str:
        self._at += 1
        return self._text[self._at - 1 : self._at]

    def _substituted(self) -> str:
        braced = self._text.startswith("{", self._at)
        name = _NAME.match(self._text, self._at + braced)
        if name is None:
            if braced:
                raise self._wrong()
            return "$"
        self._at = name.end()
        value = self._arguments.value(name[0])
        if not braced:
            return value or ""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise DockerfileInvalid(f"a substitution is nested more than {_DEEPEST} deep", action="simplify it")
        found = self._operated(value)
        self._depth -= 1
        return found

    def _operated(self, value: str | None) -> str:
        operator = self._next()
        # With a colon an empty value counts as none.
        if operator == ":":
            value, operator = value or None, self._next()
            if operator not in {"-", "+", "?"}:
                raise self._wrong()
        if operator == "}":
            return value or ""
        if operator in {"#", "%", "/"}:
            twice = self._text.startswith(operator, self._at)
            self._at += twice
            pattern = self.read("/" if operator == "/" else "}", raw=True)
            self._arguments.spend(_OF_A_PATTERN)
            if max(len(value or ""), len(pattern)) > _LONGEST_MATCHED:
                raise _too_long(f"a pattern is matched with more than {_LONGEST_MATCHED}")
            if operator != "/":
                return _trimmed(value or "", pattern, longest=twice, end=operator == "%")
            if not pattern or set(pattern) & set("*?\\"):
                raise self._wrong()
            return (value or "").replace(pattern, self.read("}", raw=True), -1 if twice else 1)
        word = self.read("}")
        match operator:
            case "-":
                return word if value is None else value
            case "+":
                return "" if value is None else word
            case "?" if value is not None:
                return value
        raise self._wrong()

    def _wrong(self) -> DockerfileInvalid:
        return DockerfileInvalid(
            f"{shortened(self._text, _SHOWN)!r} has a substitution that cannot be made", action="correct it"
        )


def _trimmed(value: str, pattern: str, *, longest: bool, end: bool) -> str:
    """The value without what matches at its beginning or end."""
    parts: list[Part] = []
    chars = iter(pattern)
    for char in chars:
        if char == "*":
            parts.append(Loop(ANY))
        else:
            parts += [One(ANY)] if char == "?" else literal(next(chars, "") if char == "\\" else char)
    matches = glob(parts)
    sizes = range(len(value) + 1)
    for size in reversed(sizes) if longest else sizes:
        rest = len(value) - size
        if matches(value[rest:] if end else value[:size]):
            return value[:rest] if end else value[size:]
    return value


def _instructions(text: str) -> Iterator[_Instruction]:
    """Continued lines joined, without comments and here-documents."""
    lines = (line.rstrip("\r") for line in text.removeprefix("\ufeff").split("\n"))
    escape, directives, joined = "\\", True, ""
    for line in lines:
        stripped = line.strip()
        if stripped.startswith("#") or not stripped:
            directive = _DIRECTIVE.fullmatch(stripped)
            directives = directives and directive is not None and directive[1].lower() in _DIRECTIVES
            if directives and directive is not None and directive[1].lower() == "escape":
                escape = directive[2]
            continue
        directives = False
        # An escaped one, at the end of a Windows path, continues nothing.
        end = line.rstrip(" \t")
        if end.endswith(escape) and not end.endswith(escape * 2):
            joined += end.removesuffix(escape)
            continue
        instruction = _Instruction.read(joined + line, escape)
        joined = ""
        for dash, end in instruction.heredocs():
            for inner in lines:
                if (inner.lstrip("\t") if dash else inner) == end:
                    break
        yield instruction
    if joined.strip():
        yield _Instruction.read(joined, escape)


class _Instruction(NamedTuple):
    """`word`: in capitals. `escape`: the file's sign for it."""

    word: str
    rest: str
    escape: str

    @classmethod
    def read(cls, line: str, escape: str) -> _Instruction:
        word, *rest = line.split(None, 1)
        return cls(word.upper(), rest[0].strip() if rest else "", escape)

    def heredocs(self) -> Iterator[tuple[bool, str]]:
        """The last lines of its here-documents; whether tabs may stand before them."""
        instruction = self.read(self.rest, self.escape) if self.word == "ONBUILD" and self.rest else self
        if instruction.word in _HEREDOCS_IN and "<<" in instruction.rest:
            for word in words(instruction.rest, "\\"):
                if (match := _HEREDOC.fullmatch(word)) is not None and match[2]:
                    yield bool(match[1]), re.sub("['\"]", "", match[2])


def words(text: str, escape: str) -> list[str]:
    """Divided by blanks outside of quotes, which stay; none if a quote is not closed. What stands behind `<<` belongs
    to it."""
    found: list[str] = []
    word, quote, signs = "", "", 0
    chars = iter(text)
    for char in chars:
        if char.isspace() and not quote:
            if word and (signs == 0 or signs % 2):
                found.append(word)
                word, signs = "", 0
            continue
        signs = signs + 1 if char == "<" and not quote else 0
        if char == escape and quote != "'":
            word += char + next(chars, "")
        elif quote:
            word += char
            quote = "" if char == quote else quote
        else:
            word += char
            quote = char if char in "'\"" else ""
    return [] if quote else [*found, word] if word else found
