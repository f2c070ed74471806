"""What a file may use of this machine: the paths, variables and agents that it names.

A set's file comes with its source, perhaps from far away, and is not the one who runs it: what lies outside of the
source has to be allowed, in words that `docker buildx bake --allow` has as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from prefect_slipway.infra.domain.errors import InvalidOption

_FS, _ENV, _SSH = "fs.read=", "env=", "ssh"


@dataclass(frozen=True, slots=True)
class Places:
    """`folder`: what relative paths are relative to. `roots`: folders whose content may be read."""

    folder: Path
    roots: tuple[Path, ...]
    env: frozenset[str] = frozenset()
    ssh: bool = False
    entitlements: frozenset[str] = frozenset()

    @classmethod
    def of(cls, folder: Path, top: Path | None, allow: Sequence[str]) -> Self:
        """`top`: the work tree that `folder` is a part of. `allow`: `fs.read=PATH`, `env=NAME`, `ssh` and BuildKit's
        entitlements. Raises InvalidOption for other words."""
        roots = [folder, *([top] if top is not None else [])]
        env, entitlements = set(), set()
        for word in allow:
            if word.startswith(_FS):
                roots.append(Path(word.removeprefix(_FS)).absolute())
            elif word.startswith(_ENV):
                env.add(word.removeprefix(_ENV))
            elif word in {"network.host", "security.insecure", "device"}:
                entitlements.add(word)
            elif word != _SSH:
                raise InvalidOption(
                    f"--allow {word!r} is not known",
                    action="use fs.read=PATH, env=NAME, ssh, network.host or security.insecure",
                )
        return cls(
            folder.resolve(),
            tuple(root.resolve() for root in roots),
            frozenset(env),
            _SSH in allow,
            frozenset(entitlements),
        )

    def path(self, what: str, text: str | Path, below: Path | None = None, *, action: str | None = None) -> Path:
        """A path from a file, relative to `below` (else to the source). Raises InvalidOption outside the roots, also
        through links, with the next `action` (None: how to allow it)."""
        path = (below or self.folder) / str(text).removeprefix("cwd://")
        try:
            real = path.resolve()
            if "\0" in str(text):
                raise ValueError("not a file name")
        except (OSError, RuntimeError, ValueError) as error:  # before Python 3.13 a circle of links as well
            raise InvalidOption(f"{what}: {str(text)!r} cannot be resolved") from error
        if not any(real.is_relative_to(root) for root in self.roots):
            raise InvalidOption(
                f"{what}: {text} is outside the source", action=action or f"allow it with --allow {_FS}{real}"
            )
        return path

    def variable(self, what: str, name: str) -> str:
        """A variable of this machine's environment, used by a file. Raises InvalidOption."""
        if name not in self.env:
            raise InvalidOption(
                f"{what}: it needs this machine's environment variable {name}",
                action=f"allow it with --allow {_ENV}{name}",
            )
        return name

    def agent(self, what: str) -> None:
        """Check that SSH agents and keys are allowed. Raises InvalidOption."""
        if not self.ssh:
            raise InvalidOption(f"{what}: it needs an SSH agent or key of this machine", action="allow it: --allow ssh")

    def entitlement(self, what: str, name: str) -> str:
        """Raises InvalidOption if it is not allowed."""
        if name not in self.entitlements:
            raise InvalidOption(f"{what}: it needs the entitlement {name}", action=f"allow it with --allow {name}")
        return name
