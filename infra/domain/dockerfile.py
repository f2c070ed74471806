"""The images that a Dockerfile builds on, as far as they can be found without building it.

Source: Docker's Dockerfile reference ("FROM", "ARG", "Parser directives", "Here-documents", "COPY --from",
"RUN --mount"). A small reader of our own: dockerfile-parse (2.0.1) knows neither here-documents nor `COPY --from`, and
does not say which stages a target needs.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from prefect_slipway.infra.domain.errors import DockerfileInvalid

_DIRECTIVE = re.compile(r"#\s*(\w+)\s*=\s*(\S+)\s*")
_HEREDOC = re.compile(r"<<(-?)\s*(['\"]?)([A-Za-z_][A-Za-z0-9_]*)\2")
_VARIABLE = re.compile(r"\\(.)|\$(\w+)|\$\{(\w+)(?:(:?[-+])([^}]*))?\}")
_UNBRACED = re.compile(r"\\(.)|\$(\w+)")
_MOUNT_FROM = re.compile(r"--mount=\S*?\bfrom=([^,\s]+)")
_COPY_FROM = re.compile(r"--from=(\S+)")
_SCRATCH = "scratch"
# An image's name is shorter; ARGs that use each other twice, or one long one often, would fill any memory.
_LONGEST, _LONGEST_TOGETHER = 16 << 10, 16 << 20


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
    text: str, *, build_args: Mapping[str, str] | None = None, target: str | None = None
) -> list[BaseImage]:
    """The images that the target (None for the last stage) builds on, directly or through other stages; each once.

    `FROM scratch` and other stages are not images. Raises DockerfileInvalid: no FROM, no such target, a FROM whose ARG
    has no value.
    """
    stages = _stages(text, build_args or {})
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


def _stages(text: str, build_args: Mapping[str, str]) -> list[_Stage]:
    stages: list[_Stage] = []
    arguments = _Arguments(build_args)
    for word, rest in _instructions(text):
        if word == "ARG" and not stages:
            for declared in rest.split():
                arguments.add(declared)
        elif word == "FROM":
            parts = [part for part in rest.split() if not part.startswith("--")]
            base = arguments.filled(parts[0].strip("'\"")) if parts else ""
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
    """The ARGs before the first FROM, by their names."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given
        self._values: dict[str, str] = {}
        self._left = _LONGEST_TOGETHER

    def add(self, declared: str) -> None:
        """NAME or NAME=DEFAULT. Raises DockerfileInvalid as `filled`."""
        name, equals, default = declared.partition("=")
        if name in self._given:
            self._values[name] = self._given[name]
        elif equals:
            self._values[name] = self.filled(default.strip("'\""))

    def filled(self, text: str) -> str:
        """The text with their values. Raises DockerfileInvalid for values that are too long."""
        size = 0

        def value(match: re.Match[str]) -> str:
            nonlocal size
            found = self._chosen(*match.groups())
            size += len(found)
            self._left -= len(found)
            if size > _LONGEST or self._left < 0:
                what = (
                    f"an ARG has more than {_LONGEST}"
                    if size > _LONGEST
                    else f"ARGs give more than {_LONGEST_TOGETHER}"
                )
                raise DockerfileInvalid(f"{what} characters", action="shorten them")
            return found

        # Behind the last brace none is closed, and looking for it from each that opens takes quadratic time.
        closed, brace, rest = text.rpartition("}")
        return _VARIABLE.sub(value, closed + brace) + _UNBRACED.sub(value, rest)

    def _chosen(
        self,
        escaped: str | None,
        plain: str | None,
        name: str | None = None,
        operator: str | None = None,
        word: str | None = None,
    ) -> str:
        if escaped is not None:
            return escaped
        known = self._values.get(plain or name or "")
        if operator is None:
            return known or ""
        # With a colon an empty value counts as none.
        there = bool(known) if operator.startswith(":") else known is not None
        if operator.endswith("+"):
            return self.filled(word or "") if there else ""
        return (known or "") if there else self.filled(word or "")


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    """Each instruction's word in capitals and the rest: continued lines joined, no comments, no here-documents."""
    lines = iter(text.removeprefix("\ufeff").splitlines())
    escape, directives, joined = "\\", True, ""
    for line in lines:
        stripped = line.strip()
        if stripped.startswith("#") or not stripped:
            directive = _DIRECTIVE.fullmatch(stripped)
            directives = directives and directive is not None
            if directives and directive is not None and directive[1].lower() == "escape":
                escape = directive[2]
            continue
        directives = False
        if stripped.endswith(escape):
            joined += line.rstrip()[: -len(escape)]
            continue
        word, rest = _split(joined + line)
        joined = ""
        if word in {"RUN", "COPY", "ADD"}:
            for dash, _, end in _HEREDOC.findall(rest):
                for inner in lines:
                    if (inner.lstrip("\t") if dash else inner) == end:
                        break
        yield word, rest
    if joined.strip():
        yield _split(joined)


def _split(instruction: str) -> tuple[str, str]:
    word, *rest = instruction.split(None, 1)
    return word.upper(), rest[0].strip() if rest else ""
