"""An image into a target: the edit, its commit's message, and the commit."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from prefect_slipway.flows.gitops.open_target import OpenTarget
from prefect_slipway.flows.rollouts.values import DeployedImage
from prefect_slipway.flows.values.gitops import GitWrite
from prefect_slipway.infra.domain.errors import ReleaseUnknown
from prefect_slipway.infra.domain.forge import Forge
from prefect_slipway.infra.domain.naming import image_title
from prefect_slipway.infra.domain.outside import one_line
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.domain.urls import shown
from prefect_slipway.infra.domain.version import image_tag, parse_version, version_of_tag
from prefect_slipway.infra.gitops.places import edit, find
from prefect_slipway.infra.gitops.yaml_text import YamlText
from prefect_slipway.infra.source.branch_writer import RemoteBranch, remote_branch, write_branch
from prefect_slipway.infra.source.commits import Commit

_DIGEST_LINE = "Slipway-Digest"
_REVERTS = "This reverts commit"
# Commits of the branch that are looked through for the release before, the next time so many more.
_DEPTHS = (50, 500, 5000)


async def write(
    target: OpenTarget,
    image: DeployedImage,
    *,
    run: str,
    reverts: str = "",
    skip_ci: bool = False,
    forward: bool = False,
) -> GitWrite:
    """Write the image where the target names it. `run`, `reverts` (a commit), `skip_ci`: for the commit's message.
    `forward`: a higher version that is there stays, and a pull request that was closed stays closed. Raises
    GitOpsErrors, SourceErrors and VaultErrors."""
    reference = written(image)
    before: list[ImageReference | None] = []

    async def change(branch: RemoteBranch) -> Commit | None:
        edited = edit(await _files(target, branch), target.wanted, reference)
        before[:] = edited.before
        if not edited.files or (forward and _is_ahead(before, image)):
            return None
        return Commit(edited.files, _message(target.name, image, before, run, reverts, skip_ci=skip_ci))

    own = _branch_of(target, image)
    async with remote_branch(target.remote, target.request.branch, target.workdir) as branch:
        pushed = await write_branch(branch, change, target.author, to=own if target.request.pull_request else None)
    ahead = forward and _is_ahead(before, image)
    page = None
    if pushed.branch != target.request.branch:
        page = await _pull_request(target, image, pushed.branch, before, reverts, once=forward)
    return GitWrite(
        target=target.name,
        repository=target.remote.url.shown,
        branch=pushed.branch,
        path=target.path,
        image=image.name,
        digest=image.digest,
        reference=str(reference),
        version=image.version,
        commit=None if ahead else pushed.revision,
        changed=pushed.new,
        previous=str(before[0]) if before and before[0] is not None else None,
        pull_request=page,
    )


async def current(target: OpenTarget, image: str | None = None) -> list[ImageReference | None]:
    """What each of the target's places names now, None where that cannot be read; never empty. `image`:
    REGISTRY/REPOSITORY, if it is known. Raises as `write`."""
    async with remote_branch(target.remote, target.request.branch, target.workdir) as branch:
        return _named(target, await _files(target, branch), image)


async def never_had(target: OpenTarget, image: DeployedImage) -> bool:
    """Whether the target lacks the image, and no commit of Slipway's ever wrote it: what was written once was rolled
    back or replaced since. Raises as `write`."""
    async with remote_branch(target.remote, target.request.branch, target.workdir) as branch:
        now = _named(target, await _files(target, branch), image.name)
        if all(each is not None and each.digest == image.digest for each in now) or _is_ahead(now, image):
            return False
        for depth in _DEPTHS:
            await branch.deepen(depth)
            if await _commits_of(branch, target.path, written(image)):
                return False
        return True


async def earlier(target: OpenTarget, image: str | None = None) -> tuple[ImageReference, str]:
    """The release before the one that the target names now, and the commit that replaced it. What was rolled back does
    not count. Raises ReleaseUnknown, and as `write`."""
    async with remote_branch(target.remote, target.request.branch, target.workdir) as branch:
        now, *_ = _named(target, await _files(target, branch), image)
        if now is None:
            raise no_image(target)
        for depth in _DEPTHS:
            await branch.deepen(depth)
            for revision in await _commits_of(branch, target.path, now):
                if (parent := await branch.parent(revision)) is None:
                    break
                there, *_ = _named(target, await _files(target, branch, parent), image)
                if there is not None and (there.tag or there.digest):
                    return there, revision
    raise ReleaseUnknown(f"{target.title}: no commit of Slipway's wrote {now}", action="choose one with --to VERSION")


def no_image(target: OpenTarget) -> ReleaseUnknown:
    """Of a chart's values, say, that have a tag alone."""
    return ReleaseUnknown(f"{target.title} names no image", action="name it with --image REGISTRY/REPOSITORY")


def written(image: DeployedImage) -> ImageReference:
    """NAME:VERSION@DIGEST."""
    reference = ImageReference.parse(image.name)
    tagged = reference.with_tag(image_tag(parse_version(image.version))) if image.version else reference
    return tagged.with_digest(image.digest)


def _message(
    name: str, image: DeployedImage, before: list[ImageReference | None], run: str, reverts: str, *, skip_ci: bool
) -> str:
    """A type of Conventional Commits that asks for no version: the repository may be one that is
    released itself."""
    title = f"{image_title(image.name)} {image.version or image.digest[:19]}"
    subject = f"chore(deploy): {title}{f' to {one_line(name)}' if name else ''}{' [skip ci]' if skip_ci else ''}"
    was = [f"Before: {each}" for each in dict.fromkeys(before) if each is not None]
    trailers = [f"Slipway-Image: {image.name}", f"{_DIGEST_LINE}: {image.digest}"]
    trailers += [f"Slipway-Version: {image.version}"] * (image.version is not None) + [f"Slipway-Run: {run}"] * bool(
        run
    )
    return "\n".join([subject, "", *was, *([f"{_REVERTS} {reverts}."] if reverts else []), "", *trailers, ""])


async def _commits_of(branch: RemoteBranch, path: str, image: ImageReference) -> list[str]:
    """Those that wrote this digest, the newest first; reverts are none."""
    if image.digest is None:
        return []
    found = await branch.log(path, "-F", f"--grep={_DIGEST_LINE}: {image.digest}", "--format=%H%x00%B%x00")
    parts = found.split("\0")
    return [revision.strip() for revision, text in zip(parts[::2], parts[1::2], strict=False) if _REVERTS not in text]


async def _files(target: OpenTarget, branch: RemoteBranch, revision: str | None = None) -> dict[str, str]:
    return await branch.files(target.path, lambda file: target.wanted.reads(target.path, file), revision=revision)


def _named(target: OpenTarget, files: dict[str, str], image: str | None) -> list[ImageReference | None]:
    texts = {file: YamlText(file, text) for file, text in files.items()}
    places = find(texts, target.wanted, image or target.request.image or target.wanted.name or "")
    return [place.image for place in places]


def _is_ahead(before: list[ImageReference | None], image: DeployedImage) -> bool:
    """Whether a release that was quicker wrote a higher version."""
    if image.version is None:
        return False
    there = [version_of_tag(each.tag) for each in before if each is not None and each.tag and each.name == image.name]
    return any(each is not None and each > parse_version(image.version) for each in there)


async def _pull_request(
    target: OpenTarget,
    image: DeployedImage,
    branch: str,
    before: list[ImageReference | None],
    reverts: str,
    *,
    once: bool,
) -> str | None:
    """The page of the pull request, or where one can be opened, if the host's name tells the kind of forge. Raises
    ForgeErrors and VaultErrors."""
    if target.forge is None:
        forge = Forge.of(target.remote.url.label)
        return forge.compare(target.request.branch, branch) if forge is not None else None
    # Imported late: few targets need a forge.
    from prefect_slipway.infra.forges.open import open_forge
    from prefect_slipway.infra.forges.pulls import PullRequest, propose

    place, token = target.forge
    title, _, body = _message(target.name, image, before, "", reverts, skip_ci=False).partition("\n")
    asked = PullRequest(branch, target.request.branch, title, f"```text\n{body.strip()}\n```")
    ca = Path(target.request.ca) if target.request.ca is not None else None
    async with open_forge(place, await token(), ca) as opened:
        done = await propose(opened, asked, once=once)
    return shown(done.page) if done.page.startswith(("https://", "http://")) else None


def _branch_of(target: OpenTarget, image: DeployedImage) -> str:
    """No other image or place has it: other repositories' releases have the same versions, and often the same names of
    targets."""
    place = (target.name, image.name, target.request.branch, target.path, target.wanted)
    mark = hashlib.sha256(repr(place).encode()).hexdigest()[:8]
    return f"slipway/{_word(target.name or image.name)}-{_word(image.version or image.digest[-12:])}-{mark}"


def _word(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "-", text.rpartition("/")[2]).strip(".-") or "image"
