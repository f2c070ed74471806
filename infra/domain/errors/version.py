"""Versions: taken or reserved."""

from __future__ import annotations

from prefect_slipway.infra.domain.errors.base import SlipwayError


class VersionError(SlipwayError):
    pass


class VersionTaken(VersionError):
    default_action = "choose another --version or --bump; a released version is never overwritten"


class VersionReserved(VersionError):
    default_action = "wait for the other release to end, or let Slipway choose the version (--bump)"


class ReleaseAsRefused(VersionError):
    default_action = "commit a newer `Release-As:` with the right version, or choose one with --version or --bump"


class VersionOutOfLine(VersionError):
    default_action = "release it from the branch of its own line; here a fix gets the next patch (--bump patch)"
