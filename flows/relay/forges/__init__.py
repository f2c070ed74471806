"""The senders that the relay supports, by their names in a rule file."""

from prefect_slipway.flows.relay.forges.forge import Forge, Headers
from prefect_slipway.flows.relay.forges.generic import Generic
from prefect_slipway.flows.relay.forges.gitea import Gitea
from prefect_slipway.flows.relay.forges.github import GitHub
from prefect_slipway.flows.relay.forges.gitlab import GitLab

FORGES: dict[str, Forge] = {
    "github": GitHub(),
    "gitlab": GitLab(),
    "gitea": Gitea("gitea", "X-Gitea"),
    "forgejo": Gitea("forgejo", "X-Forgejo", "X-Gitea"),
    "generic": Generic(),
}

__all__ = ["FORGES", "Forge", "Headers"]
