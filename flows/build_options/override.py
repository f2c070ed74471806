"""What `docker buildx bake --set` takes: `TARGET.KEY=VALUE`.

Keys: `newOverrides` and `AddOverrides` in bake/bake.go (docker/buildx).
"""

from __future__ import annotations

from typing import NamedTuple, Self

from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.near import meant

TEXTS = ("context", "dockerfile", "target", "network", "shm-size", "call")
FLAGS = ("pull", "no-cache")
MAPS = ("args", "contexts", "labels", "extra-hosts", "resources")
# Lists, and the fields of a file that they are.
LISTS = {
    **{key: key for key in ("tags", "cache-from", "cache-to", "ssh", "attest", "output", "entitlements")},
    **{key: key for key in ("annotations", "no-cache-filter", "ulimits", "policy")},
    "platform": "platforms",
    "secrets": "secret",
}
OUTPUTS = ("push", "load")
_KEYS = (*TEXTS, *FLAGS, *MAPS, *LISTS, *OUTPUTS, "secret")


class Override(NamedTuple):
    """`text`: as it is written. `name`: of an entry, as in `args.NAME`. `added`: to what is there."""

    text: str
    pattern: str
    key: str
    name: str
    value: str
    added: bool

    @classmethod
    def read(cls, text: str) -> Self:
        """`TARGET.KEY[.NAME][+]=VALUE`. Raises InvalidOption."""
        left, equals, value = text.partition("=")
        pattern, _, rest = left.removesuffix("+").partition(".")
        key, _, name = rest.partition(".")
        if not pattern or not key or not equals:
            raise InvalidOption(f"--set {text!r} is not TARGET.KEY=VALUE", action="write e.g. app.args.GO=1.22")
        if key not in _KEYS:
            raise InvalidOption(
                f"--set {text!r}: there is no key {key!r}{meant(key, _KEYS)}",
                action=f"use one of {', '.join(sorted(_KEYS))}",
            )
        if bool(name) != (key in {*MAPS, "secret"}):
            wanted = f"{pattern}.{key}=VALUE" if name else f"{pattern}.{key}.NAME=VALUE"
            raise InvalidOption(f"--set {text!r} is not TARGET.KEY=VALUE", action=f"write {wanted}")
        added = left.endswith("+")
        if added and key not in LISTS:
            raise InvalidOption(f"--set {text!r}: {key} is not a list to add to", action=f"write {left[:-1]}=…")
        return cls(text, pattern, key, name, value, added)
