"""What an image must have to be trusted, as `slipway verify`, `--require` and a saved policy ask for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Self

from prefect_slipway.blocks.requirements import RequiredOfAnImage
from prefect_slipway.flows.request.model import Option, Request
from prefect_slipway.infra.domain.errors import InvalidOption

PEM = "-----BEGIN "
"""How a key begins that is given as it is, in place of where it is."""


class Requirements(RequiredOfAnImage, Request):
    """Trusted keys, and what they must have signed. (Prefect takes a value that has `keys` for a mapping.)"""

    @classmethod
    def of_terms(cls, texts: Iterable[str]) -> Self:
        """As `--require` gives them, one each: a key, `provenance`, `gate=NAME`. Raises InvalidOption."""
        values: dict[str, Any] = {"trusted_keys": [], "gates": []}
        for text in texts:
            name, equals, value = text.partition("=")
            if text in _WORDS:
                values[text] = True
            elif equals and name in _VALUES:
                if values.setdefault(_VALUES[name], value) != value:
                    # Not repeated: an address may hold a password.
                    raise InvalidOption(f"{name}= is required twice, with two values", action="require it once")
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
