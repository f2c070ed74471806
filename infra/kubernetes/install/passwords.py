"""`python3 -m prefect_slipway.infra.kubernetes.install.passwords`: its passwords, made once and never shown.

Run whenever the server's pod starts. In this pod's namespace, unless they are there: the Secrets `postgres`
(`password`), `webhooks` (`example`, of the relay's example) and `prefect-api` (`auth-string`, as
PREFECT_API_AUTH_STRING has it), which is passed on to the namespace of the runs as it is.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import secrets

from prefect_slipway.infra.domain.errors import ObjectConflict, ObjectMissing
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kinds import SECRET, Object, name_of, shown
from prefect_slipway.infra.kubernetes.access.kubeconfig import ClusterAccess

_LABELS = {"app.kubernetes.io/part-of": "slipway"}


async def make_passwords(access: ClusterAccess, runs: ClusterAccess) -> list[str]:
    """The created objects' names as in kubectl. Raises ClusterErrors."""
    made = []
    async with KubernetesApi(access) as api, KubernetesApi(runs) as api_of_runs:
        # Without characters that a URL would have to escape: one becomes part of a URL.
        for secret in (
            _secret("postgres", {"password": secrets.token_urlsafe(24)}),
            _secret("webhooks", {"example": secrets.token_urlsafe(24)}),
            _secret("prefect-api", {"auth-string": f"slipway:{secrets.token_urlsafe(24)}"}),
        ):
            if await _create(api, secret):
                made.append(shown(SECRET, name_of(secret)))
        found = await api.get(SECRET, "prefect-api")
        if found is None:
            raise ObjectMissing("the Secret prefect-api was deleted", action="run this again")
        auth_string = base64.b64decode(found["data"]["auth-string"]).decode()
        await api_of_runs.apply(_secret("prefect-api", {"auth-string": auth_string}), force=True)
    return made


async def _create(api: KubernetesApi, secret: Object) -> bool:
    try:
        await api.create(secret)
    except ObjectConflict:
        return False
    return True


def _secret(name: str, values: dict[str, str]) -> Object:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {
        "apiVersion": SECRET.api,
        "kind": SECRET.name,
        "metadata": {"name": name, "labels": _LABELS},
        "type": "Opaque",
        "data": data,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs-namespace", required=True, help="Where the runs' jobs are.")
    args = parser.parse_args()
    made = asyncio.run(make_passwords(ClusterAccess(None), ClusterAccess(None, namespace=args.runs_namespace)))
    print(f"created {', '.join(made)}" if made else "all of them exist already")  # noqa: T201


if __name__ == "__main__":
    main()
