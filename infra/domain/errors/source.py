"""Sources: directories, git repositories, archives."""

from __future__ import annotations

from prefect_slipway.infra.domain.errors.base import SlipwayError


class SourceError(SlipwayError):
    pass


class SourceMissing(SourceError):
    default_action = "check the path or URL of the source"


class RefUnknown(SourceError):
    default_action = "check the ref with `git ls-remote`; a branch, a tag or a full commit id will do"


class HistoryIncomplete(SourceError):
    default_action = "run `git fetch --unshallow`, or release with --version and without --moving-tags"


class DirtyTree(SourceError):
    default_action = "commit or stash the changes, or say --allow-dirty"


class ChecksumMismatch(SourceError):
    default_action = "compare the checksum with the publisher's; do not release what you did not mean to"


class SourceDenied(SourceError):
    default_action = "check the credentials named by --git-credentials"


class SourceTlsError(SourceError):
    default_action = "name the server's CA with --source-ca (a directory: git's http.sslCAInfo)"


class SourceDiskFull(SourceError):
    default_action = "free space below SLIPWAY_HOME, or put it on a larger disk"


class SourceUnreachable(SourceError):
    retryable = True
    default_action = "check the network and the host's name, then run the same command again"
