"""Check whether the user's own servers, named by environment variables, answer like their API."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from prefect_slipway.infra.common.reasons import reason
from prefect_slipway.infra.common.tls import trusting
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.local.builder import BUILDER, builder_answers
from prefect_slipway.infra.local.stack import PREFECT, VAULT, PartStatus

_TIMEOUT_S = 5.0
_SETTINGS = {PREFECT: "PREFECT_API_URL", VAULT: "VAULT_ADDR and VAULT_CACERT"}
# Prefect's version, because its health endpoint needs no login.
_PATHS = {PREFECT: "/admin/version", VAULT: "/v1/sys/health"}
# A Vault that is a standby of some kind serves as well
# (https://developer.hashicorp.com/vault/api-docs/system/health).
_SERVES = {PREFECT: {200}, VAULT: {200, 429, 472, 473}}


class Problem(NamedTuple):
    """What is wrong with a part, and what to do."""

    what: str
    action: str


def problem(part: PartStatus, env: Mapping[str, str]) -> Problem | None:
    """The problem of a part; None if it serves, and for Slipway's own parts."""
    if part.state != "foreign" or part.address is None:
        return None
    if part.name == BUILDER:
        return None if builder_answers(part.address) else Problem("does not answer", "check that its engine is running")
    # Imported here: an HTTP client with TLS is needed for your own servers only.
    import httpx

    ca = Path(env["VAULT_CACERT"]) if part.name == VAULT and env.get("VAULT_CACERT") else None
    headers = _login(env) if part.name == PREFECT else {}
    url = part.address + _PATHS[part.name]
    try:
        trust = trusting("Vault", ca)
        answer = httpx.get(url, headers=headers, verify=trust, timeout=_TIMEOUT_S)
    except InvalidOption as error:
        return Problem(f"cannot be asked: {error.cause}", "check VAULT_CACERT")
    except (httpx.HTTPError, OSError) as error:
        return Problem(f"does not answer: {reason(error)}", f"check {_SETTINGS[part.name]}, and that it is running")
    status = answer.status_code
    if status in _SERVES[part.name] and answer.headers.get("Content-Type", "").startswith("application/json"):
        return None
    if part.name == PREFECT and status in {401, 403}:
        return Problem(f"answers {status}", "check PREFECT_API_AUTH_STRING (Prefect Cloud: PREFECT_API_KEY)")
    if part.name == VAULT and status == 503:
        return Problem("is sealed", "bao operator unseal")
    if status >= 500:
        return Problem(f"answers {status}", "look at its log: it failed")
    return Problem(f"answers {status}, which its API never does", f"check {_SETTINGS[part.name]}")


def _login(env: Mapping[str, str]) -> dict[str, str]:
    """As Prefect's client logs in (client/orchestration: the key first)."""
    if key := env.get("PREFECT_API_KEY"):
        return {"Authorization": f"Bearer {key}"}
    if text := env.get("PREFECT_API_AUTH_STRING"):
        return {"Authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}
    return {}
