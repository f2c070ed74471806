"""What a release did: plain values that Prefect can store and show. None holds a secret."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from prefect_slipway.flows.values.components import ComponentOutcome
from prefect_slipway.flows.values.forge import ForgeOutcome
from prefect_slipway.flows.values.gates import GateOutcome
from prefect_slipway.flows.values.gitops import GitWrite
from prefect_slipway.flows.values.plan import PlannedImage
from prefect_slipway.infra.domain.errors import SlipwayError
from prefect_slipway.infra.domain.text import human_size


@dataclass(frozen=True, slots=True)
class StepTime:
    """One step's place in time, in seconds since the build began."""

    name: str
    start_s: float
    end_s: float
    cached: bool = False
    failed: bool = False


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """What the builder pushed. `steps` counts the Dockerfile's steps that ran or were cached, 0 where an image that an
    earlier run had pushed is finished. `start_s`, `end_s`: since the release's builds began. `nodes`: who built which
    platform, where the builder has several nodes. `attests`: the kinds of attestations that it should have, of which it
    must have the required ones."""

    planned: PlannedImage
    digest: str
    steps: int = 0
    cached_steps: int = 0
    timeline: tuple[StepTime, ...] = ()
    start_s: float = 0.0
    end_s: float = 0.0
    nodes: tuple[str, ...] = ()
    attests: tuple[str, ...] = ()
    required_attests: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VerifiedImage:
    """The image that the registry has under the digest. `size`, `layers`: of the images of all platforms, shared ones
    once; `size` in bytes of configs and layers as compressed there.

    `platforms`: the digest of each platform's manifest, which does not depend on when and where a reproducible image
    was built, as an index with provenance does. `attestations`: the predicate types that all platforms have.
    """

    built: BuiltImage
    media_type: str
    size: int
    layers: int
    platforms: dict[str, str] = field(default_factory=dict)
    attestations: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def planned(self) -> PlannedImage:
        return self.built.planned

    @property
    def digest(self) -> str:
        return self.built.digest


@dataclass(frozen=True, slots=True)
class Tagged:
    """The tags of an image. `warnings`: what was requested and the registry would not do, a sentence each."""

    image: VerifiedImage
    names: tuple[str, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReleasedImage:
    """A public image. `reference` pins the digest; `tags`: all written tags; `platforms`, `attestations`: as of
    VerifiedImage. `target`: its name in the request."""

    image: str
    reference: str
    digest: str
    tags: tuple[str, ...]
    steps: int
    cached_steps: int
    size: int
    warnings: tuple[str, ...] = ()
    platforms: dict[str, str] = field(default_factory=dict)
    attestations: tuple[str, ...] = ()
    target: str = ""

    @classmethod
    def of(cls, tagged: Tagged) -> ReleasedImage:
        image, built = tagged.image.planned, tagged.image.built
        return cls(
            image=image.image,
            reference=f"{image.reference}@{built.digest}",
            digest=built.digest,
            tags=tagged.names,
            steps=built.steps,
            cached_steps=built.cached_steps,
            size=tagged.image.size,
            warnings=(*tagged.image.warnings, *tagged.warnings),
            platforms=tagged.image.platforms,
            attestations=tagged.image.attestations,
            target=image.target,
        )


@dataclass(frozen=True, slots=True)
class CacheUse:
    """The registry cache of a build. `imported`: the references that existed; `exported`: the one that was written,
    "" if none was; `seconds`: of the export; `size`: bytes of all that the exported cache names. `warning`: why nothing
    was exported although it should be."""

    target: str
    imported: tuple[str, ...] = ()
    exported: str = ""
    seconds: float = 0.0
    size: int = 0
    warning: str = ""

    def lines(self) -> list[str]:
        """For people."""
        lines = [f"imported from {', '.join(self.imported)}" if self.imported else "none to import yet"]
        if self.exported:
            lines.append(f"exported to {self.exported} in {self.seconds:.1f} s, {human_size(self.size)}")
        return lines


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """What a clean-up could not remove. `details`: each object with what kept it; `action`: what to do next."""

    cause: str
    details: tuple[str, ...] = ()
    action: str = ""

    @classmethod
    def of(cls, error: SlipwayError) -> LeftBehind:
        return cls(error.cause, tuple(error.details.splitlines()), error.action)

    def lines(self) -> list[str]:
        """For people."""
        return [self.cause, *self.details, *([f"Next: {self.action}"] if self.action else [])]


def not_cleaned_up(left_behind: Sequence[LeftBehind]) -> str:
    """The leftovers, for states and lists; "" if there are none."""
    return "; ".join(f"not cleaned up: {each.cause}" for each in left_behind)


@dataclass(frozen=True, slots=True)
class ReleaseResult:
    """The outcome of a release. `images`: the public images, none if there was nothing to release.

    `image`: REGISTRY/REPOSITORY, or the source's name where the release is of several; `tags` to `size`, and
    `platforms`: of the only image. `duration_s`: seconds, without those for which people were waited for, and without
    the cache's export. `warnings`: what was requested and not done, though the images are public; `caches`: of each
    build that used a registry cache; `left_behind`: what the clean-up could not remove. `signed_by`: the keys, each
    with its version. `source_policy`: as of ReleasePlan. `gates`: what each answered. `forge`: what became of the
    release on a forge; None without one. `deploys`: what became of each deploy target. `components`: what became of
    each, where the release was of components, which have a version each; then `forge` is of the first one that is
    missing there. `notes`: what is new, in Markdown.
    """

    image: str
    released: bool
    reason: str
    version: str | None = None
    tags: tuple[str, ...] = ()
    digest: str | None = None
    reference: str | None = None
    revision: str | None = None
    flow_run_id: str | None = None
    ui_url: str | None = None
    duration_s: float = 0.0
    steps: int = 0
    cached_steps: int = 0
    size: int = 0
    source: str | None = None
    images: tuple[ReleasedImage, ...] = ()
    warnings: tuple[str, ...] = ()
    caches: tuple[CacheUse, ...] = ()
    left_behind: tuple[LeftBehind, ...] = ()
    platforms: dict[str, str] = field(default_factory=dict)
    signed_by: tuple[str, ...] = ()
    source_policy: str | None = None
    gates: tuple[GateOutcome, ...] = ()
    forge: ForgeOutcome | None = None
    deploys: tuple[GitWrite, ...] = ()
    components: tuple[ComponentOutcome, ...] = ()
    notes: str | None = None

    @property
    def summary(self) -> str:
        """A line for states and lists."""
        if self.components:
            done = f"{self.image}: {self.reason}"
        else:
            what = self.image if len(self.images) == 1 else f"{len(self.images)} images of {self.image}"
            done = f"{what} {self.version} released" if self.released else f"nothing to release: {self.reason}"
        forge = self.forge.warning if self.forge is not None else ""
        return "; ".join(filter(None, (done, not_cleaned_up(self.left_behind), forge, *self.not_deployed)))

    @property
    def not_deployed(self) -> list[str]:
        """The deploy targets that do not have the image, a sentence each."""
        return [f"not deployed to {each.target}: {each.failure}" for each in self.deploys if each.failure is not None]

    @property
    def metadata(self) -> dict[str, dict[str, str]]:
        """Each target's image, in the words of `docker buildx bake --metadata-file`."""
        return {
            image.target: {
                "containerimage.digest": image.digest,
                "image.name": ",".join(f"{image.image}:{tag}" for tag in image.tags),
            }
            for image in self.images
        }

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)
