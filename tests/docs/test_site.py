"""The site: `make check` builds it strictly (links, headings, navigation); here, what it is made of."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs import site_address
from tests.docs.pages import ROOT

# What a browser fetches by itself; a link is followed by people only.
FETCHED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[^>]*>"
    r"|<link\b[^>]*\brel=\"(?:stylesheet|icon|preload|preconnect)\"[^>]*>"
)
MKDOCS = (Path(sys.executable).with_name("mkdocs"), "build", "--strict")


def build(tree: Path, to: Path) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [*MKDOCS, "--config-file", tree / "mkdocs.yml", "--site-dir", to]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True, check=False)


def test_the_site_needs_no_other_host(tmp_path: Path) -> None:
    """Pages, styles and pictures come from the site itself, so that it works in an air gap."""
    done = build(ROOT, tmp_path)
    assert done.returncode == 0, done.stderr
    pages = sorted(tmp_path.rglob("*.html"))
    assert len(pages) > 40
    here = site_address.newest().removesuffix("latest/")
    assert f'<link rel="canonical" href="{here}get-started/">' in (tmp_path / "get-started/index.html").read_text()
    for page in pages:
        for match in FETCHED.finditer(page.read_text()):
            assert not re.search(r"=\"?(?:https?:)?//", match[0]), (page, match[0])
    for file in [*tmp_path.rglob("*.css"), *tmp_path.rglob("*.svg")]:
        assert not re.search(r"url\([\"']?(?:https?:)?//|@import", file.read_text()), file


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("index.md", "[nowhere](nowhere.md)"),
        ("index.md", "[no such heading](get-started.md#nowhere)"),
        ("index.md", "![no such picture](assets/nowhere.png)"),
        ("forgotten.md", "# A page that no menu has"),
        ("index.md", '--8<-- "nowhere.md"'),
    ],
)
def test_a_broken_link_fails_the_build(name: str, text: str, tmp_path: Path) -> None:
    """As does a page outside of the navigation, and a file that a page includes and that does not exist."""
    tree = tmp_path / "docs"
    tree.mkdir()
    (tree / "index.md").write_text("# Home\n")
    (tree / "get-started.md").write_text("# Get started\n")
    config = (ROOT / "mkdocs.yml").read_text()
    nav = "nav:\n  - Home: index.md\n  - Get started: get-started.md\n"
    config = re.sub(r"^nav:\n(?: .*\n)+", nav, config, flags=re.MULTILINE)
    config = re.sub(r"^(?:extra_css|hooks): .*\n", "", config, flags=re.MULTILINE)
    (tmp_path / "mkdocs.yml").write_text(config)
    assert build(tmp_path, tmp_path / "site").returncode == 0
    with (tree / name).open("a") as page:
        page.write(f"\n{text}\n")
    assert build(tmp_path, tmp_path / "site").returncode != 0
