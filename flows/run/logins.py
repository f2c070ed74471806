"""Registries of `slipway login`, and their credentials, which are read from Vault.

What is noted is where a credential is, never the credential. It is noted for the user, not in a state folder: docker
runs the helper wherever it is called, with no SLIPWAY_HOME.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from prefect_slipway.flows.run.endpoints import vault_access
from prefect_slipway.infra.domain.errors import InvalidOption, StackDown, VaultUnreachable
from prefect_slipway.infra.domain.reference import normalize_registry_host
from prefect_slipway.infra.local.connection import read_connection
from prefect_slipway.infra.registry.helper_config import config_files, keys_of, restore_helpers, set_helper

if TYPE_CHECKING:
    from prefect_slipway.infra.domain.credentials import Credential
    from prefect_slipway.infra.local.connection import StackConnection
    from prefect_slipway.infra.vault.access import VaultAccess


HELPER = "slipway"
"""As `credHelpers` has it: the program's name without `docker-credential-`."""


@dataclass(frozen=True)
class Login:
    """`secret`: vault:MOUNT/PATH. `home`: the state directory of the embedded Vault that has it; if None, `address`,
    `namespace` and `ca_file` say which Vault has it. `files`: configurations in which the helper was named, with the
    helper that each key had before.
    """

    registry: str
    secret: str
    home: str | None = None
    address: str | None = None
    namespace: str | None = None
    ca_file: str | None = None
    files: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)

    @classmethod
    def at(cls, registry: str, secret: str, stack: StackConnection | None, access: VaultAccess) -> Self:
        """The login for a credential in the Vault of `access`: the embedded one of `stack`, or the user's own."""
        if stack is not None and stack.approle_file is not None:
            return cls(registry, secret, home=str(stack.home))
        ca_file = str(access.ca_file.absolute()) if access.ca_file else None
        return cls(registry, secret, address=access.address, namespace=access.namespace, ca_file=ca_file)

    def access(self, env: Mapping[str, str]) -> VaultAccess:
        """Access to its Vault; the user's own is logged in to by the environment. Raises InvalidOption, StackDown."""
        if self.home is not None:
            access = vault_access(read_connection(Path(self.home)), env)
        else:
            if (named := env.get("VAULT_ADDR", "").rstrip("/")) and named != self.address:
                raise InvalidOption(
                    f"the credential of {self.registry} is in the Vault at {self.address}, but VAULT_ADDR is {named}",
                    action=f"unset VAULT_ADDR, or run `slipway login {self.registry}` again",
                )
            ours = {"VAULT_ADDR": self.address, "VAULT_NAMESPACE": self.namespace, "VAULT_CACERT": self.ca_file}
            access = vault_access(None, {**env, **{name: value or "" for name, value in ours.items()}})
        assert access is not None, "an address was given"
        return access

    async def credential(self, env: Mapping[str, str]) -> Credential:
        """The current credential from Vault. Raises VaultErrors, InvalidOption, StackDown."""
        from prefect_slipway.infra.domain.secret_path import CredentialPath
        from prefect_slipway.infra.vault.credentials import VaultCredentials
        from prefect_slipway.infra.vault.session import VaultSession

        try:
            async with VaultSession(self.access(env), outlived=True) as vault:
                source = VaultCredentials(vault, {self.registry: CredentialPath.parse(self.secret)})
                credential = await source.credential(self.registry)
        except VaultUnreachable as error:
            if self.home is None:
                raise
            raise StackDown(f"the embedded Vault of {self.home} does not answer") from error
        assert credential is not None, "the registry has a path"
        return credential


class Logins:
    """All logins of a user, in a file of the user's configuration directory."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @classmethod
    def of_this_user(cls) -> Self:
        import platformdirs

        return cls(platformdirs.user_config_path("slipway") / "logins.json")

    def __iter__(self) -> Iterator[Login]:
        return iter(self._read().values())

    def get(self, registry: str) -> Login | None:
        """The login of a registry, by its host or any of docker's names for it."""
        return self._read().get(normalize_registry_host(registry))

    def of_home(self, home: Path) -> list[Login]:
        """The logins whose credential is in the embedded Vault of this state directory."""
        return [login for login in self if login.home == str(home)]

    def enter(self, login: Login, env: Mapping[str, str]) -> list[Path]:
        """Add the helper to each configuration found through `env` and save the login; returns the files. Raises
        InvalidOption."""
        # A logout restores what was there before the first login.
        known = self._read().get(login.registry)
        before = dict(known.files) if known is not None else {}
        files = config_files(env)
        # Saved first, so that no file names a helper that does not know the registry.
        self._write({**self._read(), login.registry: replace(login, files=before)})
        for file in files:
            had = set_helper(file, keys_of(login.registry), HELPER)
            before.setdefault(str(file), {key: None if name == HELPER else name for key, name in had.items()})
            self._write({**self._read(), login.registry: replace(login, files=before)})
        return files

    def leave(self, login: Login) -> None:
        """Undo `enter`. Raises InvalidOption."""
        for file, before in login.files.items():
            restore_helpers(Path(file), HELPER, before)
        self.forget(login.registry)

    def forget(self, registry: str) -> None:
        """Forget the login; the configurations stay as they are."""
        left = self._read()
        if left.pop(registry, None) is not None:
            self._write(left)

    def _read(self) -> dict[str, Login]:
        try:
            noted: dict[str, Any] = json.loads(self._file.read_text(encoding="utf-8"))
            return {registry: Login(**values) for registry, values in noted.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise InvalidOption(
                f"{self._file} cannot be read", action="remove it, and run `slipway login` again"
            ) from error

    def _write(self, logins: Mapping[str, Login]) -> None:
        from prefect_slipway.infra.common.private_files import private_folder, write_private

        values = {registry: asdict(login) for registry, login in logins.items()}
        try:
            if logins:
                write_private(private_folder(self._file.parent) / self._file.name, json.dumps(values, indent=2) + "\n")
            else:
                self._file.unlink(missing_ok=True)
        except OSError as error:
            raise InvalidOption(
                f"{self._file} cannot be written ({error.strerror})",
                action="set XDG_CONFIG_HOME to a directory of your own",
            ) from error
