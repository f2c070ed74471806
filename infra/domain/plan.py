"""What a release will do, and what it did: plain values that Prefect can store and show. None holds a secret."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from prefect_slipway.infra.domain.errors import SlipwayError
from prefect_slipway.infra.domain.outside import one_line

# Annotation and label keys: OCI image specification, annotations.md "Pre-Defined Annotation Keys".
OCI_TITLE = "org.opencontainers.image.title"
OCI_VERSION = "org.opencontainers.image.version"
OCI_REVISION = "org.opencontainers.image.revision"
OCI_SOURCE = "org.opencontainers.image.source"
OCI_CREATED = "org.opencontainers.image.created"
# What an image was made of (ledger.Claim.fingerprint): a rerun recognises its own image by it.
SLIPWAY_FINGERPRINT = "slipway.fingerprint"


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """A fetched source. `path` is the build context on this machine, `revision` the full commit id.

    `fingerprint` identifies the content (see ledger.Claim); `committed_at`: seconds since the epoch.
    """

    name: str
    path: str
    fingerprint: str
    revision: str | None = None
    url: str | None = None
    committed_at: int | None = None
    dirty: bool = False


@dataclass(frozen=True, slots=True)
class BuilderFacts:
    """A reachable builder. `network`: the mode RUN steps use, None for the daemon's default."""

    address: str
    version: str
    platforms: tuple[str, ...] = ()
    network: Literal["host", "none"] | None = None
    lifetime: str = "shared"


@dataclass(frozen=True, slots=True)
class ReleasePlan:
    """Everything a release will do, computed before it does any of it.

    `version` None: there is nothing to release, `why` says so. `existing_digest`: the image was already pushed (by a
    run that died, or the very same release): it is finished instead of built. `deciding_commits`: the newest of those
    that asked for the bump; `deciding_commit_count`: how many did. `tags_that_stay`: those of the moving tags that must
    not move, since what they stand for has something that this version has not.
    """

    image: str
    version: str | None
    why: str
    source: SourceFacts
    tags: tuple[str, ...] = ()
    moving_tags: bool = False
    tags_that_stay: tuple[str, ...] = ()
    git_tag: str | None = None
    deciding_commits: tuple[str, ...] = ()
    deciding_commit_count: int = 0
    previous_version: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    source_date_epoch: int | None = None
    existing_digest: str | None = None

    def __post_init__(self) -> None:
        # They quote commit messages, and stand in states, results and logs.
        object.__setattr__(self, "why", one_line(self.why))
        object.__setattr__(self, "deciding_commits", tuple(map(one_line, self.deciding_commits)))

    @property
    def nothing_to_release(self) -> bool:
        return self.version is None

    @property
    def reference(self) -> str:
        return f"{self.image}:{self.tags[0]}" if self.tags else self.image

    def effects(self) -> list[str]:
        """What the run will change in the world, a sentence each."""
        if self.nothing_to_release:
            return []
        pushed = (
            f"finish the image {self.existing_digest} that an earlier run pushed"
            if self.existing_digest
            else f"build {self.source.path} and push it to {self.image} by digest"
        )
        effects = [pushed, f"tag it {self.tags[0]} (the tag must not exist with another digest)"]
        if self.moving_tags:
            effects.append(moving_effect(self.tags_that_stay))
        if self.git_tag:
            effects.append(f"create the git tag {self.git_tag} on {self.source.revision}")
        return effects


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """What the builder pushed. `steps` counts the Dockerfile's steps that ran or were cached."""

    digest: str
    steps: int
    cached_steps: int
    timeline: tuple[StepTime, ...] = ()


@dataclass(frozen=True, slots=True)
class StepTime:
    """One build step's place in time, in seconds since the build began."""

    name: str
    start_s: float
    end_s: float
    cached: bool = False
    failed: bool = False


@dataclass(frozen=True, slots=True)
class VerifiedImage:
    """What the registry holds under the digest. `size`: bytes of config and layers as compressed there."""

    digest: str
    media_type: str
    size: int
    layers: int


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
    """What was left, for states and lists; "" for nothing."""
    return "; ".join(f"not cleaned up: {each.cause}" for each in left_behind)


@dataclass(frozen=True, slots=True)
class ReleaseResult:
    """The end of a release, as `--output json` prints it. `reference` pins the digest; `duration_s` is wall time.

    `warnings`: what was asked for and not done, though the image is public, a sentence each. `left_behind`: what its
    clean-up could not remove.
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
    warnings: tuple[str, ...] = ()
    left_behind: tuple[LeftBehind, ...] = ()

    @property
    def summary(self) -> str:
        """A line for states and lists."""
        done = f"{self.image} {self.version} released" if self.released else f"nothing to release: {self.reason}"
        return "; ".join(filter(None, (done, not_cleaned_up(self.left_behind))))

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def moving_effect(tags_that_stay: tuple[str, ...]) -> str:
    """What becomes of the moving tags, in words."""
    effect = "move the tags MAJOR, MAJOR.MINOR and latest that would not move backwards"
    if not tags_that_stay:
        return effect
    return f"{effect}; leave {', '.join(tags_that_stay)} at a version that this commit does not contain"


def image_labels(title: str, version: str, source: SourceFacts, created: datetime) -> dict[str, str]:
    """The OCI labels of an image (the same are its annotations). `created` is RFC 3339 in UTC."""
    labels = {
        OCI_TITLE: title,
        OCI_VERSION: version,
        OCI_CREATED: created.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    if source.revision:
        labels[OCI_REVISION] = source.revision
    if source.url:
        labels[OCI_SOURCE] = source.url
    return labels
