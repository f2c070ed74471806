"""A monorepo of components."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

from tests.git_repository import commit, make_repository
from tests.releases import BASE, make_source


def make_shop(folder: Path, release_file: str, below: Mapping[str, str]) -> Path:
    """base, what stands on another component (`below`), and web alone; its name is the caller's own."""
    shop = make_repository(folder / f"shop-{uuid4().hex[:8]}", {"slipway.toml": release_file})
    make_source(shop / "base", BASE + "COPY message /base\n")
    (shop / "base/message").write_text("one")
    for name, base in below.items():
        (shop / name).mkdir()
        (shop / name / "Dockerfile").write_text(f"FROM {base}\nCOPY message /{name}\n")
        (shop / name / "message").write_text(name)
    make_source(shop / "web", BASE)
    commit(shop, "feat: the components", {})
    return shop
