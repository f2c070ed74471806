"""Changes as text: Markdown for forges and Prefect, plain text for tags and terminals."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from prefect_slipway.flows.notes.changes import Change, Changes, Section
from prefect_slipway.flows.reporting import markdown
from prefect_slipway.flows.values.notes import MAX_CHARACTERS
from prefect_slipway.infra.domain.forge import Forge
from prefect_slipway.infra.domain.outside import one_line

_CODE = re.compile(r"(`[^`\n]+`)")
# Forges would tell whoever has this name.
_MENTION = re.compile(r"(?<![\w`])@(?=\w)")
_MOST_CONTRIBUTORS = 100


def as_markdown(changes: Changes, forge: Forge | None, span: tuple[str, str] | None) -> str:
    """`span`: the revisions before and after, for a link to everything between them."""
    lines: list[str] = []
    for section in (changes.breaking, *changes.sections):
        if section.changes:
            lines += [*([""] if lines else []), f"### {markdown.text(section.title)}", ""]
            lines += _section(section, lambda change: _change(change, forge), of_breaking=section is changes.breaking)
    lines += [] if lines else [_nothing(changes)]
    if changes.contributors:
        names = map(safe, _shown(changes.contributors))
        lines += ["", f"**Contributors:** {', '.join(names)}"]
    if forge is not None and span is not None:
        lines += ["", f"**All changes:** <{forge.compare(*span)}>"]
    return bounded("\n".join(lines))


def as_text(changes: Changes) -> str:
    """Without links: commits by their short id."""
    lines: list[str] = []
    for section in (changes.breaking, *changes.sections):
        if section.changes:
            lines += [*([""] if lines else []), section.title, ""]
            lines += _section(section, _plain_change, of_breaking=section is changes.breaking, safe=str)
    lines += [] if lines else [_nothing(changes)]
    if changes.contributors:
        lines += ["", f"Contributors: {', '.join(_shown(changes.contributors))}"]
    return bounded("\n".join(lines))


def safe(outside: str) -> str:
    """Text from outside in a line of Markdown, in which `code` stays code."""
    parts = _CODE.split(one_line(outside))
    return "".join(
        part if index % 2 else _MENTION.sub("@\u2060", _inside(part, first=index == 0))
        for index, part in enumerate(parts)
    )


def _inside(part: str, *, first: bool) -> str:
    """A part of a line keeps its blanks."""
    before, after = len(part) - len(part.lstrip(" ")), len(part) - len(part.rstrip(" "))
    escaped = markdown.text(part) if first else markdown.text(f"x{part.strip()}")[1:]
    return " " * before + escaped + " " * after if part.strip() else part


def bounded(text: str) -> str:
    """At most MAX_CHARACTERS, cut at the end of a line."""
    if len(text) <= MAX_CHARACTERS:
        return text
    cut = text[: MAX_CHARACTERS - 100]
    return f"{cut[: cut.rfind(chr(10))].rstrip()}\n\n(shortened)"


def references(change: Change, forge: Forge | None) -> list[str]:
    """Pull request and commit, as links where the forge is known."""
    sign = "!" if forge is not None and forge.kind == "gitlab" else "#"
    short = change.revision[:8]
    if forge is None:
        return [*([f"{sign}{change.pull}"] if change.pull else []), short]
    pull = [f"[{sign}{change.pull}]({forge.pull(change.pull)})"] if change.pull else []
    return [*pull, f"[{short}]({forge.commit(change.revision)})"]


def issues(change: Change, forge: Forge | None) -> list[str]:
    """The issues that a change closes."""
    return [_issue(number, forge) for number in change.issues]


def _section(
    section: Section, written: Callable[[Change], str], *, of_breaking: bool, safe: Callable[[str], str] = safe
) -> Iterator[str]:
    for change in section.changes:
        yield f"- {written(change)}"
        if of_breaking and change.breaking != change.subject:
            yield ""
            for line in change.breaking.split("\n"):
                yield f"  {safe(line)}".rstrip() if line.strip() else ""
    if section.left_out:
        yield f"- and {section.left_out} more"


def _change(change: Change, forge: Forge | None) -> str:
    scope = f"**{safe(change.scope)}:** " if change.scope else ""
    subject = _linked(safe(change.subject), forge)
    closes = f", closes {', '.join(issues(change, forge))}" if change.issues else ""
    return f"{scope}{subject} ({', '.join(references(change, forge))}){closes}"


def _plain_change(change: Change) -> str:
    scope = f"{change.scope}: " if change.scope else ""
    closes = f", closes {', '.join(f'#{number}' for number in change.issues)}" if change.issues else ""
    return f"{scope}{change.subject} ({', '.join(references(change, None))}){closes}"


def _linked(escaped: str, forge: Forge | None) -> str:
    """Issues that a subject names become links."""
    if forge is None:
        return escaped
    parts = _CODE.split(escaped)
    return "".join(
        part if index % 2 else re.sub(r"(?<![\w/])\\#(\d{1,9})\b", lambda found: _issue(found[1], forge), part)
        for index, part in enumerate(parts)
    )


def _issue(number: str, forge: Forge | None) -> str:
    return f"[#{number}]({forge.issue(number)})" if forge is not None else f"#{number}"


def _nothing(changes: Changes) -> str:
    count = f"{changes.commits} commit{'' if changes.commits == 1 else 's'}"
    return f"No features, fixes or breaking changes ({count})."


def _shown(names: tuple[str, ...]) -> list[str]:
    more = len(names) - _MOST_CONTRIBUTORS
    return [*names[:_MOST_CONTRIBUTORS], *([f"and {more} more"] if more > 0 else [])]
