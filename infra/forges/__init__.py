"""The REST APIs of GitHub, GitLab, Gitea and Forgejo: releases of a repository, and release pull requests."""

from prefect_slipway.infra.forges.open import open_forge
from prefect_slipway.infra.forges.pulls import PullRequest, propose
from prefect_slipway.infra.forges.release import Asset, Forge, ForgeRelease, Published, publish

__all__ = ["Asset", "Forge", "ForgeRelease", "Published", "PullRequest", "open_forge", "propose", "publish"]
