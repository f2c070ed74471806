"""What a release will do: plain values that Prefect can store and show. None holds a secret."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from prefect_slipway.flows.values.forge import PlannedForge, PlannedPullRequest
from prefect_slipway.flows.values.notes import PlannedChangelog, ReleaseNotes
from prefect_slipway.infra.domain.outside import one_line


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
class PlannedCache:
    """The registry cache of an image: REGISTRY/REPOSITORY:TAG each. `imports`: as far as they exist, the nearest first.
    `export`: None if nobody may write it, because the branch is not known."""

    imports: tuple[str, ...]
    export: str | None


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """One image of a release. `target`: its name in the request; `image`: REGISTRY/REPOSITORY; `bases`: the targets it
    is based on.

    `public`: it gets `tags`; the others are pushed by digest alone, because images are based on them. `tags_that_stay`:
    moving tags that must not move, as what they name holds something that this version does not. `existing_digest`: it
    was pushed already (by a run that died, or by the very same release): it is finished instead of built. `nodes`: who
    builds which platform, where the builder has several nodes and they are known. `cache`: None without one.
    """

    target: str
    image: str
    tags: tuple[str, ...] = ()
    tags_that_stay: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    bases: tuple[str, ...] = ()
    public: bool = True
    existing_digest: str | None = None
    nodes: tuple[str, ...] = ()
    cache: PlannedCache | None = None

    @property
    def reference(self) -> str:
        return f"{self.image}:{self.tags[0]}" if self.tags else self.image


@dataclass(frozen=True, slots=True)
class ReleasePlan:
    """Everything that a release will do, computed in advance. `images`: each after its bases.

    `version` None: there is nothing to release, `why` says so. `deciding_commits`: the newest of those that asked for
    the bump; `deciding_commit_count`: how many did. `warnings`: sentences for the user. `build_options`: those of the
    request that are not the default, with places of secrets and never their values. `sign`: the places of the keys that
    sign the images. `source_policy`: the digest of its text. `gates`: those that check the images, `NAME (KIND)` each.
    `notes`: None if they are turned off, or what is new is not known.
    `forge`: the release on a forge; None without one. `deploys`: the deploy targets, `NAME: PLACE` each.
    `pull_request`: what has to be merged first; None for nothing.
    `changelog`: None if the notes go into none.
    `channel`: the version is a prerelease of it. `last_version`: the one that is released already, where there is
    nothing to release.
    """

    source: SourceFacts
    version: str | None
    why: str
    images: tuple[PlannedImage, ...]
    moving_tags: bool = False
    channel: str | None = None
    git_tag: str | None = None
    deciding_commits: tuple[str, ...] = ()
    deciding_commit_count: int = 0
    previous_version: str | None = None
    source_date_epoch: int | None = None
    warnings: tuple[str, ...] = ()
    build_options: dict[str, Any] = field(default_factory=dict)
    sign: tuple[str, ...] = ()
    source_policy: str | None = None
    gates: tuple[str, ...] = ()
    notes: ReleaseNotes | None = None
    forge: PlannedForge | None = None
    deploys: tuple[str, ...] = ()
    changelog: PlannedChangelog | None = None
    pull_request: PlannedPullRequest | None = None
    last_version: str | None = None

    def __post_init__(self) -> None:
        # They quote commit messages and files, and stand in states, results and logs.
        object.__setattr__(self, "why", one_line(self.why))
        for name in ("deciding_commits", "warnings"):
            object.__setattr__(self, name, tuple(map(one_line, getattr(self, name))))

    @property
    def nothing_to_release(self) -> bool:
        return self.version is None

    @property
    def public(self) -> tuple[PlannedImage, ...]:
        return tuple(image for image in self.images if image.public)

    @property
    def only(self) -> PlannedImage | None:
        """The image of a release of one; None for a release of several."""
        return self.images[0] if len(self.images) == 1 else None

    @property
    def name(self) -> str:
        """What is released, for people: the image, or the source of several."""
        return self.only.image if self.only is not None else self.source.name

    @property
    def reference(self) -> str:
        """The same with the version: `registry.example/team/app:1.2.0`, or `shop 1.2.0`."""
        return self.only.reference if self.only is not None else f"{self.name} {self.version or ''}".rstrip()

    def to_build(self) -> tuple[PlannedImage, ...]:
        """The images to build: those that no earlier run has pushed, and the bases that these need."""
        needed: set[str] = set()
        for image in reversed(self.images):
            wanted = image.public or image.target in needed
            if wanted and image.existing_digest is None:
                needed.update((image.target, *image.bases))
        return tuple(image for image in self.images if image.target in needed and not image.existing_digest)

    def effects(self) -> list[str]:
        """The changes that the run will make, a sentence each."""
        if self.nothing_to_release:
            return []
        if self.pull_request is not None:
            return [self.pull_request.effect]
        built = {image.target for image in self.to_build()}
        effects = [self._effect(image, built) for image in self.images if image.target in built or image.public]
        if built and self.source_policy:
            effects.insert(0, f"apply the source policy {self.source_policy} to each build")
        if built:
            effects += [f"write {output} when it is verified" for output in self.build_options.get("outputs", ())]
        if self.gates:
            effects.append(f"let it pass the gates {', '.join(self.gates)}, before it has a tag")
        if self.sign:
            effects.append(f"sign it with {', '.join(self.sign)}, before it has a tag")
        if self.only is not None:
            effects.append(f"tag it {self.only.tags[0]} (the tag must not exist with a different digest)")
        else:
            references = ", ".join(image.reference for image in self.public)
            effects.append(f"tag all of them when they are built and verified: {references}")
        if self.moving_tags and self.channel is not None:
            effects.append(f"move the tag {self.channel}, unless it would move backwards")
        elif self.moving_tags:
            stay = tuple(dict.fromkeys(tag for image in self.public for tag in image.tags_that_stay))
            effects.append("move the tags MAJOR, MAJOR.MINOR and latest, unless they would move backwards")
            if stay:
                effects[-1] += f"; keep {', '.join(stay)} at a version that this commit does not contain"
        if self.git_tag:
            effects.append(f"create the git tag {self.git_tag} on {self.source.revision}")
            if self.changelog is not None and self.notes is not None:
                effects[-1] += f", and add its notes to {self.changelog.path} in a commit after that"
        if self.forge is not None:
            effects.append(self.forge.effect)
        effects += [f"write it to {each}, when it is public" for each in self.deploys]
        caches = [each.cache.export for each in self.to_build() if each.cache is not None and each.cache.export]
        if caches:
            effects.append(f"export the build cache to {', '.join(caches)}, when the release is public")
        return effects

    def _effect(self, image: PlannedImage, built: set[str]) -> str:
        if image.target not in built:
            what = "the image" if self.only is not None else f"{image.target},"
            return f"finish {what} {image.existing_digest} that an earlier run pushed"
        after = f", after {', '.join(image.bases)}" if image.bases else ""
        what = self.source.path if self.only is not None else image.target
        nodes = f" ({'; '.join(image.nodes)})" if image.nodes else ""
        return f"build {what}{nodes} and push it to {image.image} by digest{after}"

    def as_dict(self) -> dict[str, Any]:
        """The plan for JSON, with the fields of a single image also next to the release's."""
        return {
            **only_fields(PlannedImage, self.images),
            **asdict(self),
            "image": self.name,
            "reference": self.reference,
            "effects": self.effects(),
        }


def only_fields(kind: type[Any], images: Sequence[Any]) -> dict[str, Any]:
    """The fields of the only image; each is None where a release has none, or several. `kind`: their class."""
    return asdict(images[0]) if len(images) == 1 else dict.fromkeys(each.name for each in fields(kind))
