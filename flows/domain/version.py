"""Semantic versions (SemVer 2.0), how the next one is found, and the tags that show it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum

import semver

from flows.domain.errors import InvalidVersion
from flows.domain.reference import check_tag

Version = semver.Version

FIRST_VERSION = Version(0, 1, 0)


class Bump(StrEnum):
    """Which part of the version goes up. `auto`: what the Conventional Commits since the last version ask for."""

    MAJOR = "major"
    MINOR = "minor"
    PATCH = "patch"
    PRERELEASE = "prerelease"
    AUTO = "auto"


def parse_version(text: str) -> Version:
    """Read SemVer 2.0 text without prefix. Raises InvalidVersion."""
    try:
        return Version.parse(text)
    except (ValueError, TypeError) as error:
        hint = f"; without the prefix: {text[1:]}" if re.match(r"[vV]\d", text) else ""
        raise InvalidVersion(f"{text!r} is not a semantic version{hint}") from error


def image_tag(version: Version) -> str:
    """The version as a legal image tag: `+` is not allowed there, so build metadata follows `_` (which SemVer never uses).

    Raises InvalidTag for a version of more than 128 characters.
    """
    return check_tag(str(version).replace("+", "_"))


def version_of_tag(tag: str) -> Version | None:
    """The version an image tag shows, None if it shows none (`latest`, `1.2`)."""
    try:
        return Version.parse(tag.replace("_", "+", 1))
    except ValueError:
        return None


def versions_of_git_tags(names: Iterable[str], prefix: str) -> dict[Version, str]:
    """The versions that git tags with this prefix (`v`, `app/v`) show, with the tag's name; other tags are passed over."""
    found = {}
    for name in names:
        if name.startswith(prefix):
            try:
                found[Version.parse(name[len(prefix) :])] = name
            except ValueError:
                continue
    return found


def latest(versions: Iterable[Version], *, stable_only: bool = False) -> Version | None:
    """The highest version by SemVer precedence (section 11)."""
    return max((v for v in versions if not (stable_only and v.prerelease)), default=None)


def next_version(versions: Sequence[Version], bump: Bump, *, token: str = "rc") -> Version:
    """The version after all of `versions`; `token` names a new prerelease series (`1.3.0-rc.1`).

    major, minor and patch count from the highest stable version. A prerelease of what they lead to is finished by them:
    after 1.2.3 and 1.3.0-rc.2, minor gives 1.3.0. `prerelease` continues the series above the highest stable version,
    or starts one for the next patch. The first version is 0.1.0 (or 0.1.0-rc.1). `auto` must be decided by the caller.
    """
    stable = latest(versions, stable_only=True)
    if bump is Bump.PRERELEASE:
        highest = latest(versions)
        if highest is None:
            return FIRST_VERSION.replace(prerelease=f"{token}.1")
        if highest.prerelease and (stable is None or highest > stable):
            return _next_in_series(highest, token)
        return highest.bump_patch().replace(prerelease=f"{token}.1")
    if stable is None:
        base = latest(versions)
        return base.finalize_version() if base is not None else FIRST_VERSION
    if bump is Bump.MAJOR:
        return stable.bump_major()
    if bump is Bump.MINOR:
        return stable.bump_minor()
    if bump is Bump.PATCH:
        return stable.bump_patch()
    raise ValueError("auto has to be decided from the commits first")


def moving_tags(version: Version, versions: Iterable[Version], *, latest_tag: bool = True) -> list[str]:
    """The tags that move to `version`: `1`, `1.2`, `latest`, each only if no stable version it would leave is higher.

    None for a prerelease. `0` is left out: below 1.0.0 every minor may break (SemVer section 4).
    """
    if version.prerelease:
        return []
    stable = [v for v in versions if not v.prerelease and v > version]
    tags = []
    if version.major > 0 and not any(v.major == version.major for v in stable):
        tags.append(f"{version.major}")
    if not any((v.major, v.minor) == (version.major, version.minor) for v in stable):
        tags.append(f"{version.major}.{version.minor}")
    if latest_tag and not stable:
        tags.append("latest")
    return tags


def _next_in_series(version: Version, token: str) -> Version:
    series, _, number = (version.prerelease or "").rpartition(".")
    if series == token and number.isdigit():
        return version.replace(prerelease=f"{token}.{int(number) + 1}", build=None)
    candidate = version.replace(prerelease=f"{token}.1", build=None)
    # A series of another name may sort higher ("rc.1" after "zeta.3" would go back): then the next patch starts it.
    return candidate if candidate > version else version.bump_patch().replace(prerelease=f"{token}.1")
