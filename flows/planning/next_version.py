"""Which version comes next and why, or why there is nothing to release."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from prefect_slipway.flows.planning.branch import Branch, name_of_branch, needs_branch
from prefect_slipway.flows.planning.lineage import Images, Lineage, image_labels, look_back
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.run.open_run import OpenRun
from prefect_slipway.infra.domain.commits import Decision, decide
from prefect_slipway.infra.domain.errors import InvalidOption, VersionTaken
from prefect_slipway.infra.domain.labels import OCI_REVISION, SLIPWAY_FINGERPRINT
from prefect_slipway.infra.domain.ledger import Released, VersionLedger
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.domain.release_commit import approves
from prefect_slipway.infra.domain.version import (
    Bump,
    Version,
    image_tag,
    is_of_series,
    latest,
    lines_left_out,
    next_version,
    parse_version,
    tags_that_stay,
)
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.source.checkout import Checkout
from prefect_slipway.infra.source.history import History
from prefect_slipway.infra.source.ledger import GitLedger

DEFAULT_TAG_PREFIX = "v"
RELEASED_BEFORE = "an earlier attempt of this run released it"
_SHOWN_COMMITS = 20
_BY_COMMITS = {Bump.AUTO, Bump.PRERELEASE}


@dataclass(frozen=True)
class Choice:
    """Which version, and why. `bump` None with a `version` None: there is nothing to release since `last`.

    `token`: names a prerelease.
    `target`: the stable version that a prerelease leads to, if it is named. `line`, `elsewhere`: see Lineage.
    `previous`: the version that this one comes after. `commits`: the first of those that decided; `commit_count`: how
    many did. `approved`: a merged release pull request names the version.
    """

    why: str
    bump: Bump | None = None
    version: Version | None = None
    prerelease: bool = False
    token: str = ""
    target: Version | None = None
    approved: bool = False
    commits: tuple[str, ...] = ()
    commit_count: int = 0
    last: Version | None = None
    previous: Version | None = None
    line: tuple[Version, ...] = ()
    elsewhere: tuple[Version, ...] = ()
    branch: Branch = field(default_factory=Branch)

    @property
    def nothing(self) -> bool:
        return self.bump is None and self.version is None

    def pick(self, taken: Sequence[Version]) -> Version:
        """The version to reserve, given those that are released or reserved. Raises VersionTaken, VersionOutOfLine."""
        if self.version is None:
            assert self.bump is not None, "there is nothing to release"
            # A version released since the line was read is taken, no matter by whom. Others do not count:
            # a reservation is continued if this would have been chosen when it was made.
            there = set(taken)
            return next_version(
                [version for version in self.line if version in there],
                self.bump,
                prerelease=self.prerelease,
                token=self.token,
                target=self.target,
                within=self.branch.line,
                elsewhere=[version for version in self.elsewhere if version in there],
                taken=taken,
            )
        if self.branch.line is not None:
            self.branch.line.check(self.version)
        if self.version in taken:
            raise VersionTaken(f"the version {self.version} is released or reserved already")
        return self.version

    def channel_of(self, version: Version | None) -> str | None:
        """The branch's channel, if this is a prerelease of it."""
        channel = self.branch.channel
        return channel if version is not None and channel is not None and is_of_series(version, channel) else None

    def tags_that_stay(self, version: Version) -> tuple[str, ...]:
        """Moving tags that this version must not take from another line."""
        base = latest(self.line, stable_only=True)
        return tuple(tags_that_stay(version, lines_left_out(version, base, self.elsewhere)))


async def choose(
    run: OpenRun,
    ledger: VersionLedger,
    checkout: Checkout,
    images: Images,
    released: Sequence[Released],
    fingerprint: str,
) -> Choice:
    """Decide by the request and what is released. `fingerprint`: of what would be built. Raises InvalidOption,
    BranchUnknown, and what registry and git raise."""
    name = await name_of_branch(run, checkout, needed=needs_branch(run.request))
    branch = Branch.of(name, run.request)
    request = branch.applied(run.request)
    named = parse_version(request.version.exact) if request.version.exact is not None else None
    if named is not None and not (request.version.only_new or request.version.moving_tags):
        return replace(_by_name(request, named, released), branch=branch)
    lineage = await look_back(run, ledger, checkout, images, released)
    token = request.version.prerelease_token
    if request is not run.request:
        lineage = lineage.of_series(token)
    found = await _nothing_new(request, ledger, checkout, images, lineage, named, fingerprint)
    if found is None:
        found = _by_name(request, named, released) if named is not None else await by_bump(request, lineage)
    previous = lineage.latest()
    return replace(
        found,
        why=found.why if found.nothing else found.why + branch.why,
        token=token,
        previous=found.previous or (previous.version if previous is not None else None),
        line=tuple(release.version for release in lineage.line),
        elsewhere=lineage.elsewhere,
        branch=branch,
    )


def _by_name(request: ReleaseRequest, version: Version, released: Sequence[Released]) -> Choice:
    below = latest(release.version for release in released if release.version < version)
    return Choice(request.version.reason or f"--version {version}", version=version, previous=below)


async def _nothing_new(
    request: ReleaseRequest,
    ledger: VersionLedger,
    checkout: Checkout,
    images: Images,
    lineage: Lineage,
    named: Version | None,
    fingerprint: str,
) -> Choice | None:
    """Why there is nothing to release whatever the bump is, None if that is not so.

    A prerelease of the same commit does not make a stable release superfluous.
    """
    prerelease = named.prerelease is not None if named is not None else asks_for_prerelease(request)
    if request.version.only_new and request.bump is not Bump.AUTO:
        last = lineage.latest(stable_only=not prerelease)
        if last is not None and await _is_released(checkout, images, lineage, last, fingerprint):
            return Choice(f"nothing new since {last.version}", last=last.version)
    if named is not None or request.version.again or checkout.dirty or not isinstance(ledger, GitLedger):
        return None
    tip = await lineage.history.tip() if isinstance(lineage.history, History) else checkout.revision
    here = (release.version for release in lineage.line if release.revision == tip)
    version = next((version for version in here if prerelease or not version.prerelease), None)
    if version is None or not await _has_images(images, version):
        return None
    image, registry = next(iter(images.items()))
    # The changelog's commit has another fingerprint than the released one.
    same = tip != checkout.revision or await same_release(image, registry, version, fingerprint) is not None
    said = f"{version}" if same else f"{version} with other build options"
    return Choice(f"this commit is already released as {said}; use --again to release it again", last=version)


async def _is_released(checkout: Checkout, images: Images, lineage: Lineage, last: Released, fingerprint: str) -> bool:
    """Whether `last` holds this source already: no commit touched it since or, without git, nothing in it changed (what
    a reproducible image of a directory does not tell: that is always new)."""
    if lineage.history is not None and not checkout.dirty and last.revision is not None:
        return not (await lineage.history.since(last.revision)).commits
    image, registry = next(iter(images.items()))
    return await same_release(image, registry, last.version, fingerprint) is not None


async def _has_images(images: Images, version: Version) -> bool:
    """Whether the version is there as all of the images: one repository may be released as several, each by itself."""
    heads = (registry.head(image.repository, image_tag(version)) for image, registry in images.items())
    return None not in await asyncio.gather(*heads)


async def by_bump(request: ReleaseRequest, lineage: Lineage) -> Choice:
    """Decide by the request's bump alone. Raises InvalidOption, and what git raises."""
    bump, prerelease = request.bump, asks_for_prerelease(request)
    base, highest = lineage.latest(stable_only=True), lineage.latest()
    if highest is None:
        first = Choice("the first version", bump=Bump.MINOR if bump in _BY_COMMITS else bump, prerelease=prerelease)
        decision = await _decision(lineage, None) if bump in _BY_COMMITS else None
        return _as_named(decision, lineage, prerelease=prerelease) or first
    if bump is Bump.AUTO:
        return await _by_commits(request, lineage, base, highest)
    if bump is Bump.PRERELEASE:
        decision = await _decision(lineage, base)
        named = _as_named(decision, lineage, prerelease=True)
        return named or _decided("a prerelease was requested", decision if base else None, prerelease=True)
    return Choice(f"{bump}{' prerelease' if prerelease else ''} was requested", bump=bump, prerelease=prerelease)


async def _by_commits(request: ReleaseRequest, lineage: Lineage, base: Released | None, highest: Released) -> Choice:
    """What `--bump auto` comes to, with and without `--prerelease`."""
    if lineage.history is None:
        raise InvalidOption(
            "--bump auto reads git commits, but the source is not in a git repository",
            action="use --bump major, minor or patch",
        )
    prerelease = request.version.prerelease
    last = highest if prerelease else base
    # All commits since the last stable version decide what a prerelease leads to.
    decision = await _decision(lineage, base)
    named = _as_named(decision, lineage, prerelease=prerelease)
    news = decision if last is base else await _decision(lineage, last)
    if named is not None and (news is None or news.bump is not None or news.named is not None):
        return named
    if last is None:
        return Choice(f"the stable version of {highest.version}", bump=Bump.PATCH)
    if news is None:
        raise InvalidOption(
            f"--bump auto needs the revision of {last.version}, but that image carries no {OCI_REVISION} label",
            action="use --bump major, minor or patch once",
        )
    if news.bump is None and not request.version.again:
        return Choice(news.reason, last=last.version)
    return named or _decided(news.reason, decision if base else None, prerelease=prerelease)


async def _decision(lineage: Lineage, since: Released | None) -> Decision | None:
    """What the commits since a version ask for (None: all of the history), None if that cannot be known."""
    if lineage.history is None or (since is not None and since.revision is None):
        return None
    series = await lineage.history.since(since.revision if since is not None else None)
    return decide(series.commits, current=since.version if since is not None else None, parents=series.parents)


def _as_named(decision: Decision | None, lineage: Lineage, *, prerelease: bool) -> Choice | None:
    """What a trailer `Release-As:` asks for; of a stable version a prerelease, if one was asked for. Raises
    ReleaseAsRefused."""
    line = [release.version for release in lineage.line]
    version = decision.version_named({*line, *lineage.elsewhere}, line) if decision is not None else None
    if decision is None or version is None:
        return None
    said = Choice(
        f"Release-As: {version} in {decision.named}",
        approved=decision.named is not None and approves(decision.named.message, version),
        commits=(str(decision.named),),
        commit_count=1,
    )
    if prerelease and not version.prerelease:
        return replace(said, bump=Bump.PATCH, prerelease=True, target=version)
    return replace(said, version=version)


def _decided(why: str, decision: Decision | None, *, prerelease: bool) -> Choice:
    """A patch where the commits ask for nothing, or are not known."""
    if decision is None or decision.bump is None:
        return Choice(why, bump=Bump.PATCH, prerelease=prerelease)
    return Choice(
        decision.reason,
        bump=decision.bump,
        prerelease=prerelease,
        commits=tuple(str(wish) for wish in decision.deciding[:_SHOWN_COMMITS]),
        commit_count=len(decision.deciding),
    )


async def same_release(
    image: ImageReference, registry: RegistryClient, version: Version, fingerprint: str
) -> str | None:
    """The digest of the image with this version if it was built from the same source with the same options."""
    if await registry.head(image.repository, image_tag(version)) is None:
        return None
    digest, labels = await image_labels(image, registry, version)
    return digest if labels.get(SLIPWAY_FINGERPRINT) == fingerprint else None


def asks_for_prerelease(request: ReleaseRequest) -> bool:
    """Whether the request is for a prerelease."""
    return request.version.prerelease or request.bump is Bump.PRERELEASE
