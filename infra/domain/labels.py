"""Labels of images: those of the OCI image specification (annotations.md, "Pre-Defined Annotation Keys") and ours."""

from __future__ import annotations

from datetime import UTC, datetime

OCI_TITLE = "org.opencontainers.image.title"
OCI_VERSION = "org.opencontainers.image.version"
OCI_REVISION = "org.opencontainers.image.revision"
OCI_SOURCE = "org.opencontainers.image.source"
OCI_CREATED = "org.opencontainers.image.created"

SLIPWAY_FINGERPRINT = "slipway.fingerprint"
"""What an image was made of (ledger.Claim.fingerprint): a rerun recognises its own image by it."""


def image_labels(
    title: str, version: str | None, created: datetime, *, revision: str | None = None, url: str | None = None
) -> dict[str, str]:
    """The OCI labels of an image (its annotations are the same). `created` is written in UTC (RFC 3339)."""
    labels = {
        OCI_TITLE: title,
        OCI_VERSION: version,
        OCI_CREATED: created.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        OCI_REVISION: revision,
        OCI_SOURCE: url,
    }
    return {key: value for key, value in labels.items() if value}
