"""Commands that verify a released image's signature, shown at the end of each report; they work exactly as printed."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.run.pull_commands import slipway_command
from prefect_slipway.flows.run.registries import Registries
from prefect_slipway.infra.domain.reference import ImageReference


def verify_commands(
    request: ReleaseRequest,
    registries: Registries,
    keys: Sequence[str],
    references: Iterable[str],
    *,
    slipway: str | None = None,
) -> tuple[str, ...]:
    """`slipway verify` and `cosign verify` of each reference by one of its `keys`, `vault:MOUNT/KEY`; none without a
    key. They take the registry's login of `pull_commands`. `slipway`: how it is started elsewhere; None: here."""
    if not keys:
        return ()
    key, slipway = keys[0], slipway or slipway_command()
    vault = ["--vault", request.credentials.vault] if request.credentials.vault is not None else []
    file = f"{key.rpartition('/')[2]}.pem"
    verify, cosign = [], []
    for text in references:
        host = ImageReference.parse(text).registry
        ca = request.credentials.registry_ca
        access = ["--registry-ca", ca] if ca else ["--insecure-registry"] * request.credentials.insecure_registry
        verify.append(f"{slipway} verify {shlex.join([text, '--key', key, *vault, *access])}")
        plain = " --allow-http-registry" if registries.insecure(host) else ""
        cosign.append(f"cosign verify --key {shlex.quote(file)} --insecure-ignore-tlog{plain} {text}")
    if not request.trust.older:
        return tuple(verify)  # cosign 2 does not look for a bundle
    return (*verify, f"{slipway} key {shlex.join([key, *vault])} > {shlex.quote(file)}", *cosign)
