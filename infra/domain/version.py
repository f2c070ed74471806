"""Semantic versions (SemVer 2.0), the choice of the next one, and their tags."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import semver

from prefect_slipway.infra.domain.errors import InvalidVersion, VersionOutOfLine, VersionTaken
from prefect_slipway.infra.domain.reference import check_tag
from prefect_slipway.infra.domain.text import shortened

Version = semver.Version  # equality, order and hash ignore build metadata, as section 10 wants

# What may stand in a version at all. Checked first: semver 3.0 takes a trailing line break and foreign
# digits.
_CHARACTERS = re.compile(r"[0-9A-Za-z.+-]+")
# Longer than any tag: git allows file names of 255 bytes, an image tag 128. Python reads no number of 4,300 digits.
_MOST_CHARACTERS = 255
# As semantic-release has maintenance branches, after what people put before it: release/1.x, v1.2.x, stable-1.x.x.
_MAINTENANCE = re.compile(r"(?:.*[/_-])?v?(?P<major>0|[1-9][0-9]{0,9})\.(?:x|x\.x|(?P<minor>0|[1-9][0-9]{0,9})\.x)")

FIRST_VERSION = Version(0, 1, 0)


class Bump(StrEnum):
    """Which part of the version goes up. `auto`: what the Conventional Commits since the last one ask for."""

    MAJOR = "major"
    MINOR = "minor"
    PATCH = "patch"
    PRERELEASE = "prerelease"
    AUTO = "auto"


@dataclass(frozen=True, slots=True)
class MaintenanceLine:
    """The versions 1.x or 1.2.x, that alone may be released from `branch`."""

    branch: str
    major: int
    minor: int | None

    @classmethod
    def of(cls, branch: str) -> MaintenanceLine | None:
        """The line that a branch is named after; None for any other name."""
        found = _MAINTENANCE.fullmatch(branch) if len(branch) <= _MOST_CHARACTERS else None
        if found is None:
            return None
        return cls(branch, int(found["major"]), int(found["minor"]) if found["minor"] else None)

    def check(self, version: Version) -> None:
        """Raises VersionOutOfLine."""
        if version.major != self.major or self.minor not in {None, version.minor}:
            raise VersionOutOfLine(f"the branch {self.branch} takes versions {self} only, and this would be {version}")

    def __str__(self) -> str:
        return f"{self.major}.x" if self.minor is None else f"{self.major}.{self.minor}.x"


def parse_version(text: str) -> Version:
    """Read SemVer 2.0 text without prefix. Raises InvalidVersion."""
    version = _parse(text)
    if version is None:
        hint = f"; without the prefix: {text[1:]}" if re.match(r"[vV][0-9]", text) else ""
        raise InvalidVersion(f"{shortened(text, _MOST_CHARACTERS)!r} is not a semantic version{hint}")
    return version


def image_tag(version: Version) -> str:
    """The version as a valid image tag: `+` is not allowed there, so build metadata follows `_`.

    SemVer never uses `_`, so the tag shows its version (`version_of_tag`). Raises InvalidTag for a version of
    more than 128 characters.
    """
    return check_tag(str(version).replace("+", "_"))


def version_of_tag(tag: str) -> Version | None:
    """The version an image tag shows, None if it shows none (`latest`, `1.2`)."""
    return None if "+" in tag else _parse(tag.replace("_", "+", 1))


def version_of_git_tag(name: str, prefix: str) -> Version | None:
    """The version a git tag with this prefix (`v`, `app/v`) shows, None if it shows none."""
    return _parse(name[len(prefix) :]) if name.startswith(prefix) else None


def versions_of_git_tags(names: Iterable[str], prefix: str) -> dict[Version, str]:
    """Versions that git tags with this prefix show, each with its tag; others are passed over.

    Of tags that differ in build metadata alone, and so show one version, the first by name is kept.
    """
    found: dict[Version, str] = {}
    for name in sorted(names):
        if (version := version_of_git_tag(name, prefix)) is not None:
            found.setdefault(version, name)
    return found


def latest(versions: Iterable[Version], *, stable_only: bool = False) -> Version | None:
    """The highest version by SemVer precedence (section 11)."""
    return max((v for v in versions if not (stable_only and v.prerelease)), default=None)


def next_version(
    line: Sequence[Version],
    bump: Bump,
    *,
    prerelease: bool = False,
    token: str = "rc",  # noqa: S107 (a prerelease's name, no password)
    target: Version | None = None,
    within: MaintenanceLine | None = None,
    elsewhere: Collection[Version] = (),
    taken: Collection[Version] = (),
) -> Version:
    """The version after those of its `line`, which are released in the history of the revision.

    major, minor and patch count from the line's highest stable version; without one the first is 0.1.0, whatever the
    bump. A prerelease of what they lead to is finished by them: after 1.2.3 and 1.3.0-rc.2, minor gives 1.3.0.
    `prerelease`: the next prerelease of that version (1.3.0-rc.1), or of a higher one that the line has begun already;
    `token` names a new series; `target`: the stable version that it leads to, whatever the bump. The bump `prerelease`
    is the same for a patch. `auto` must be decided by the caller.

    `elsewhere`: released too, but not in that history; `taken`: all that cannot be had, for whatever reason. What is
    taken is passed over. Raises VersionTaken where the next version belongs to a major or minor version that was begun
    elsewhere: its number would promise what is not in it. Raises VersionOutOfLine for one that the maintenance line
    `within` does not take, InvalidVersion for a token that SemVer does not allow.
    """
    if bump is Bump.AUTO:
        raise ValueError("decide `auto` from the commits first")
    if bump is Bump.PRERELEASE:
        bump, prerelease = Bump.PATCH, True
    parse_version(f"0.0.0-{token}.1")
    held = {*line, *elsewhere, *taken}
    stable, highest = latest(line, stable_only=True), latest(line)
    if target is None and stable is not None:
        target = _bumped(stable, bump)
    elif target is None:
        target = FIRST_VERSION if highest is None else _finish(highest, bump)
    if prerelease and highest is not None and highest.prerelease:
        target = max(target, highest.finalize_version())
    while True:
        if within is not None:
            within.check(target)
        _check_line(target, stable, elsewhere)
        if target not in held:
            if not prerelease:
                return target
            candidate = _next_of_series(target, token, held)
            if highest is None or candidate > highest:
                return candidate
            # A series with another name may sort lower (rc.1 is below zeta.3): then it starts at the next patch.
            bump = Bump.PATCH
        target = _bumped(target, bump)


def moving_tags(version: Version, versions: Iterable[Version], channel: str | None = None) -> list[str]:
    """The tags that move to `version`: `1`, `1.2`, `latest`, each unless a higher stable version holds it.

    For a prerelease only the tag of its `channel`, unless a higher one of the channel holds it. `0` is left out: below
    1.0.0 every minor may break (SemVer section 4).
    """
    if version.prerelease:
        if channel is None or not is_of_series(version, channel):
            return []
        return [] if any(other > version and is_of_series(other, channel) for other in versions) else [channel]
    stable = [v for v in versions if not v.prerelease and v > version]
    tags = []
    if version.major > 0 and not any(v.major == version.major for v in stable):
        tags.append(f"{version.major}")
    if not any((v.major, v.minor) == (version.major, version.minor) for v in stable):
        tags.append(f"{version.major}.{version.minor}")
    if not stable:
        tags.append("latest")
    return tags


def lines_left_out(version: Version, base: Version | None, elsewhere: Iterable[Version]) -> list[Version]:
    """The stable versions between `base`, the line's highest one, and `version` that were released `elsewhere`, from
    higher lines: whoever takes `version` for their successor would miss what is in them. Patches of the base's own line
    are none of these: what a fix there needs is commonly picked into it by hand."""
    return [
        other
        for other in elsewhere
        if not other.prerelease
        and other < version
        and (base is None or (other > base and (other.major, other.minor) != (base.major, base.minor)))
    ]


def tags_that_stay(version: Version, left_out: Iterable[Version]) -> list[str]:
    """Those of `moving_tags` that stand for one of the versions that are left out of `version`, too."""
    others = {name for other in left_out for name in moving_tags(other, [])}
    return [name for name in moving_tags(version, []) if name in others]


def is_of_series(version: Version, token: str) -> bool:
    """Whether a version is a prerelease of that name, as 1.3.0-rc.1 is of `rc`."""
    return bool(version.prerelease) and f"{version.prerelease}.".startswith(f"{token}.")


def _parse(text: str) -> Version | None:
    if len(text) > _MOST_CHARACTERS or not _CHARACTERS.fullmatch(text):
        return None
    try:
        return Version.parse(text)
    except ValueError:
        return None


def _bumped(version: Version, bump: Bump) -> Version:
    return {Bump.MAJOR: version.bump_major, Bump.MINOR: version.bump_minor, Bump.PATCH: version.bump_patch}[bump]()


def _finish(prerelease: Version, bump: Bump) -> Version:
    """The stable version that ends a first series of prereleases: 0.1.0 for 0.1.0-rc.2, 1.0.0 by major."""
    if bump is Bump.MAJOR and (prerelease.minor or prerelease.patch):
        return prerelease.bump_major()
    if bump is Bump.MINOR and prerelease.patch:
        return prerelease.bump_minor()
    return prerelease.finalize_version()


def _check_line(target: Version, base: Version | None, elsewhere: Collection[Version]) -> None:
    """A new minor or major version must not have been begun elsewhere. Raises VersionTaken."""
    if base is not None and (base.major, base.minor) == (target.major, target.minor):
        return
    new_major = base is not None and base.major != target.major
    others = [
        other
        for other in elsewhere
        if not other.prerelease and other.major == target.major and (new_major or other.minor == target.minor)
    ]
    if others:
        after = f"the next version after {base}" if base is not None else "the first version in this history"
        raise VersionTaken(
            f"{after} would be {target}, but {min(others)} was released from a commit outside this history",
            action="merge that commit, or choose a free version with --version",
        )


def _next_of_series(target: Version, token: str, held: Iterable[Version]) -> Version:
    """`target-token.N` after all of that series that there are."""
    series, numbers = token.split("."), [0]
    for version in held:
        if version.prerelease and version.finalize_version() == target:
            parts = version.prerelease.split(".")
            if parts[: len(series)] == series and parts[len(series) :] and parts[len(series)].isdigit():
                numbers.append(int(parts[len(series)]))
    return target.replace(prerelease=f"{token}.{max(numbers) + 1}", build=None)
