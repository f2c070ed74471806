"""What an attestation says: SLSA provenance and SBOMs, as BuildKit attaches them. Nothing here is trusted.

Sources: SPDX 2.3 `packages`, CycloneDX 1.6 `components`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prefect_slipway.flows.inspecting.values import Attestation
from prefect_slipway.infra.domain.errors import AnswerTooLarge, SignatureMalformed
from prefect_slipway.infra.domain.predicates import CYCLONEDX, PREDICATE, SLSA, SPDX
from prefect_slipway.infra.registry.blobs import read_blob
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.registry.model import Descriptor
from prefect_slipway.infra.signing.provenance import provenance_of
from prefect_slipway.infra.signing.reading import member, object_in, objects_in, read_object, text_in

# An SBOM of a large distribution's image has a few MB. JSON takes up to sixty times as much memory as bytes.
_LIMIT = 32 << 20
_PARTS = 2_000_000
# Of all that are about one index: somebody else says how many there are.
_MOST_BYTES = 256 << 20
_WHAT = "an attestation"


class Attestations:
    """Reads those of one index, as far as they are not too many bytes. `seen`: called with the type and the predicate
    of each that is read."""

    def __init__(
        self,
        client: RegistryClient,
        repository: str,
        *,
        seen: Callable[[str, Mapping[str, Any]], None] = lambda kind, predicate: None,
    ) -> None:
        self._client = client
        self._repository = repository
        self._seen = seen
        self._left = _MOST_BYTES

    async def about(self, image: str, layers: Iterable[Descriptor]) -> tuple[Attestation, ...]:
        """Those about the manifest with the digest `image`. What cannot be read has a `problem`. Raises
        RegistryErrors."""
        found = []
        for layer in layers:
            # One that is too large itself is not read, and costs nothing.
            self._left -= layer.size if layer.size <= _LIMIT else 0
            found.append(await self._read(image, layer) if self._left >= 0 else _too(layer))
        return tuple(found)

    async def _read(self, image: str, layer: Descriptor) -> Attestation:
        kind = layer.annotations[PREDICATE]
        try:
            # A blob may have as many bytes as its manifest says.
            raw = await read_blob(self._client, self._repository, layer, min(_LIMIT, layer.size))
            statement = read_object(raw, _WHAT, limit=_LIMIT, parts=_PARTS)
            predicate = member(statement, "predicate", dict, _WHAT)
            if statement.get("predicateType") != kind or not _is_about(statement, image):
                raise SignatureMalformed("an attestation of another type or about another image")
        except (AnswerTooLarge, SignatureMalformed) as error:
            return Attestation(kind, layer.digest, layer.size, problem=error.cause)
        self._seen(kind, predicate)
        provenance = provenance_of(predicate) if kind.startswith(SLSA) else None
        return Attestation(kind, layer.digest, layer.size, provenance, packages_of(kind, predicate))


def _too(layer: Descriptor) -> Attestation:
    return Attestation(
        layer.annotations[PREDICATE], layer.digest, layer.size, problem="there are too many attestations"
    )


def packages_of(kind: str, predicate: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The packages in an SBOM, None for another predicate."""
    if not kind.startswith((SPDX, CYCLONEDX)):
        return None
    version = "versionInfo" if kind.startswith(SPDX) else "version"
    found = [(text_in(each, "name"), text_in(each, version)) for each in packages_in(kind, predicate)]
    return tuple(sorted({f"{name} {version}".strip() for name, version in found if name}))


def packages_in(kind: str, predicate: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """An SBOM's packages as it has them; of CycloneDX those within others as well."""
    waiting = [predicate]
    members = "packages" if kind.startswith(SPDX) else "components"
    while waiting:
        within = objects_in(waiting.pop().get(members))
        yield from within
        waiting += within


def _is_about(statement: Mapping[str, Any], image: str) -> bool:
    algorithm, _, value = image.partition(":")
    return any(object_in(each, "digest").get(algorithm) == value for each in objects_in(statement.get("subject")))
