"""A saved Vault login: a role, not a credential."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from prefect.blocks.core import Block
from pydantic import Field, SecretStr, model_validator

from prefect_slipway.blocks.addresses import documentation, logo
from prefect_slipway.infra.domain.errors import InvalidOption

if TYPE_CHECKING:
    from prefect_slipway.infra.vault.access import Auth, VaultAccess


class Vault(Block):
    """Vault's address and the role that a release logs in with.

    Whoever may call Prefect's API can read a block, so prefer Kubernetes or JWT auth (nothing to steal) or an AppRole
    whose secret id lies in a file of the worker.

    Example:
        Release an image with credentials that are there:

        ```python
        from prefect_slipway import ReleaseRequest, release

        request = ReleaseRequest(
            source="https://git.example.com/app.git",
            image="registry.example.com/team/app",
            credentials={"registries": ["vault:secret/registry"], "vault": "block:BLOCK_NAME"},
        )
        await release(request)
        ```
    """

    _block_type_name = "Slipway Vault"
    _block_type_slug = "slipway-vault"
    _description = "Vault's address and the role that a release logs in with."
    _logo_url = logo("secret")
    _documentation_url = documentation(_block_type_slug)

    address: str = Field(description="Address of Vault or OpenBao: https://HOST:PORT.")
    method: Literal["kubernetes", "jwt", "approle", "token"] = Field(
        default="approle", description="Auth method of a release; use a token only to try things out."
    )
    role: str | None = Field(default=None, description="Name of the role (Kubernetes, JWT), or the AppRole's role id.")
    jwt_file: str | None = Field(
        default=None, description="File with a signed token, for the method jwt, on the machine that runs the release."
    )
    secret_id_file: str | None = Field(
        default=None, description="File with the AppRole's secret id on the machine that runs the release."
    )
    secret_id: SecretStr | None = Field(default=None, description="The AppRole's secret id, if it does not exist.")
    token: SecretStr | None = Field(default=None, description="Token, for the method token.")
    mount: str | None = Field(default=None, description="Mount of the auth method. Leave empty for its default mount.")
    namespace: str | None = Field(default=None, description="Vault namespace (Enterprise, OpenBao).")
    ca_file: str | None = Field(default=None, description="PEM file with the CA of Vault's certificate.")

    @model_validator(mode="after")
    def _method_is_complete(self) -> Vault:
        if self.method == "token" and self.token is None:
            raise InvalidOption("the method token needs a token")
        if self.method != "token" and self.role is None:
            raise InvalidOption(f"the method {self.method} needs a role")
        if self.method == "approle" and self.secret_id is None and self.secret_id_file is None:
            raise InvalidOption("the method approle needs a secret id or a file with it")
        if self.method == "jwt" and self.jwt_file is None:
            raise InvalidOption("the method jwt needs a file with the token")
        return self

    def access(self) -> VaultAccess:
        """The adapter's configuration. Raises InvalidOption when the secret id's file cannot be read."""
        # Its client would be loaded wherever Prefect knows the block.
        from prefect_slipway.infra.vault.access import VaultAccess

        return VaultAccess(self.address, namespace=self.namespace, ca_file=_path(self.ca_file), auth=self._auth())

    def _auth(self) -> Auth:
        from prefect_slipway.infra.vault.access import AppRoleAuth, JwtAuth, TokenAuth, TokenFile

        if self.method == "token":
            assert self.token is not None, "validated"
            return TokenAuth(self.token.get_secret_value())
        assert self.role is not None, "validated"
        if self.method == "kubernetes":
            return JwtAuth(self.role, TokenFile(), mount=self.mount or "kubernetes")
        if self.method == "jwt":
            assert self.jwt_file is not None, "validated"
            return JwtAuth(self.role, TokenFile(Path(self.jwt_file)), mount=self.mount or "jwt")
        return AppRoleAuth(self.role, self._secret_id(), mount=self.mount or "approle")

    def _secret_id(self) -> str:
        if self.secret_id_file is None:
            assert self.secret_id is not None, "validated"
            return self.secret_id.get_secret_value()
        try:
            return Path(self.secret_id_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidOption(f"the secret id's file {self.secret_id_file} cannot be read") from error


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None
