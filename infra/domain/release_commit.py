"""The commit of a release pull request. Merged, it is the approval of its version: `Release-As` names it."""

from __future__ import annotations

import re
from bisect import bisect

from prefect_slipway.infra.domain.conventional import release_as
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.version import Version

_SEMVER = r"\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?"
_ALONE = re.compile(rf"(?P<before>\ufeff?\s*v?){_SEMVER}(?P<after>\s*)")
# package.json, pyproject.toml, Cargo.toml, Chart.yaml and the like. What follows may be another form than SemVer's:
# 1.2.0.dev0, 1.2.0rc1.
_KEY = re.compile(
    rf"""(?P<before>(?P<where>^[ \t]*|[{{,][ \t]*)["']?version["']?[ \t]*[:=][ \t]*["']?v?){_SEMVER}[\w.+-]*""",
    re.MULTILINE,
)
_JSON = re.compile(r"\ufeff?\s*\{")
_JSON_TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*"?|[{}]')
_TABLE = re.compile(r"^[ \t]*\[\[?(?P<name>[^][\n]+)\]", re.MULTILINE)
_OWN_TABLES = {"project", "package", "workspace.package", "tool.poetry", "metadata"}
_VERSION = re.compile(rf"(?<!\d){_SEMVER}")
_MARK = re.compile(r"\bslipway-version\b")
_TRAILER = re.compile(r"(?<!\n)\n*^Release-As: \S+\s*\Z", re.MULTILINE)


def release_title(version: object) -> str:
    """The first line of the commit, and the title of the pull request."""
    return f"chore: release {version}"


def release_message(version: object) -> str:
    """The commit's message."""
    return f"{release_title(version)}\n\nRelease-As: {version}\n"


def approves(message: str, version: Version) -> bool:
    """Whether this is the commit of a merged release pull request, or what a squash made of it, for this version."""
    title = release_title(version)
    # GitHub adds the number: `chore: release 1.2.0 (#12)`. A merge commit has a title of its own.
    first = message.partition("\n")[0].strip()
    return (first == title or first.startswith(f"{title} ")) and release_as(message) == str(version)


def is_release_commit(message: str) -> bool:
    """Whether Slipway wrote it."""
    return message.startswith(release_title("")) and release_as(message) is not None


def with_trailer(text: str, version: object) -> str:
    """The text of a pull request, whose last line a squash may take over."""
    return f"{_TRAILER.sub('', text.rstrip())}\n\nRelease-As: {version}"


def without_trailer(text: str) -> str:
    return _TRAILER.sub("", text.replace("\r\n", "\n").rstrip())


def with_version(text: str, version: object, name: str) -> str:
    """A file with the version in it: instead of the one that is all of it, those in lines with the comment
    `slipway-version`, or the outermost `version` key. Raises InvalidOption if there is none; `name`: the file's."""
    if not text.strip():
        return f"{version}\n"
    if alone := _ALONE.fullmatch(text):
        return f"{alone['before']}{version}{alone['after']}"
    lines, count = text.split("\n"), 0
    for number, line in enumerate(lines):
        if marks := [match.start() for match in _MARK.finditer(line)]:
            before, found = _VERSION.subn(str(version), line[: marks[-1]])
            lines[number] = before + line[marks[-1] :]
            count += found
    changed = "\n".join(lines)
    if not count:
        key = _own_key(text)
        changed = "" if key is None else f"{text[: key.end('before')]}{version}{text[key.end() :]}"
    if not changed:
        raise InvalidOption(
            f"{name} has no version that can be changed",
            action="write the comment slipway-version behind the version, or remove --version-file",
        )
    return changed


def _own_key(text: str) -> re.Match[str] | None:
    """The `version` of what the file describes, not of what that depends on or is configured with: the outermost one,
    of several the first."""
    keys = list(_KEY.finditer(text))
    if _JSON.match(text):
        depths, depth, tokens = dict[int, int](), 0, _JSON_TOKEN.finditer(text)
        token = next(tokens, None)
        for key in keys:
            at = key.end("where")
            while token is not None and token.end() <= at:
                depth += {"{": 1, "}": -1}.get(token[0], 0)
                token = next(tokens, None)
            if token is None or token.start() >= at:  # not in a text
                depths[at] = depth
        keys = [key for key in keys if key.end("where") in depths]
        return min(keys, key=lambda key: depths[key.end("where")], default=None)
    tables = list(_TABLE.finditer(text))
    starts = [table.start() for table in tables]

    def rank(key: re.Match[str]) -> tuple[bool, bool, bool]:
        where, table = key["where"], bisect(starts, key.start()) - 1
        foreign = table >= 0 and tables[table]["name"].strip() not in _OWN_TABLES
        return where[:1] in {"{", ","}, foreign, where != ""

    return min(keys, key=rank, default=None)
