"""The images that a Dockerfile builds on, as far as they can be found without building it.

Source: Docker's Dockerfile reference ("FROM", "ARG", "Parser directives", "Here-documents", "COPY --from",
"RUN --mount"). A small reader of our own: dockerfile-parse (2.0.1) knows neither here-documents nor `COPY --from`, and
does not say which stages a target needs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from prefect_slipway.infra.domain.errors import DockerfileInvalid

_DIRECTIVE = re.compile(r"#\s*(\w+)\s*=\s*(\S+)\s*")
_HEREDOC = re.compile(r"<<(-?)\s*(['\"]?)([A-Za-z_][A-Za-z0-9_]*)\2")
_VARIABLE = re.compile(r"\\(.)|\$(\w+)|\$\{(\w+)(?:(:?[-+])([^}]*))?\}")
_MOUNT_FROM = re.compile(r"--mount=\S*?\bfrom=([^,\s]+)")
_COPY_FROM = re.compile(r"--from=(\S+)")
_SCRATCH = "scratch"


@dataclass(frozen=True, slots=True)
class BaseImage:
    """An image as the Dockerfile names it, with its ARGs filled in. `runtime`: the built image begins with its
    layers."""

    name: str
    runtime: bool


@dataclass
class _Stage:
    base: str
    name: str = ""
    uses: list[str] = field(default_factory=list)


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
    last = len(stages) - 1
    if target is not None:
        found = _index(stages, target, len(stages))
        if found is None:
            raise DockerfileInvalid(f"the Dockerfile has no stage {target!r}")
        last = found
    runtime: dict[str, bool] = {}
    seen: set[int] = set()

    def visit(number: int, *, ours: bool) -> None:
        if number in seen and not ours:
            return
        seen.add(number)
        stage = stages[number]
        for name, is_base in [(stage.base, True), *((used, False) for used in stage.uses)]:
            inner = _index(stages, name, number)
            if inner is not None:
                visit(inner, ours=ours and is_base)
            elif name.lower() != _SCRATCH:
                runtime[name] = runtime.get(name, False) or (ours and is_base)

    visit(last, ours=True)
    return [BaseImage(name, ours) for name, ours in runtime.items()]


def _index(stages: list[_Stage], name: str, before: int) -> int | None:
    """The stage that a name or number means at this place: only earlier ones can be meant, the latest of a name."""
    for number in range(before - 1, -1, -1):
        if stages[number].name == name.lower():
            return number
    return int(name) if name.isdecimal() and int(name) < before else None


def _stages(text: str, build_args: Mapping[str, str]) -> list[_Stage]:
    stages: list[_Stage] = []
    values: dict[str, str] = {}
    for word, rest in _instructions(text):
        if word == "ARG" and not stages:
            for given in rest.split():
                name, equals, default = given.partition("=")
                if name in build_args:
                    values[name] = build_args[name]
                elif equals:
                    values[name] = _filled(default.strip("'\""), values)
        elif word == "FROM":
            parts = [part for part in rest.split() if not part.startswith("--")]
            base = _filled(parts[0].strip("'\""), values) if parts else ""
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
            flags = " ".join(_leading_flags(rest))
            stages[-1].uses += [found.strip("'\"") for found in pattern.findall(flags) if "$" not in found]
    return stages


def _leading_flags(rest: str) -> Iterator[str]:
    for part in rest.split():
        if not part.startswith("--"):
            return
        yield part


def _filled(text: str, values: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        escaped, plain, name, operator, word = match.groups()
        if escaped is not None:
            return str(escaped)
        known = values.get(plain or name)
        if operator is None:
            return known or ""
        # With a colon an empty value counts as none.
        there = bool(known) if operator.startswith(":") else known is not None
        if operator.endswith("+"):
            return _filled(word, values) if there else ""
        return (known or "") if there else _filled(word, values)

    return _VARIABLE.sub(value, text)


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
