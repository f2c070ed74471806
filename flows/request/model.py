"""What all requests share: how they are read and checked, and fields that several have."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from prefect_slipway.blocks.fields import SavedBlock, without_leaks
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.urls import check_texts

# What every request that asks a registry says in the same words.
RegistryCa = Annotated[
    str | None, Field(description="PEM file with the registry's CA. Leave empty for the system's CAs.")
]
InsecureRegistry = Annotated[
    bool, Field(description="Use plain HTTP for the registry. Default: only for loopback addresses.")
]
SavedVault = Annotated[
    SavedBlock | None,
    Field(description="Saved Vault access, `block:NAME`. Leave empty for VAULT_ADDR, or else the embedded Vault."),
]

_ADDRESSES = {"source", "git_remote", "builder"}


class Request(BaseModel):
    """The request of a flow. Every field is a plain value that may be shown: secrets are given by their place, never
    by value. A value that contains a secret is rejected and not repeated anywhere."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, json_schema_extra=lambda schema: without_leaks(schema)
    )

    @model_validator(mode="before")
    @classmethod
    def _no_secret_is_given(cls, values: Any) -> Any:
        if isinstance(values, dict):
            # Addresses are checked more closely, with errors that say what to do instead.
            others = {name: value for name, value in values.items() if name not in _ADDRESSES or type(value) is not str}
            check_texts("", others)
        return values

    @classmethod
    def read(cls, values: dict[str, object]) -> Self:
        """Validate `values`; raises the UsageError that says what is wrong, instead of pydantic's collection."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise InvalidOption(f"{where}: {first['msg']}") from None
