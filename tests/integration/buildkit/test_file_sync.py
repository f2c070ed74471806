"""What the daemon gets from us is what it gets from docker buildx: the same files, the same cache keys."""

from __future__ import annotations

import os
import random
import socket
import subprocess
from pathlib import Path

import pytest

from prefect_slipway.infra.buildkit.session.sources import SecretEnv
from tests.contract.buildkit.parts import BASE, Engine, build, busybox_context
from tests.integration.buildkit.buildx import buildx, copy_everything
from tests.integration.buildkit.trees import listing, make_tree


def own_tree(folder: Path) -> Path:
    # buildx tells contexts apart by their last component: trees of one name would be sent as changes to each other.
    return folder / folder.name


async def is_cached(engine: Engine, tree: Path, dockerfile: Path) -> bool:
    outcome = await build(engine.address, tree, dockerfile=dockerfile)
    return outcome.cached_steps == outcome.steps


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
    """A tree that buildx built is fully cached for us, and the other way round."""
    tree = own_tree(tmp_path)
    make_tree(tree, seed)
    for first in ("buildx", "slipway"):
        dockerfile = copy_everything(tmp_path)
        if first == "buildx":
            assert not buildx(engine, tree, dockerfile)
            assert await is_cached(engine, tree, dockerfile)
        else:
            assert not await is_cached(engine, tree, dockerfile)
            assert buildx(engine, tree, dockerfile)


@pytest.mark.parametrize("seed", range(16))
async def test_same_ignore_same_cache_key(engine: Engine, tmp_path: Path, seed: int) -> None:
    """Any .dockerignore, the context's or the Dockerfile's own, picks the same files for us as for buildx, whoever
    comes first."""
    dice = random.Random(seed)
    tree = own_tree(tmp_path)
    make_tree(tree, seed, size=25)
    ignore = "\n".join(dice.choices(_PATTERNS, k=dice.randint(1, 5))) + "\n"
    dockerfile = copy_everything(tmp_path)
    if seed % 4 < 2:
        (tree / ".dockerignore").write_text(ignore)
    else:
        (tree / ".dockerignore").write_text("*\n")  # the other one goes first
        dockerfile.with_name(f"{dockerfile.name}.dockerignore").write_text(ignore)
    if seed % 2:
        buildx(engine, tree, dockerfile)
        assert await is_cached(engine, tree, dockerfile), f"different files for {ignore!r}"
    else:
        await build(engine.address, tree, dockerfile=dockerfile)
        assert buildx(engine, tree, dockerfile), f"different files for {ignore!r}"


@pytest.mark.parametrize("first", ["buildx", "slipway"])
async def test_a_whole_build_is_shared(engine: Engine, tmp_path: Path, first: str) -> None:
    """Stages, arguments, RUN steps with mounts, further contexts and options have the same cache keys."""
    tree, other = own_tree(tmp_path), tmp_path / "other"
    other.mkdir()
    (other / "file").write_text("other")
    folder = busybox_context(
        tree,
        BASE.replace("scratch", "scratch AS base")
        + f"ARG WHO\nENV WHO=$WHO OWN={tmp_path.name}\nWORKDIR /work\nCOPY --from=other file .\n"
        + 'RUN --mount=type=secret,id=s --mount=type=cache,target=/c ["/bin/busybox", "sh", "-c", "echo $WHO > /who"]\n'
        + "FROM scratch AS final\nCOPY --from=base --chown=1:2 /who /\nLABEL a=b\nADD Dockerfile /d\n",
    )
    options = [
        *("--build-arg", "WHO=me", "--label", "x=y", "--target", "final", "--network", "none"),
        *("--build-context", f"other={other}", "--secret", "id=s,env=HOME", "--add-host", "h.test:192.0.2.1"),
        *("--shm-size", "65536k", "--ulimit", "nofile=100:200", "--platform", "linux/amd64"),
    ]

    async def ours() -> bool:
        outcome = await build(
            engine.address,
            folder,
            build_args={"WHO": "me"},
            labels={"x": "y"},
            target="final",
            contexts={"other": other},
            secrets={"s": SecretEnv("HOME")},
            add_hosts=(("h.test", "192.0.2.1"),),
            shm_size=65536 << 10,
            ulimits=("nofile=100:200",),
            platforms=("linux/amd64",),
        )
        assert outcome.steps == 6
        return outcome.cached_steps == outcome.steps

    def theirs() -> bool:
        return buildx(engine, folder, folder / "Dockerfile", "type=cacheonly", *options)

    if first == "buildx":
        assert not theirs()
        assert await ours()
    else:
        assert not await ours()
        assert theirs()


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
