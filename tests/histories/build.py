"""The histories of `table.toml`, and the repositories that have them.

A step is a commit's message, or one of these; `{NAME}` in either is the id of a commit that was named:

    > name NAME                 the commit that was made last; the first one is named `begin`
    > tag NAME [OBJECT]         a lightweight tag; of the last commit unless said otherwise
    > annotate NAME [OBJECT]
    > branch NAME [COMMIT]      begun, and gone to
    > switch NAME
    > merge NAME [MESSAGE]      the branch of that name into this one
    > octopus NAME NAME         both branches into this one
    > orphan NAME               a branch that begins without a parent
    > latin1 MESSAGE            a commit whose message is no UTF-8
    > encoded NAME MESSAGE      the same, with git's header that says so
    > message                   a commit without one
    > detach                    HEAD names the commit, and no branch
    > origin                    as it is by now, the remote `origin`
    > shallow DEPTH             a clone of that depth, without a remote
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.git_repository import git

TABLE = Path(__file__).parent / "table.toml"
PEERS = Path(__file__).parent / "peers.json"
"""What others answered (see `ask`)."""

DOCKERFILE = "FROM scratch\n"
_FIRST_SECOND = 1_700_000_000


@dataclass(frozen=True)
class History:
    """One entry of the table. `asked`: fields of a request."""

    name: str
    steps: tuple[str, ...]
    right: str
    start: str = "v1.0.0"
    asked: Mapping[str, object] = field(default_factory=lambda: {"bump": "auto"})
    because: str = ""


def read_table() -> list[History]:
    """In the table's order."""
    entries = tomllib.loads(TABLE.read_text())["history"]
    return [History(**{**entry, "steps": tuple(entry["steps"])}) for entry in entries]


def build(history: History, folder: Path) -> Path:
    """A clean work tree in a new folder below `folder`."""
    work = folder / "work"
    work.mkdir()
    git(work, "init", "--quiet", "--initial-branch=main")
    repository = _Repository(work)
    repository.take("feat: begin")
    repository.take("> name begin")
    if history.start:
        repository.take(f"> tag {history.start}")
    for step in history.steps:
        repository.take(step)
    repository.check_out()
    return repository.folder


class _Repository:
    """While it is made it has commits and tags; `check_out` gives it its branches and files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        blob = git(folder, "hash-object", "-w", "-t", "blob", "--stdin", stdin=DOCKERFILE)
        self._tree = git(folder, "mktree", stdin=f"100644 blob {blob}\tDockerfile\n")
        self._heads: dict[str, str] = {}
        self._branch = "main"
        self._names: dict[str, str] = {}
        self._second = _FIRST_SECOND
        self._detached = False

    def take(self, step: str) -> None:
        step = step.format_map(self._names)
        if not step.startswith("> "):
            self._commit(step)
            return
        word, _, rest = step.removeprefix("> ").partition(" ")
        name, _, more = rest.partition(" ")
        match word:
            case "name":
                self._names[name] = self._heads[self._branch]
            case "tag":
                git(self.folder, "tag", "--force", name, self._object(more))
            case "annotate":
                git(self.folder, "tag", "--annotate", "--message", "said", name, self._object(more))
            case "branch":
                self._heads[name] = (more and self._names[more]) or self._heads[self._branch]
                self._branch = name
            case "switch":
                self._branch = name
            case "merge":
                self._commit(more or f"Merge branch '{name}'", self._heads[name])
            case "octopus":
                self._commit(f"Merge branches '{name}' and '{more}'", self._heads[name], self._heads[more])
            case "orphan":
                self._branch = name
                self._commit("chore: begin anew")
            case "latin1":
                self._commit(rest, encoding="latin1")
            case "encoded":
                self._commit(more, encoding="latin1", header=name)
            case "message":
                self._commit("")
            case "detach":
                self._detached = True
            case "origin":
                self.check_out()
                git(self.folder, "clone", "--quiet", "--bare", ".", "../origin.git")
                git(self.folder, "remote", "add", "origin", str(self.folder.parent / "origin.git"))
            case "shallow":
                self.check_out()
                git(self.folder, "clone", "--quiet", f"--depth={name}", self.folder.as_uri(), "../shallow")
                self.folder = self.folder.parent / "shallow"
                git(self.folder, "remote", "remove", "origin")
            case _:
                raise ValueError(f"unknown step {step!r}")

    def check_out(self) -> None:
        for branch, head in self._heads.items():
            git(self.folder, "update-ref", f"refs/heads/{branch}", head)
        git(self.folder, "symbolic-ref", "HEAD", f"refs/heads/{self._branch}")
        if self._detached:
            git(self.folder, "update-ref", "--no-deref", "HEAD", self._heads[self._branch])
        git(self.folder, "read-tree", "-u", "--reset", "HEAD")

    def _commit(self, message: str, *merged: str, encoding: str = "utf-8", header: str = "utf-8") -> None:
        parents = [*([self._heads[self._branch]] if self._branch in self._heads else []), *merged]
        self._second += 60
        dates = dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), f"{self._second} +0000")
        options = [option for parent in parents for option in ("-p", parent)]
        file = self.folder.parent / "message"
        file.write_bytes(message.encode(encoding))
        make = ("-c", f"i18n.commitEncoding={header}", "commit-tree", self._tree, "-F", str(file))
        self._heads[self._branch] = git(self.folder, *make, *options, **dates)

    def _object(self, text: str) -> str:
        return (text or "HEAD").replace("HEAD", self._heads[self._branch])
