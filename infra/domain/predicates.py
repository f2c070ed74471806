"""Types of attestations: URIs that predicates are known by (slsa.dev, spdx.dev, cyclonedx.org)."""

from __future__ import annotations

STATEMENT = "application/vnd.in-toto+json"
"""The media type of a statement (in-toto/attestation, `spec/v1/bundle.md`)."""
PREDICATE = "in-toto.io/predicate-type"
"""The annotation with the type of a statement's predicate (docs/attestations/attestation-storage.md, moby/buildkit)."""

SLSA = "https://slsa.dev/provenance/"
"""Any version of SLSA's provenance begins like this."""
SPDX = "https://spdx.dev/"
CYCLONEDX = "https://cyclonedx.org/"


def predicate_name(uri: str) -> str:
    """For people: `SLSA provenance v1`; an unknown URI stays as it is."""
    if uri.startswith(SLSA):
        return f"SLSA provenance {uri.removeprefix(SLSA)}"
    if uri.startswith(SPDX):
        return "SPDX SBOM"
    return "CycloneDX SBOM" if uri.startswith(CYCLONEDX) else uri
