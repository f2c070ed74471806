"""What all requests share: how they are read and checked, and fields that several have."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Annotated, Any, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_serializer, model_validator
from pydantic.fields import FieldInfo

from prefect_slipway.blocks.fields import Option as Option
from prefect_slipway.blocks.fields import SavedBlock, without_leaks
from prefect_slipway.flows.request.form import as_form
from prefect_slipway.flows.request.wrong import wrong
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.urls import check_encodable, check_texts

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

_ADDRESSES = {"source", "git_remote", "address"}


class Request(BaseModel):
    """The request of a flow, or a section of one. Every field is a plain value that may be shown: secrets are given by
    their place, never by value. A value that contains a secret is rejected and not repeated anywhere.

    An empty text where None may stand is None, as forms send it. None is left out of what is dumped, because a field's
    JSON schema, and so Prefect's server, knows only its type.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        json_schema_extra=lambda schema, model: _as_form(schema, model),
    )

    @model_validator(mode="before")
    @classmethod
    def _no_secret_is_given(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        cls.check_shape(values)
        # Addresses are checked more closely, with errors that say what to do instead; sections check themselves.
        others = {
            name: value
            for name, value in values.items()
            if not (name in _ADDRESSES and type(value) is str) and cls.section(name) is None
        }
        check_texts("", others)
        check_encodable(values)
        return {name: None if value == "" and cls._may_be_none(name) else value for name, value in values.items()}

    @model_serializer(mode="wrap")
    def _without_none(self, handler: Any) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value is not None}

    @classmethod
    def check_shape(cls, values: Mapping[str, Any]) -> None:
        """Raises RequestOutdated for what an earlier version of this request took."""

    @classmethod
    def section(cls, name: str) -> type[Request] | None:
        """The model of a field that is a section; None for any other."""
        field = cls.model_fields.get(name)
        kind = field.annotation if field is not None else None
        return kind if isinstance(kind, type) and issubclass(kind, Request) else None

    @classmethod
    def read(cls, values: Mapping[str, object]) -> Self:
        """Validate `values`; raises the UsageError that says what is wrong, instead of pydantic's collection."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            if first["type"] == "extra_forbidden":
                raise InvalidOption(f"the request has no field {where!r}", action="check its name") from None
            raise InvalidOption(f"{where}: {wrong(first)}") from None

    @classmethod
    def table(cls, name: str) -> type[Request] | None:
        """The model of each value of a field that is a dictionary of tables; None for any other."""
        field = cls.model_fields.get(name)
        kinds = get_args(field.annotation) if field is not None and get_origin(field.annotation) is dict else ()
        return kinds[1] if kinds and isinstance(kinds[1], type) and issubclass(kinds[1], Request) else None

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """The request with these fields instead, those of sections one by one; what nobody has set stays so. Raises as
        `read`."""
        values = self.model_dump(exclude_unset=True)
        for name, value in changes.items():
            values[name] = {**values.get(name, {}), **value} if self.section(name) is not None else value
        return self.read(values)

    @classmethod
    def _may_be_none(cls, name: str) -> bool:
        field = cls.model_fields.get(name)
        return field is not None and field.default is None


def option_of(field: FieldInfo) -> Option:
    """What a field says about its option."""
    return next((each for each in field.metadata if isinstance(each, Option)), Option())


def _as_form(schema: dict[str, Any], model: type[Any]) -> None:
    without_leaks(schema)
    # What is special about a model comes before what others have as well.
    order = [name for kind in model.__mro__ for name in inspect.get_annotations(kind)]
    as_form(schema, list(dict.fromkeys(order)))
