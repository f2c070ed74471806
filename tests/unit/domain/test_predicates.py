"""Types of attestations have names for people."""

from __future__ import annotations

import pytest

from prefect_slipway.infra.domain.predicates import predicate_name


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("https://slsa.dev/provenance/v0.2", "SLSA provenance v0.2"),
        ("https://spdx.dev/Document", "SPDX SBOM"),
        ("https://spdx.dev/Document/v2.3", "SPDX SBOM"),
        ("https://cyclonedx.org/bom", "CycloneDX SBOM"),
        ("https://example.com/own", "https://example.com/own"),
    ],
)
def test_predicates_have_names(uri: str, name: str) -> None:
    """An unknown one keeps its URI."""
    assert predicate_name(uri) == name
