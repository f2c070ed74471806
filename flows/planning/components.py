"""Which components of a source changed since their last version, and the request of each one's release."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from prefect_slipway.flows.components.described import Component, components, place_of
from prefect_slipway.flows.components.graph import with_needed
from prefect_slipway.flows.planning.branch import Branch, name_of_branch, needs_branch
from prefect_slipway.flows.planning.lineage import Lineage
from prefect_slipway.flows.planning.next_version import Choice, asks_for_prerelease, by_bump
from prefect_slipway.flows.planning.pull_request import CHANGELOG
from prefect_slipway.flows.request.config import NO_FILE
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.request.release_file import ReleaseFile
from prefect_slipway.flows.run.open_run import OpenRun
from prefect_slipway.flows.values.components import ComponentsPlan, PlannedComponent
from prefect_slipway.infra.domain.errors import InvalidOption, VersionError
from prefect_slipway.infra.domain.ledger import Released
from prefect_slipway.infra.domain.version import Bump, Version, parse_version, versions_of_git_tags
from prefect_slipway.infra.source.checkout import Checkout
from prefect_slipway.infra.source.history import tags
from prefect_slipway.infra.source.ledger import GitLedger
from prefect_slipway.infra.source.resolve import GitSpec, parse_source
from prefect_slipway.infra.source.whole_history import WholeHistory

_NO_PREFIX = "-"


@dataclass(frozen=True, slots=True)
class ComponentRelease:
    """`finishes`: its last version is of this commit, and what follows a release may be missing: its own run looks."""

    component: Component
    planned: PlannedComponent
    asked: ReleaseRequest
    finishes: bool = False

    def request(self, contexts: Mapping[str, str]) -> ReleaseRequest:
        """Of its release, with further build contexts."""
        # Of two runs at once the later one is refused, instead of releasing the same commit once more.
        changes: dict[str, Any] = {"approval": {"pull_request": self.planned.pull_request}}
        if self.planned.version is not None:
            changes["version"] = {"exact": self.planned.version, "reason": self.planned.why, "prerelease": False}
        if self.asked.bake is not None:
            named = [f"*.contexts.{name}={context}" for name, context in contexts.items()]
            changes["bake"] = self.asked.bake.changed({"overrides": [*named, *self.asked.bake.overrides]})
        elif contexts:
            changes["build"] = {"contexts": {**self.asked.build.contexts, **contexts}}
        return self.asked.changed(changes)


async def plan_components(run: OpenRun, checkout: Checkout) -> tuple[ComponentsPlan, dict[str, ComponentRelease]]:
    """The plan, and by name what it says about each component, each after those that it needs. Nothing is reserved.
    Raises ReleaseFileInvalid, ReleaseFileRefused, InvalidOption, HistoryIncomplete, VersionTaken, SourceErrors."""
    file, asked = run.components, run.asked
    assert file is not None, "components are described"
    if checkout.repository is None or checkout.revision is None:
        raise InvalidOption(
            "components need a source in a git repository with a commit", action="release from the git repository"
        )
    _check(asked, run.request)
    found = components(file, checkout.path, asked.image or file.values.get("image"))
    wanted = with_needed(asked.components.names or list(found), {name: each.needs for name, each in found.items()})
    planning = _Planning(run, file, checkout, found)
    await planning.read()
    planned = {name: await planning.plan(component) for name, component in found.items() if name in wanted}
    return ComponentsPlan(checkout.name, checkout.revision, tuple(each.planned for each in planned.values())), planned


def _check(asked: ReleaseRequest, request: ReleaseRequest) -> None:
    if asked.version.tag_prefix is not None:
        raise InvalidOption(
            "--tag-prefix cannot hold for several components", action="set tag_prefix in each component's table"
        )
    if asked.version.exact is not None and len(asked.components.names) != 1:
        raise InvalidOption("--version cannot hold for several components", action="name one with --component")
    if asked.version.exact is not None and request.approval.pull_request:
        raise InvalidOption(
            "--pull-request needs versions that the commits decide", action="remove --version or --pull-request"
        )


class _Planning:
    def __init__(self, run: OpenRun, file: ReleaseFile, checkout: Checkout, found: Mapping[str, Component]) -> None:
        self._run = run
        self._file = file
        self._checkout = checkout
        self._found = found
        self._common = self._given()
        whole = replace(file, components={name: component.values for name, component in found.items()})
        whole.check_allowed(self._common, run.asked.config.allow)
        self._requests = {name: self._request(component) for name, component in found.items()}
        self._lines: dict[str, Lineage] = {}
        self._taken: dict[str, list[Version]] = {}
        self._branches: dict[str, Branch] = {}
        self._released: set[str] = set()
        self._tip = checkout.revision

    async def read(self) -> None:
        """Read tags and history, once for all components. Raises HistoryIncomplete, SourceErrors."""
        checkout, remote, credentials = (
            self._checkout,
            self._run.request.version.git_remote,
            self._run.git_credentials(),
        )
        ledger = await GitLedger.open(checkout, prefix="", remote=remote, credentials=credentials)
        assert checkout.repository is not None, "it has a repository"
        listed = await tags(ledger.remote or checkout.repository)
        self._whole = await WholeHistory.open(checkout, remote=remote, credentials=credentials, paths=("**",))
        inside = await self._whole.includes(listed.values())
        lines: dict[str, Lineage] = {}
        for name, request in self._requests.items():
            named = versions_of_git_tags(listed, _prefix(request))
            self._taken[name] = list(named)
            released = [Released(version, listed[named[version]]) for version in sorted(named, reverse=True)]
            lines[name] = Lineage(
                tuple(each for each in released if each.revision in inside),
                tuple(each.version for each in released if each.revision not in inside),
            )
        await self._read_branch(lines)
        ends = [last for line in lines.values() for last in (line.latest(), line.latest(stable_only=True))]
        starts = [last.revision for last in ends if last is not None and last.revision is not None]
        await self._whole.read(starts, from_the_beginning=any(not line.line for line in lines.values()))
        # What only brings notes into changelogs is no other commit.
        self._tip = await self._whole.tip()
        parts = self._whole.parts({name: place_of(checkout.subdirectory, each) for name, each in self._found.items()})
        self._lines = {name: replace(line, history=parts[name]) for name, line in lines.items()}

    async def _read_branch(self, lines: dict[str, Lineage]) -> None:
        """Note what the branch says about each version."""
        needed = any(map(needs_branch, self._requests.values()))
        wanted = any(request.notes.changelog is not None for request in self._requests.values())
        on = await name_of_branch(self._run, self._checkout, needed=needed, wanted=wanted)
        for name, request in self._requests.items():
            self._branches[name] = branch = Branch.of(on, request)
            self._requests[name] = branch.applied(request)
            if self._requests[name] is not request:
                lines[name] = lines[name].of_series(str(branch.channel))
            if on and self._checkout.temporary is not None:  # its own release would not know the branch of a commit
                self._requests[name] = self._requests[name].changed({"checkout": {"branch": on}})

    async def plan(self, component: Component) -> ComponentRelease:
        """What becomes of a component, after those that it needs. Raises VersionTaken, InvalidOption."""
        name, request, line = component.name, self._requests[component.name], self._lines[component.name]
        try:
            choice = await self._choose(component)
            choice = replace(
                choice,
                token=request.version.prerelease_token,
                line=tuple(each.version for each in line.line),
                elsewhere=line.elsewhere,
                branch=self._branches[name],
            )
            version = None if choice.nothing else choice.pick(self._taken[name])
        except (VersionError, InvalidOption) as error:
            raise error.adding(f"the component is {name}") from error
        proposed = version is not None and request.approval.pull_request and not choice.approved
        if version is not None and not proposed:
            self._released.add(name)
        last = line.latest()
        planned = PlannedComponent(
            name=name,
            path=component.path or ".",
            image=request.image,
            tag=f"{_prefix(request)}{version}" if version is not None else None,
            version=str(version) if version is not None else None,
            previous=str(last.version) if last is not None else None,
            why=choice.why,
            needs=component.needs,
            commits=choice.commits,
            pull_request=proposed,
        )
        after = bool(request.deploy) or request.forge.token is not None
        finishes = version is None and after and last is not None and last.revision == self._tip
        return ComponentRelease(component, planned, request, finishes)

    async def _choose(self, component: Component) -> Choice:
        request, line = self._requests[component.name], self._lines[component.name]
        if request.version.exact is not None:
            return Choice(f"--version {request.version.exact}", version=parse_version(request.version.exact))
        base, again = _base(line), request.version.again
        if base is None:
            return await by_bump(request, line)
        here = (each.version for each in line.line if each.revision == self._tip)
        done = next((each for each in here if asks_for_prerelease(request) or not each.prerelease), None)
        if done is not None and not again:
            return Choice(f"this commit is already released as {done}", last=done)
        assert line.history is not None, "the history was read"
        choice = Choice("no commits since the last version touch it", last=base.version)
        if request.bump is Bump.AUTO or (await line.history.since(base.revision)).commits:
            choice = await by_bump(request, line)
        if not choice.nothing:
            return choice
        if newer := [need for need in component.needs if self._is_newer(need, base)]:
            why = f"{', '.join(newer)} {'has' if len(newer) == 1 else 'have'} a new version"
        elif self._run.asked.components.all:
            why = "--all was requested"
        else:
            return choice
        return Choice(why, bump=Bump.PATCH, prerelease=asks_for_prerelease(request))

    def _is_newer(self, name: str, base: Released) -> bool:
        """Whether what a component needs is released now, or was since the component's own last version."""
        last = _base(self._lines[name])
        if name in self._released or last is None or last.revision is None or base.revision is None:
            return name in self._released
        return not self._whole.holds(base.revision, last.revision)

    def _given(self) -> dict[str, Any]:
        """What holds for each component's request: the same revision, and no release file, which has been read."""
        asked, checkout = self._run.asked, self._checkout
        given = asked.model_dump(exclude_unset=True)
        # Where an image goes is the file's choice, also below a place that was named: the names are in the file.
        for key in ("components", "image"):
            given.pop(key, None)
        place = {**given.get("checkout", {}), "path": asked.checkout.path}
        if checkout.temporary is not None:
            spec = (
                None
                if asked.source.startswith("vault:")
                else parse_source(asked.source, path=asked.checkout.path, ref=asked.checkout.ref)
            )
            if isinstance(spec, GitSpec):
                given["source"], place["path"] = spec.url, spec.subdirectory
            place["ref"] = checkout.revision
        version = {**given.get("version", {}), "only_new": False}
        version.pop("exact", None)
        config = {**given.get("config", {}), "file": NO_FILE}
        return {**given, "checkout": place, "version": version, "config": config}

    def _request(self, component: Component) -> ReleaseRequest:
        """The request of the component's own release. Raises ReleaseFileInvalid, InvalidOption."""
        run, common, values = self._run, self._common, component.values
        place = "/".join(filter(None, (common["checkout"]["path"], component.context)))
        version = {**common["version"], "paths": list(place_of(self._checkout.subdirectory, component))}
        if component.name in run.asked.components.names and run.asked.version.exact is not None:
            version["exact"] = run.asked.version.exact
        given = {**common, "checkout": {**common["checkout"], "path": place}, "version": version}
        if "image" not in values and "bake" not in values:
            given["image"] = run.image(self._checkout.name, component.name).name
        file = self._file.of_component(component.name, values)
        if "bump" not in given and "bump" not in file.values:
            given["bump"] = Bump.AUTO.value
        request = file.joined(given, ["*"])
        # All of them are approved at once; one whose table asks for it, once more by itself.
        approval: dict[str, Any] = {"required": bool(values.get("approval", {}).get("required"))}
        notes: dict[str, Any] = {}
        inside = posixpath.relpath(component.path or ".", component.context or ".")
        if inside != "." and not inside.startswith(".."):
            # Where commits count for it: a release pull request is one.
            approval["version_files"] = [f"{inside}/{each}" for each in request.approval.version_files]
            changelog = request.notes.changelog or (CHANGELOG if request.approval.pull_request else None)
            notes["changelog"] = f"{inside}/{changelog}" if changelog is not None else None
        return request.changed({"approval": approval, "notes": notes})


def _base(line: Lineage) -> Released | None:
    """The version since which commits count."""
    return line.latest(stable_only=True) or line.latest()


def _prefix(request: ReleaseRequest) -> str:
    return (request.version.tag_prefix or "").removeprefix(_NO_PREFIX)
