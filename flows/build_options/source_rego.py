"""Source policies in Rego, with the input and the answer of docker buildx's build policies.

`data.PACKAGE.decision` is `{"allow": BOOLEAN, "deny_msg": [TEXT, …]}` (docs.docker.com/build/policies).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from prefect_slipway.infra.buildkit.session.source_policy import Document, SourceCheck
from prefect_slipway.infra.domain.errors import PolicyInvalid
from prefect_slipway.infra.domain.source_policy import SourcePolicy
from prefect_slipway.infra.rego.evaluator import check_engine, evaluate, package_of

_NAME = "source policy"
_TIMEOUT_S = 10.0
# What is known of a source only after its server was asked.
_LOOKED_UP = {
    "image": ("checksum", "createdTime", "env", "labels", "user", "volumes", "workingDir"),
    "git": ("checksum", "commitChecksum", "isAnnotatedTag", "isSHA256", "ref", "tagName", "branch"),
    "http": ("checksum",),
}
_NOT_LOOKED_UP = ("hasProvenance", "provenance", "signatures", "commit", "pgpSignature", "sshSignature")


def source_check(policy: SourcePolicy) -> SourceCheck:
    """The policy as a build's session asks it. Raises PartMissing without Rego, PolicyInvalid for fields that Slipway
    does not look up: a rule about them would never match."""
    check_engine()
    text = policy.text
    query = f"data.{package_of(_NAME, text)}.decision"
    if missing := [name for name in _NOT_LOOKED_UP if _uses(text, name)]:
        raise PolicyInvalid(
            f"the {_NAME} uses {', '.join(missing)} of its sources, which Slipway does not look up",
            action="decide by other fields: ref, host, repo, tag, checksum, labels",
        )
    known: dict[str, Sequence[str] | None] = {}

    async def decide(document: Document) -> Sequence[str] | None:
        # A daemon asks for the same source several times.
        key = json.dumps(document, sort_keys=True)
        if key not in known:
            (decision,) = await evaluate({_NAME: text}, document, [query], timeout_s=_TIMEOUT_S)
            known[key] = _reasons(decision)
        return known[key]

    kinds = (kind for kind, names in _LOOKED_UP.items() if any(_uses(text, name) for name in names))
    return SourceCheck(decide, frozenset(kinds))


def _uses(text: str, name: str) -> bool:
    return re.search(rf"""(?:\.|\[["'`]){name}\b""", text) is not None


def _reasons(decision: object) -> Sequence[str] | None:
    if not isinstance(decision, dict) or not isinstance(decision.get("allow"), bool):
        raise PolicyInvalid(
            f"the {_NAME} has no decision", action='define it: decision := {"allow": allow, "deny_msg": deny_msg}'
        )
    if decision["allow"]:
        return None
    said = decision.get("deny_msg") or []
    return [said] if isinstance(said, str) else [str(each) for each in said]
