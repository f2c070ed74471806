"""Sources: directories, git repositories, archives."""

from __future__ import annotations

from prefect_slipway.infra.domain.errors.base import SlipwayError


class SourceError(SlipwayError):
    pass


class SourceMissing(SourceError):
    default_action = "check the path or URL of the source"


class RefUnknown(SourceError):
    default_action = "check the ref with `git ls-remote`; use a branch, a tag or a full commit id"


class BranchUnknown(SourceError):
    default_action = "name the branch with --branch"


class HistoryIncomplete(SourceError):
    default_action = "run `git fetch --unshallow`, or release with --version and without --moving-tags"


class DirtyTree(SourceError):
    default_action = "commit or stash the changes, or add --allow-dirty"


class LfsFilesMissing(SourceError):
    default_action = "run `git lfs pull`; to build with the pointers set GIT_LFS_SKIP_SMUDGE=1"


class ChecksumMismatch(SourceError):
    default_action = "compare the checksum with the publisher's, and release the archive only if they match"


class SourceDenied(SourceError):
    default_action = "check the credentials in --git-credentials"


class SourceTlsError(SourceError):
    default_action = "pass the server's CA with --source-ca (for a local directory, set git's http.sslCAInfo)"


class SourceDiskFull(SourceError):
    default_action = "free space in SLIPWAY_HOME, or move it to a larger disk"


class SourceUnreachable(SourceError):
    retryable = True
    default_action = "check the network and the host name, then run the same command again"
