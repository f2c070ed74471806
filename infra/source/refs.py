"""Refs of a local or remote repository, changed only if they are still as last seen."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from prefect_slipway.infra.domain.errors import RefUnknown
from prefect_slipway.infra.source.causes import git_error, own_words, run_git
from prefect_slipway.infra.source.command import FETCH, Answer, Remote, git
from prefect_slipway.infra.source.commits import SLIPWAY, store_commit
from prefect_slipway.infra.source.history import read_tags

_READ = ("refs/tags/*", "refs/slipway/*")
# Lost races. Wording: git's refs/files-backend.c, builtin/receive-pack.c, send-pack.c, remote.c.
_OUTDATED = re.compile(
    r"stale info|fetch first|but expected|reference already exists|failed to update ref|failed to lock"
    r"|File exists|incorrect old value|unable to resolve reference|reference is missing"
    r"|remote ref does not exist"
    r"|unexpected object ID|atomic transaction failed|atomic push failed"
)
_REFUSED = re.compile(r"declined|prohibited|deny updating|hidden ref|; cannot create |Permission denied|Read-only file")


@dataclass(frozen=True, slots=True)
class Change:
    """From the object `old` (None: the ref must not exist) to `new` (None: the ref is removed)."""

    ref: str
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class State:
    """What was seen: tags with the commits they name, reservation refs with the objects they name."""

    tags: Mapping[str, str]
    reservations: Mapping[str, str]


class RefStore:
    """The refs of `repository`, or of `remote` as seen from it."""

    def __init__(self, repository: Path, remote: Remote | None) -> None:
        self._repository = repository
        self._remote = remote
        self.last_refusal = ""
        """Git's words when a change was last found out of date."""

    @property
    def place(self) -> str:
        """Where the refs are, for messages."""
        return self._remote.url.shown if self._remote is not None else str(self._repository)

    async def read(self) -> State:
        if self._remote is not None:
            listed = await self._run("ls-remote", "--", self._remote.url.text, *_READ)
        else:
            answer = await git("show-ref", "--dereference", cwd=self._repository)
            # Status 1 and no word: there are no refs.
            if answer.status > 1 or answer.err:
                raise await git_error(self.place, answer)
            listed = answer.out.replace(" ", "\t")
        pairs = (line.partition("\t")[::2] for line in listed.splitlines())
        reservations = {ref: revision for revision, ref in pairs if ref.startswith("refs/slipway/")}
        return State(read_tags(listed), reservations)

    async def store(self, message: str) -> str:
        """Store a commit without parents and files, and return its id. Nothing refers to it yet."""
        return await store_commit(self._repository, message)

    async def store_tag(self, name: str, revision: str, message: str) -> str:
        """Store a tag of a commit with a message, and return its id. Nothing refers to it yet."""
        text = f"object {revision}\ntype commit\ntag {name}\ntagger {SLIPWAY.now}\n\n{message.rstrip()}\n"
        return (await self._run_here("hash-object", "-w", "-t", "tag", "--stdin", stdin=text)).strip()

    async def texts(self, refs: Mapping[str, str]) -> dict[str, str]:
        """The messages of the commits that `refs` name, fetched if needed; refs that are gone are left out."""
        found = {}
        for ref, revision in refs.items():
            text = await self._message(revision)
            if text is None and self._remote is not None:
                answer = await self._git(*FETCH, "--no-write-fetch-head", "--", self._remote.url.text, ref)
                if answer.status != 0 and not isinstance(error := await git_error(self.place, answer), RefUnknown):
                    raise error
                text = await self._message(revision)
            if text is not None:
                found[ref] = text
        return found

    async def apply(self, *changes: Change) -> bool:
        """Make all changes or none; False if a ref is not what it was seen as. Raises SourceErrors."""
        if self._remote is None:
            lines = "".join(_instruction(change) for change in changes)
            return await self._judge(await git("update-ref", "--stdin", "-z", cwd=self._repository, stdin=lines))
        answer = await self._push(*changes, atomic=len(changes) > 1)
        if "does not support --atomic" in answer.err:
            # One after the other, the public tag first: what is left if the second fails is seen as finished
            # later.
            return all([await self._judge(await self._push(change, atomic=False)) for change in changes])
        return await self._judge(answer)

    async def copy_tag(self, tag: str, made: str | None) -> None:
        """Give a user's own work tree the tag that its remote has now; one that it has already stays. `made`: the
        object that it names, None if somebody else made it."""
        bare = (await self._run_here("rev-parse", "--is-bare-repository")).strip() == "true"
        if self._remote is None or bare:
            return
        if made is not None:
            await self._judge(await git("update-ref", f"refs/tags/{tag}", made, "", cwd=self._repository))
        elif (await git("show-ref", "--verify", "--quiet", f"refs/tags/{tag}", cwd=self._repository)).status != 0:
            name = f"refs/tags/{tag}"
            await self._run(*FETCH, "--no-write-fetch-head", "--", self._remote.url.text, f"{name}:{name}")

    async def _judge(self, answer: Answer) -> bool:
        if answer.status == 0:
            return True
        said = answer.out + answer.err
        ours = "\n".join(own_words(said))
        if _OUTDATED.search(ours) and not _REFUSED.search(said):
            self.last_refusal = ours
            return False
        raise await git_error(self.place, Answer(answer.status, "", said))

    async def _push(self, *changes: Change, atomic: bool) -> Answer:
        assert self._remote is not None, "only a remote is pushed to"
        leases = [f"--force-with-lease={change.ref}:{change.old or ''}" for change in changes]
        specs = [f"{change.new or ''}:{change.ref}" for change in changes]
        quiet = ("--porcelain", "--no-verify", "--no-follow-tags", "--no-signed", "--recurse-submodules=no")
        return await self._git(
            "push", *quiet, *(["--atomic"] if atomic else []), *leases, "--", self._remote.url.text, *specs
        )

    async def _message(self, revision: str) -> str | None:
        answer = await git("cat-file", "commit", revision, cwd=self._repository, remote=self._remote)
        return answer.out.partition("\n\n")[2] if answer.status == 0 else None

    async def _git(self, *args: str) -> Answer:
        return await git(*args, cwd=self._repository, remote=self._remote)

    async def _run(self, *args: str) -> str:
        return await run_git(self.place, *args, cwd=self._repository, remote=self._remote)

    async def _run_here(self, *args: str, stdin: str = "") -> str:
        return await run_git(str(self._repository), *args, cwd=self._repository, stdin=stdin)


def _instruction(change: Change) -> str:
    """A line for `git update-ref --stdin -z` (where an empty old value would mean "whatever it is")."""
    if change.old is None:
        return f"create {change.ref}\0{change.new}\0"
    if change.new is None:
        return f"delete {change.ref}\0{change.old}\0"
    return f"update {change.ref}\0{change.new}\0{change.old}\0"
