"""The members of workspaces, as their own tools see them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from prefect_slipway.flows.components.workspaces import Member, members
from prefect_slipway.infra.domain.errors import ReleaseFileInvalid
from tests.unit.components.conftest import Shop

NPM = {
    "package.json": '{"name": "root", "workspaces": ["packages/*", "{sites,apps}/{web,x}", "!packages/{old,older}"]}',
    "packages/ui/package.json": '{"name": "@shop/ui", "version": "1.0.0", "dependencies": {"left-pad": "1"}}',
    "packages/old/package.json": '{"name": "@shop/old", "version": "1.0.0"}',
    "packages/none/readme": "no manifest",
    "apps/web/package.json": '{"name": "web", "version": "1.0.0", "devDependencies": {"@shop/ui": "*"}}',
}
UV = {
    "pyproject.toml": '[project]\nname = "Shop"\ndependencies = ["lib.core"]\n'
    '[tool.uv.workspace]\nmembers = ["libs/*"]\nexclude = ["libs/old"]\n',
    "libs/core/pyproject.toml": '[project]\nname = "lib_core"\ndependencies = ["httpx>=0.28; extra == \'x\'"]\n',
    "libs/old/pyproject.toml": '[project]\nname = "old"\n',
    "libs/api/pyproject.toml": '[project]\nname = "api"\ndependencies = ["Lib-Core[all] >= 1"]\n'
    '[dependency-groups]\ndev = ["shop", {include-group = "x"}]\nx = []\n[tool.uv]\ndev-dependencies = ["tool"]\n',
    "libs/tool/pyproject.toml": '[project]\nname = "tool"\n',
}
CARGO = {
    "Cargo.toml": '[workspace]\nmembers = ["crates/*"]\nexclude = ["crates/old"]\nresolver = "2"\n'
    '[workspace.dependencies]\ncore_lib = { path = "crates/core" }\n',
    "crates/core/Cargo.toml": '[package]\nname = "core_lib"\nversion = "0.1.0"\nedition = "2021"\n',
    "crates/core/src/lib.rs": "",
    "crates/api/Cargo.toml": '[package]\nname = "api"\nversion = "0.1.0"\nedition = "2021"\n'
    "[dependencies]\ncore_lib = { workspace = true }\n[target.'cfg(unix)'.dev-dependencies]\n"
    'tool = { path = "../tool", package = "tool-x" }\n',
    "crates/api/src/lib.rs": "",
    "crates/tool/Cargo.toml": '[package]\nname = "tool-x"\nversion = "0.1.0"\nedition = "2021"\n'
    '[dependencies]\ndeep = { path = "../../more/deep" }\n',
    "more/deep/Cargo.toml": '[package]\nname = "deep"\nversion = "0.1.0"\nedition = "2021"\n'
    '[build-dependencies]\ndeeper = { path = "../deeper" }\n',
    "more/deep/src/lib.rs": "",
    "more/deeper/Cargo.toml": '[package]\nname = "deeper"\nversion = "0.1.0"\nedition = "2021"\n',
    "more/deeper/src/lib.rs": "",
    "crates/tool/src/lib.rs": "",
    "crates/old/Cargo.toml": '[package]\nname = "old"\nversion = "0.1.0"\nedition = "2021"\n',
    "crates/old/src/lib.rs": "",
}
GO = {
    "go.work": "go 1.22 // ours\n\nuse ./api\nuse (\n\t./lib/core // the core\n\t./tools\n\t.\n)\n",
    "go.mod": "module example.com/shop\nrequire example.com/shop/core/v2 v2.0.0\n",
    "api/go.mod": "module example.com/shop/api\n\nrequire (\n\texample.com/shop/core/v2 v2.0.0\n\tx.org/n v0\n)\n",
    "lib/core/go.mod": "module example.com/shop/core/v2\n",
    "tools/go.mod": "module example.com/shop/tools\nrequire example.com/shop/api v0.0.0 // indirect\n",
}
EXPECTED = {
    "npm": (NPM, [Member("ui", "packages/ui"), Member("web", "apps/web", ("packages/ui",))]),
    "uv": (
        UV,
        [
            Member("api", "libs/api", ("libs/core", "libs/tool", "")),
            Member("lib-core", "libs/core"),
            Member("shop", "", ("libs/core",)),
            Member("tool", "libs/tool"),
        ],
    ),
    "cargo": (
        CARGO,
        [
            Member("api", "crates/api", ("crates/core", "crates/tool")),
            Member("core-lib", "crates/core"),
            Member("deep", "more/deep", ("more/deeper",)),
            Member("deeper", "more/deeper"),
            Member("tool-x", "crates/tool", ("more/deep",)),
        ],
    ),
    "go": (
        GO,
        [
            Member("api", "api", ("lib/core",)),
            Member("core", "lib/core"),
            Member("shop", "", ("lib/core",)),
            Member("tools", "tools", ("api",)),
        ],
    ),
}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("kind", EXPECTED)
def test_members_and_their_dependencies(tmp_path: Path, kind: str) -> None:
    files, expected = EXPECTED[kind]
    assert sorted(members(kind, write(tmp_path, files)), key=lambda each: each.name) == expected


@pytest.mark.skipif(shutil.which("cargo") is None, reason="cargo is not installed")
def test_cargo_sees_the_same_members(tmp_path: Path) -> None:
    write(tmp_path, CARGO)
    asked = ["cargo", "metadata", "--no-deps", "--offline", "--format-version=1"]
    told = json.loads(subprocess.run(asked, cwd=tmp_path, check=True, capture_output=True, text=True).stdout)
    ours = {str(tmp_path / each.path / "Cargo.toml") for each in members("cargo", tmp_path)}
    assert {package["manifest_path"] for package in told["packages"]} == ours


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_npm_sees_the_same_members(tmp_path: Path) -> None:
    write(tmp_path, NPM)
    asked = ["npm", "pkg", "get", "name", "--workspaces", "--json"]
    told = json.loads(subprocess.run(asked, cwd=tmp_path, check=True, capture_output=True, text=True).stdout)
    assert {name.rpartition("/")[2] for name in told} == {each.name for each in members("npm", tmp_path)}


@pytest.mark.parametrize(
    ("kind", "name", "text", "said"),
    [
        ("npm", "package.json", "{", "package.json cannot be read"),
        ("npm", "package.json", '{"workspaces": ["../../etc"]}', "outside of it"),
        ("npm", "other", "", "package.json, which describes the workspace, does not exist"),
        ("cargo", "Cargo.toml", "[workspace", "cannot be read"),
        ("go", "go.work", "use ../x\n", "outside of it"),
        ("npm", "package.json", '{"workspaces": ["' + "{a,b}" * 20 + '"]}', "more than 1000 members"),
        ("go", "go.work", "use (\n./a\n./b\n)\n", "are called x: 'a' and 'b'"),
        ("uv", "pyproject.toml", '[tool.uv.workspace]\nmembers = ["/x"]\n', "outside of it"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, kind: str, name: str, text: str, said: str) -> None:
    with pytest.raises(ReleaseFileInvalid, match=said):
        members(kind, write(tmp_path, {name: text, "a/go.mod": "module x\n", "b/go.mod": "module x\n"}))


@pytest.mark.parametrize("text", ["[]", "7", '{"workspaces": 3}', '{"workspaces": {"packages": [1]}}'])
def test_another_shape_has_no_members(tmp_path: Path, text: str) -> None:
    assert members("npm", write(tmp_path, {"package.json": text})) == []


def test_a_manifest_behind_a_link_out_is_not_read(tmp_path: Path) -> None:
    write(tmp_path, {"repository/package.json": '{"workspaces": ["a"]}', "secret/package.json": '{"name": "x"}'})
    (tmp_path / "repository/a").symlink_to(tmp_path / "secret")
    with pytest.raises(ReleaseFileInvalid, match="outside the source"):
        members("npm", tmp_path / "repository")


def test_members_with_a_dockerfile_are_components(shop: Shop) -> None:
    """The others are a part of those that depend on them; a table changes what it says."""
    write(shop.folder, NPM)
    shop.write('workspace = "npm"\n', "apps/web")
    assert shop.versions() == {"web": "0.1.0"}
    shop.tag("web/v1.0.0")
    shop.commit("feat: ui", "packages/ui/index.js")
    assert shop.versions() == {"web": "1.1.0"}
    shop.write('workspace = "npm"\n[components.web]\ntag_prefix = "web@"\n', "packages/ui")
    plan = shop.plan()
    assert [(each.name, each.path, each.tag) for each in plan.components] == [
        ("ui", "packages/ui", "ui/v0.1.0"),
        ("web", "apps/web", "web@0.1.0"),
    ]
    assert plan.rounds() == [["ui"], ["web"]]
