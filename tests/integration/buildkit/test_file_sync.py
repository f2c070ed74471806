"""What the daemon gets from us is what it gets from docker buildx: the same files, the same cache keys."""

from __future__ import annotations

import os
import random
import socket
import subprocess
from pathlib import Path

import pytest

from tests.contract.buildkit.parts import Engine, build
from tests.integration.buildkit.buildx import buildx, copy_everything
from tests.integration.buildkit.trees import listing, make_tree


def own_tree(folder: Path) -> Path:
    # buildx tells contexts apart by their last component: trees of one name would be sent as changes to each other.
    return folder / folder.name


_PATTERNS = (
    *("a", "a/", "*.log", "**/*.log", "!**/y.log", "src", "!src/a", "**/node_modules", "a*", "!a.b", "?", "*/a"),
    *("**", "!b", "src/**", "!src/**/a", "[ab]", "[^a]", "\\[x\\]", "with space", "ünï", "!ünï/**", "**/a/**", "/b"),
    *(".hidden", "./A", "a/../b", "star\\*", "*", "!*.log", "!src/*/x.log", "# a comment", "", "  b  "),
)


@pytest.mark.parametrize("seed", range(6))
async def test_same_tree_same_files(engine: Engine, tmp_path: Path, seed: int) -> None:
    """A tree we sent comes out of the daemon as it is on disk: contents, modes, times, links, all names."""
    tree = own_tree(tmp_path)
    make_tree(tree, seed)
    dockerfile = copy_everything(tmp_path)
    await build(engine.address, tree, dockerfile=dockerfile)
    out = tmp_path / "out"
    assert buildx(engine, tree, dockerfile, f"type=local,dest={out}"), "buildx sent the files itself"
    (copied,) = out.iterdir()
    assert listing(copied) == listing(tree)


@pytest.mark.parametrize("seed", range(6, 10))
async def test_same_tree_same_cache_key(engine: Engine, tmp_path: Path, seed: int) -> None:
    """A tree that buildx built is fully cached for us."""
    tree = own_tree(tmp_path)
    make_tree(tree, seed)
    dockerfile = copy_everything(tmp_path)
    assert not buildx(engine, tree, dockerfile)
    outcome = await build(engine.address, tree, dockerfile=dockerfile)
    assert (outcome.steps, outcome.cached_steps) == (1, 1)


@pytest.mark.parametrize("seed", range(16))
async def test_same_ignore_same_cache_key(engine: Engine, tmp_path: Path, seed: int) -> None:
    """Any .dockerignore picks the same files for us as for buildx."""
    dice = random.Random(seed)
    tree = own_tree(tmp_path)
    make_tree(tree, seed, size=25)
    ignore = "\n".join(dice.choices(_PATTERNS, k=dice.randint(1, 5))) + "\n"
    (tree / ".dockerignore").write_text(ignore)
    dockerfile = copy_everything(tmp_path)
    await build(engine.address, tree, dockerfile=dockerfile)
    assert buildx(engine, tree, dockerfile), f"different files for {ignore!r}"


async def test_only_what_is_copied_is_sent(engine: Engine, tmp_path: Path) -> None:
    """A Dockerfile that copies a link, a pattern and a file below a link gets what they lead to, as from buildx."""
    tree = own_tree(tmp_path)
    (tree / "real" / "deep").mkdir(parents=True)
    (tree / "real" / "deep" / "file").write_text("1")
    (tree / "real" / "x.conf").write_text("2")
    (tree / "unwanted").write_text("3")
    (tree / "link").symlink_to("real")
    (tree / "file-link").symlink_to("/real/deep/file")
    (tree / "round").symlink_to("round")
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(f"FROM scratch\nCOPY link/deep/file file-link real/*.conf lin* /followed-{os.getpid()}/\n")
    await build(engine.address, tree, dockerfile=dockerfile)
    assert buildx(engine, tree, dockerfile)


async def test_special_files(engine: Engine, tmp_path: Path) -> None:
    """Devices and sockets (as empty files) go through as buildx sends them."""
    tree = own_tree(tmp_path)
    tree.mkdir()
    os.mknod(tree / "null", 0o20666, os.makedev(1, 3))
    os.mknod(tree / "loop", 0o60660, os.makedev(7, 300))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tree / "socket"))
    dockerfile = copy_everything(tmp_path)
    await build(engine.address, tree, dockerfile=dockerfile)
    assert buildx(engine, tree, dockerfile)


async def test_a_large_file_and_many_small_ones(engine: Engine, tmp_path: Path) -> None:
    """Transfers that do not fit into any window arrive whole, and unchanged files are not sent again."""
    tree = own_tree(tmp_path)
    tree.mkdir()
    with (tree / "large").open("wb") as large:
        for _ in range(16):
            large.write(os.urandom(1 << 20))
    for number in range(1500):
        folder = tree / f"d{number % 30}"
        folder.mkdir(exist_ok=True)
        (folder / f"f{number}").write_text(f"{number}\n" * 50)
    dockerfile = copy_everything(tmp_path)
    await build(engine.address, tree, dockerfile=dockerfile)
    out = tmp_path / "out"
    assert buildx(engine, tree, dockerfile, f"type=local,dest={out}")
    (copied,) = out.iterdir()
    assert subprocess.run(["diff", "-r", tree, copied], check=False).returncode == 0
