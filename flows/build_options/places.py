"""What a build may use of this machine: the paths, variables and agents that it names.

A set's file comes with its source, perhaps from far away, and is not the one who runs it: what lies outside of the
source has to be allowed, in words that `docker buildx bake --allow` has as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from prefect_slipway.infra.domain.errors import InvalidOption, SlipwayError

if TYPE_CHECKING:
    from prefect_slipway.infra.domain.secret_path import SecretField

_FS, _FS_WRITE, _ENV, _SSH, _VAULT = "fs.read=", "fs.write=", "env=", "ssh", "vault="
ENTITLEMENTS = frozenset({"network.host", "security.insecure", "device"})


class Places(NamedTuple):
    """`folder`: what relative paths are relative to. `roots`: folders whose content may be read; `writable`:
    folders that may be written to. `vault`: patterns of the places in Vault that may be read, MOUNT/PATH#FIELD."""

    folder: Path
    roots: tuple[Path, ...]
    writable: tuple[Path, ...] = ()
    env: frozenset[str] = frozenset()
    ssh: bool = False
    entitlements: frozenset[str] = frozenset()
    vault: tuple[str, ...] = ()

    @staticmethod
    def check(allow: Sequence[str]) -> None:
        """Raises InvalidOption for words that allow nothing."""
        for word in allow:
            if word not in {_SSH, *ENTITLEMENTS} and not word.startswith((_FS, _FS_WRITE, _ENV, _VAULT)):
                raise InvalidOption(
                    f"--allow {word!r} is not known",
                    action=(
                        "use fs.read=PATH, fs.write=PATH, env=NAME, vault=MOUNT/PATH#FIELD, ssh, network.host or "
                        "security.insecure"
                    ),
                )

    @classmethod
    def of(cls, folder: Path, top: Path | None, allow: Sequence[str]) -> Self:
        """`top`: the work tree that `folder` is a part of. `allow`: `fs.read=PATH`, `fs.write=PATH`, `env=NAME`, `ssh`
        and BuildKit's entitlements. Raises InvalidOption for other words."""
        cls.check(allow)
        own = [folder, *([top] if top is not None else [])]

        def paths(prefix: str) -> tuple[Path, ...]:
            named = [Path(word.removeprefix(prefix)).absolute() for word in allow if word.startswith(prefix)]
            return tuple(path.resolve() for path in (*own, *named))

        return cls(
            folder.resolve(),
            paths(_FS),
            paths(_FS_WRITE),
            frozenset(word.removeprefix(_ENV) for word in allow if word.startswith(_ENV)),
            _SSH in allow,
            ENTITLEMENTS.intersection(allow),
            tuple(word.removeprefix(_VAULT).removeprefix("vault:") for word in allow if word.startswith(_VAULT)),
        )

    def path(self, what: str, text: str | Path, below: Path | None = None, *, action: str | None = None) -> Path:
        """A path from a file, relative to `below` (else to the source). Raises InvalidOption outside the roots, also
        through links, with the next `action` (None: how to allow it)."""
        path = (below or self.folder) / str(text).removeprefix("cwd://")
        _check_below(what, str(text), path, self.roots, action or f"allow it with --allow {_FS}")
        return path

    def written(self, what: str, text: str | Path) -> Path:
        """A path to write to, relative to the source. Raises InvalidOption where that is not allowed, also through
        links."""
        path = self.folder / str(text).removeprefix("cwd://")
        _check_below(what, str(text), path, self.writable, f"allow it with --allow {_FS_WRITE}")
        return path

    def variable(self, what: str, name: str) -> str:
        """A variable of this machine's environment, used by a file. Raises InvalidOption."""
        if name not in self.env:
            raise InvalidOption(
                f"{what}: it needs this machine's environment variable {name}",
                action=f"allow it with --allow {_ENV}{name}",
            )
        return name

    def secret(self, what: str, field: SecretField) -> SecretField:
        """A secret in Vault, named by a file. Raises InvalidOption."""
        place = f"{field.path}#{field.field}".removeprefix("vault:")
        if not any(fnmatchcase(place, pattern) for pattern in self.vault):
            raise InvalidOption(f"{what}: it needs vault:{place}", action=f"allow it with --allow {_VAULT}{place}")
        return field

    def agent(self, what: str) -> None:
        """Check that SSH agents and keys are allowed. Raises InvalidOption."""
        if not self.ssh:
            raise InvalidOption(f"{what}: it needs an SSH agent or key of this machine", action="allow it: --allow ssh")

    def entitlement(self, what: str, name: str) -> str:
        """Raises InvalidOption if it is not allowed."""
        if name not in self.entitlements:
            raise InvalidOption(f"{what}: it needs the entitlement {name}", action=f"allow it with --allow {name}")
        return name


def read_text(path: Path, name: str, most_bytes: int, error: type[SlipwayError]) -> str:
    """A text file of a source, which anybody may have made as large as they like. `name`: as people know it. Raises
    `error`."""
    try:
        with path.open("rb") as opened:
            content = opened.read(most_bytes + 1)
        text = content.decode("utf-8-sig")  # as Windows' editors write it
    except OSError as failure:
        raise error(f"{name} cannot be read: {failure.strerror}") from None
    except UnicodeDecodeError:
        raise error(f"{name} is not UTF-8 text") from None
    if len(content) > most_bytes:
        raise error(f"{name} is larger than {most_bytes >> 10} KiB")
    return text


def _check_below(what: str, text: str, path: Path, roots: Sequence[Path], action: str) -> None:
    """Raises InvalidOption outside the roots. `action`: ends in `=` where the path itself is what to allow."""
    try:
        real = path.resolve()
        if "\0" in text:
            raise ValueError("not a file name")
    except (OSError, RuntimeError, ValueError) as error:  # before Python 3.13 a circle of links as well
        raise InvalidOption(f"{what}: {text!r} cannot be resolved") from error
    if not any(real.is_relative_to(root) for root in roots):
        raise InvalidOption(
            f"{what}: {text} is outside the source", action=f"{action}{real}" if action.endswith("=") else action
        )
