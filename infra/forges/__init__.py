"""The REST APIs of GitHub, GitLab, Gitea and Forgejo: releases of a repository."""

from prefect_slipway.infra.forges.open import open_forge
from prefect_slipway.infra.forges.release import Asset, Forge, ForgeRelease, Published, publish

__all__ = ["Asset", "Forge", "ForgeRelease", "Published", "open_forge", "publish"]
