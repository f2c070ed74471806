"""The image that gates are asked about."""

from __future__ import annotations

from dataclasses import dataclass

from prefect_slipway.flows.values.result import VerifiedImage
from prefect_slipway.infra.domain.reference import ImageReference


@dataclass(frozen=True, slots=True)
class TestedImage:
    """`insecure`: its registry speaks plain HTTP."""

    verified: VerifiedImage
    version: str
    insecure: bool

    @property
    def name(self) -> ImageReference:
        return ImageReference.parse(self.verified.planned.image)

    @property
    def reference(self) -> str:
        """By its digest."""
        return f"{self.name.name}@{self.verified.digest}"

    def variables(self) -> dict[str, str]:
        """For a command."""
        platforms = self.verified.platforms.items()
        return {
            "SLIPWAY_GATE_REFERENCE": self.reference,
            "SLIPWAY_GATE_REPOSITORY": self.name.name,
            "SLIPWAY_GATE_DIGEST": self.verified.digest,
            "SLIPWAY_GATE_VERSION": self.version,
            "SLIPWAY_GATE_PLATFORMS": " ".join(f"{platform}={digest}" for platform, digest in platforms),
            "SLIPWAY_GATE_PLAIN_HTTP": "1" if self.insecure else "",
        }

    def parameters(self) -> dict[str, object]:
        """For a deployment: `reference`, and of the others those that its flow has."""
        return {
            "reference": self.reference,
            "repository": self.name.name,
            "digest": self.verified.digest,
            "version": self.version,
            "platforms": dict(self.verified.platforms),
        }
