"""What is known of an image in a registry. All of it is a stranger's word, as is shown: what was pushed says it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from prefect_slipway.infra.signing.provenance import Provenance


@dataclass(frozen=True, slots=True)
class Layer:
    """`size` in bytes, as compressed in the registry; `step`: the instruction that made it, "" if that is unknown."""

    digest: str
    size: int
    step: str = ""


@dataclass(frozen=True, slots=True)
class Attestation:
    """`type`: the predicate's URI; `packages`: of an SBOM, `NAME VERSION` each; `problem`: why it was not read."""

    type: str
    digest: str
    size: int
    provenance: Provenance | None = None
    packages: tuple[str, ...] | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Platform:
    """The image for one platform. `size`: of configuration and layers."""

    platform: str
    digest: str
    size: int
    created: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    layers: tuple[Layer, ...] = ()
    attestations: tuple[Attestation, ...] = ()

    @property
    def packages(self) -> frozenset[str] | None:
        """Of all its SBOMs; None without any."""
        found = [each.packages for each in self.attestations if each.packages is not None]
        return frozenset().union(*found) if found else None


@dataclass(frozen=True, slots=True)
class Change:
    """What is different on one platform. `size`: bytes more or less; packages are None without an SBOM of both."""

    platform: str
    size: int
    added: tuple[Layer, ...]
    removed: tuple[Layer, ...]
    packages_added: tuple[str, ...] | None = None
    packages_removed: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """With the version before. `platforms_added`, `platforms_removed`: which only one of both has. `commits`: the
    command that lists them, "" if a revision is unknown or both are the same."""

    version: str
    digest: str
    changes: tuple[Change, ...]
    platforms_added: tuple[str, ...] = ()
    platforms_removed: tuple[str, ...] = ()
    commits: str = ""


@dataclass(frozen=True, slots=True)
class InspectedImage:
    """`image`: REGISTRY/REPOSITORY; `size`: of all platforms, shared layers once. `base`: images that it is based on,
    by its labels; `used`: all that its provenance names. `previous`: None if there is no version before it."""

    image: str
    digest: str
    media_type: str
    size: int
    platforms: tuple[Platform, ...]
    tag: str | None = None
    version: str | None = None
    base: tuple[str, ...] = ()
    used: tuple[str, ...] = ()
    previous: Comparison | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)
