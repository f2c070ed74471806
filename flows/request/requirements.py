"""What an image must have to be trusted: one model behind the options of `slipway verify`, `--require` and a saved
policy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Self

from pydantic import Field, field_validator

from prefect_slipway.blocks.fields import Source
from prefect_slipway.flows.request.model import Option, Request
from prefect_slipway.infra.domain.options import seconds_of

PEM = "-----BEGIN "
"""How a key begins that is given as it is, in place of where it is."""
KEY_FORM = "vault:MOUNT/KEY|FILE"


class Requirements(Request):
    """Trusted keys, and what they must have signed. (Prefect takes a value that has `keys` for a mapping.)"""

    trusted_keys: Annotated[list[str], Option("key", KEY_FORM, "k")] = Field(
        default_factory=list,
        description=(
            "Trusted public keys: a PEM file, or `vault:MOUNT/KEY` for the versions of a key in Vault's Transit engine "
            "that are not revoked. At least one; one of them must have signed."
        ),
    )
    provenance: bool = Field(default=False, description="Require a signed SLSA provenance of each platform.")
    sbom: bool = Field(default=False, description="Require a signed SBOM of each platform.")
    source: Annotated[Source | None, Option(metavar="URL")] = Field(
        default=None,
        description=(
            "Require a signed provenance that says that the image was built from this git repository, without local "
            "changes. Leave empty for any source."
        ),
    )
    ref: str | None = Field(
        default=None,
        description="Require a signed provenance with this branch, tag or commit. Leave empty for any.",
    )
    gates: Annotated[list[str], Option("gate", "NAME")] = Field(
        default_factory=list, description="Require a signed test result that says that the image passed this gate."
    )
    max_age: Annotated[str | None, Option(metavar="AGE")] = Field(
        default=None,
        description=(
            "Require that the signed provenance says that the build finished at most this long ago: a number with "
            "`s`, `m`, `h`, `d` or `w`, such as `30d`. Leave empty for any age."
        ),
    )
    rebuilt: bool = Field(
        default=False,
        description="Require a signed statement that each platform was rebuilt to the same digest.",
    )

    @field_validator("max_age")
    @classmethod
    def _max_age_is_a_time(cls, value: str | None) -> str | None:
        if value is not None:
            seconds_of(value)
        return value

    @classmethod
    def of_terms(cls, texts: Iterable[str]) -> Self:
        """As `--require` gives them, one each: a key, `provenance`, `gate=NAME`. Raises InvalidOption."""
        values: dict[str, Any] = {"trusted_keys": [], "gates": []}
        for text in texts:
            name, equals, value = text.partition("=")
            if text in _WORDS:
                values[text] = True
            elif equals and name in _VALUES:
                values[_VALUES[name]] = value
            elif equals and name == "gate":
                values["gates"].append(value)
            else:
                values["trusted_keys"].append(text)
        return cls.read(values)

    def lines(self) -> list[str]:
        """What is required, for people."""
        keys = [key if not key.startswith(PEM) else "a key of the policy" for key in self.trusted_keys]
        lines = [f"signed by {' or '.join(keys)}"] if keys else []
        lines += ["SLSA provenance"] * self.provenance + ["SBOM"] * self.sbom
        lines += [f"built from {self.source}"] if self.source else []
        lines += [f"built from the ref {self.ref}"] if self.ref else []
        lines += [f"passed the gate {gate}" for gate in self.gates]
        lines += [f"built at most {self.max_age} ago"] if self.max_age else []
        return lines + ["rebuilt to the same digest"] * self.rebuilt

    @property
    def of_provenance(self) -> bool:
        """Whether the provenance has to be read."""
        return bool(self.provenance or self.source or self.ref or self.max_age)


_WORDS = {"provenance", "sbom", "rebuilt"}
_VALUES = {"source": "source", "ref": "ref", "max-age": "max_age"}

Require = Annotated[list[str], Option(metavar="REQUIREMENT")]
"""Terms of `of_terms`, and `block:NAME` of saved policies."""
