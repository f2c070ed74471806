"""Several images of one source as one release: what it will do, and what it did. Plain values, no secrets."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from prefect_slipway.infra.domain.outside import one_line
from prefect_slipway.infra.domain.plan import (
    BuiltImage,
    LeftBehind,
    ReleasePlan,
    ReleaseResult,
    SourceFacts,
    VerifiedImage,
    moving_effect,
    not_cleaned_up,
)


@dataclass(frozen=True, slots=True)
class SetImage:
    """One image of a set. `target`: its name in the file; `bases`: the targets it is based on.

    `public`: it was asked for and gets tags; the others are pushed by digest alone, because images are based on them.
    """

    target: str
    plan: ReleasePlan
    bases: tuple[str, ...] = ()
    public: bool = True


@dataclass(frozen=True, slots=True)
class SetPlan:
    """Everything the release of a set will do. `images`: each after its bases. `version` None: nothing to release."""

    source: SourceFacts
    version: str | None
    why: str
    images: tuple[SetImage, ...]
    previous_version: str | None = None
    git_tag: str | None = None
    deciding_commits: tuple[str, ...] = ()
    deciding_commit_count: int = 0
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # As those of a ReleasePlan.
        object.__setattr__(self, "why", one_line(self.why))
        for name in ("deciding_commits", "warnings"):
            object.__setattr__(self, name, tuple(map(one_line, getattr(self, name))))

    @property
    def nothing_to_release(self) -> bool:
        return self.version is None

    @property
    def public(self) -> tuple[SetImage, ...]:
        return tuple(image for image in self.images if image.public)

    def to_build(self) -> tuple[SetImage, ...]:
        """The images to build: those that no earlier run has pushed, and the bases that these need."""
        needed: set[str] = set()
        for image in reversed(self.images):
            wanted = image.public or image.target in needed
            if wanted and image.plan.existing_digest is None:
                needed.update((image.target, *image.bases))
        return tuple(image for image in self.images if image.target in needed and not image.plan.existing_digest)

    def effects(self) -> list[str]:
        """What the run will change in the world, a sentence each."""
        if self.nothing_to_release:
            return []
        built = {image.target for image in self.to_build()}
        effects = []
        for image in self.images:
            if image.target in built:
                after = f", after {', '.join(image.bases)}" if image.bases else ""
                effects.append(f"build {image.target} and push it to {image.plan.image} by digest{after}")
            elif image.public:
                effects.append(f"finish {image.target}, {image.plan.existing_digest}, that an earlier run pushed")
        references = ", ".join(image.plan.reference for image in self.public)
        effects.append(f"when all are built and verified, tag them: {references}")
        if moving := [image.plan for image in self.public if image.plan.moving_tags]:
            effects.append(moving_effect(moving[0].tags_that_stay))
        if self.git_tag:
            effects.append(f"create the git tag {self.git_tag} on {self.source.revision}")
        return effects


@dataclass(frozen=True, slots=True)
class MadeImage:
    """An image of a set that was built (or found) and verified. `start_s`, `end_s`: since the set's builds began."""

    image: SetImage
    built: BuiltImage
    verified: VerifiedImage
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class SetResult:
    """The end of a set's release, as `--output json` prints it: one version, an entry for each public image."""

    source: str
    released: bool
    reason: str
    version: str | None = None
    images: tuple[ReleaseResult, ...] = ()
    revision: str | None = None
    flow_run_id: str | None = None
    ui_url: str | None = None
    duration_s: float = 0.0
    left_behind: tuple[LeftBehind, ...] = ()

    @property
    def summary(self) -> str:
        """A line for states and lists."""
        done = f"{len(self.images)} images of {self.source} {self.version} released"
        if not self.released:
            done = f"nothing to release: {self.reason}"
        return "; ".join(filter(None, (done, not_cleaned_up(self.left_behind))))

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
