"""Semantic versions (SemVer 2.0), how the next one is found, and the tags that show it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum

import semver

from flows.domain.errors import InvalidVersion
from flows.domain.reference import check_tag

Version = semver.Version  # equality, order and hash ignore build metadata, as section 10 wants

# What may stand in a version at all. Checked first: semver 3.0 takes a trailing line break and foreign
# digits.
_CHARACTERS = re.compile(r"[0-9A-Za-z.+-]+")

FIRST_VERSION = Version(0, 1, 0)


class Bump(StrEnum):
    """Which part of the version goes up. `auto`: what the Conventional Commits since the last one ask for."""

    MAJOR = "major"
    MINOR = "minor"
    PATCH = "patch"
    PRERELEASE = "prerelease"
    AUTO = "auto"


def parse_version(text: str) -> Version:
    """Read SemVer 2.0 text without prefix. Raises InvalidVersion."""
    version = _parse(text)
    if version is None:
        hint = f"; without the prefix: {text[1:]}" if re.match(r"[vV][0-9]", text) else ""
        raise InvalidVersion(f"{text!r} is not a semantic version{hint}")
    return version


def image_tag(version: Version) -> str:
    """The version as a legal image tag: `+` is not allowed there, so build metadata follows `_`.

    SemVer never uses `_`, so the tag shows its version (`version_of_tag`). Raises InvalidTag for a version of
    more than 128 characters.
    """
    return check_tag(str(version).replace("+", "_"))


def version_of_tag(tag: str) -> Version | None:
    """The version an image tag shows, None if it shows none (`latest`, `1.2`)."""
    return None if "+" in tag else _parse(tag.replace("_", "+", 1))


def versions_of_git_tags(names: Iterable[str], prefix: str) -> dict[Version, str]:
    """Versions that git tags with this prefix (`v`, `app/v`) show, each with its tag; others are passed over.

    Of tags that differ in build metadata alone, and so show one version, the first by name is kept.
    """
    found: dict[Version, str] = {}
    for name in sorted(names):
        if name.startswith(prefix) and (version := _parse(name[len(prefix) :])) is not None:
            found.setdefault(version, name)
    return found


def latest(versions: Iterable[Version], *, stable_only: bool = False) -> Version | None:
    """The highest version by SemVer precedence (section 11)."""
    return max((v for v in versions if not (stable_only and v.prerelease)), default=None)


def next_version(
    versions: Sequence[Version],
    bump: Bump,
    *,
    token: str = "rc",  # noqa: S107 (a prerelease's name, no password)
) -> Version:
    """The version after all of `versions`; `token` names a new prerelease series (`1.3.0-rc.1`).

    major, minor and patch count from the highest stable version. A prerelease of what they lead to is
    finished by them: after 1.2.3 and 1.3.0-rc.2, minor gives 1.3.0. `prerelease` continues the series above
    the highest stable version, or starts one for the next patch. The first version is 0.1.0 (or 0.1.0-rc.1),
    whatever the bump. `auto` must be decided by the caller. Raises InvalidVersion for a token that SemVer
    does not allow.
    """
    if bump is Bump.PRERELEASE:
        return _next_prerelease(latest(versions), token)
    stable = latest(versions, stable_only=True)
    if stable is None:
        prerelease = latest(versions)
        return FIRST_VERSION if prerelease is None else _finish(prerelease, bump)
    if bump is Bump.MAJOR:
        return stable.bump_major()
    if bump is Bump.MINOR:
        return stable.bump_minor()
    if bump is Bump.PATCH:
        return stable.bump_patch()
    raise ValueError("auto has to be decided from the commits first")


def moving_tags(version: Version, versions: Iterable[Version], *, latest_tag: bool = True) -> list[str]:
    """The tags that move to `version`: `1`, `1.2`, `latest`, each unless a higher stable version holds it.

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


def _parse(text: str) -> Version | None:
    if not _CHARACTERS.fullmatch(text):
        return None
    try:
        return Version.parse(text)
    except ValueError:
        return None


def _finish(prerelease: Version, bump: Bump) -> Version:
    """The stable version that ends a first series of prereleases: 0.1.0 for 0.1.0-rc.2, 1.0.0 by major."""
    if bump is Bump.MAJOR and (prerelease.minor or prerelease.patch):
        return prerelease.bump_major()
    if bump is Bump.MINOR and prerelease.patch:
        return prerelease.bump_minor()
    return prerelease.finalize_version()


def _next_prerelease(highest: Version | None, token: str) -> Version:
    parse_version(f"0.0.0-{token}.1")
    if highest is None:
        return FIRST_VERSION.replace(prerelease=f"{token}.1")
    if not highest.prerelease:
        return highest.bump_patch().replace(prerelease=f"{token}.1")
    series, number = token.split("."), highest.prerelease.split(".")[token.count(".") + 1 :]
    same_series = highest.prerelease.split(".")[: len(series)] == series
    count = int(number[0]) + 1 if same_series and number and number[0].isdigit() else 1
    candidate = highest.replace(prerelease=f"{token}.{count}", build=None)
    # A series of another name may sort lower (rc.1 after zeta.3 goes back): then the next patch starts it.
    return candidate if candidate > highest else highest.bump_patch().replace(prerelease=f"{token}.1")
