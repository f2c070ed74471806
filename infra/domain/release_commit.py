"""The commit of a release pull request. Merged, it is the approval of its version: `Release-As` names it."""

from __future__ import annotations

import re

from prefect_slipway.infra.domain.conventional import release_as
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.version import Version

_SEMVER = r"\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?"
_ALONE = re.compile(rf"\s*v?{_SEMVER}\s*|\s*")
# package.json, pyproject.toml, Cargo.toml, Chart.yaml and the like: the first one is the file's own.
_KEY = re.compile(rf"""(?P<before>(?:^|[{{,])[ \t]*["']?version["']?[ \t]*[:=][ \t]*["']?){_SEMVER}""", re.MULTILINE)
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
    `slipway-version`, or the first `version` key. Raises InvalidOption if there is none; `name`: the file's."""
    if _ALONE.fullmatch(text):
        return f"{version}\n"
    lines, count = text.split("\n"), 0
    for number, line in enumerate(lines):
        if marks := [match.start() for match in _MARK.finditer(line)]:
            before, found = _VERSION.subn(str(version), line[: marks[-1]])
            lines[number] = before + line[marks[-1] :]
            count += found
    changed = "\n".join(lines)
    if not count:
        changed, count = _KEY.subn(lambda match: f"{match['before']}{version}", text, count=1)
    if not count:
        raise InvalidOption(
            f"{name} has no version that can be changed",
            action="write the comment slipway-version behind the version, or remove --version-file",
        )
    return changed
