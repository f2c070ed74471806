"""Images written into a git repository that a cluster follows."""

from __future__ import annotations

from prefect_slipway.infra.domain.errors.base import SlipwayError


class GitOpsError(SlipwayError):
    pass


class ManifestInvalid(GitOpsError):
    default_action = "fix the file in the repository, or choose another one"


class ImagePlaceMissing(GitOpsError):
    default_action = "check the path, the kind and what the file calls the image"


class BranchRefused(GitOpsError):
    default_action = "let the account push to the branch, or open a pull request instead"


class BranchBusy(GitOpsError):
    retryable = True
    default_action = "run the same command again"
