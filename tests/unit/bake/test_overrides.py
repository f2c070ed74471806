"""`--set` replaces fields as `docker buildx bake --set` replaces them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from prefect_slipway.flows.bake.read import read_folder
from prefect_slipway.flows.bake.targets import Target, choose
from prefect_slipway.flows.build_options.places import Places
from prefect_slipway.infra.domain.errors import InvalidOption
from tests.unit.bake.test_against_buildx import alike

FILE = """
group "default" { targets = ["app-one", "app-two", "heir"] }
target "_base" {
  args = { A = "1", B = "2" }
  tags = ["r.example/base:1"]
  labels = { "org.example.team" = "x" }
  cache-from = ["type=registry,ref=r.example/c"]
  platforms = ["linux/amd64"]
  secret = ["id=token,env=TOKEN"]
  attest = ["type=sbom"]
  annotations = ["a=1"]
  no-cache-filter = ["s"]
  ulimits = ["nofile=1"]
}
target "app-one" {
  inherits = ["_base"]
  args = { B = "3" }
}
target "app-two" {
  tags = ["r.example/two:1"]
  output = ["type=image"]
  contexts = { base = "target:_base" }
}
target "heir" { inherits = ["app-one"] }
"""


@pytest.mark.parametrize(
    "sets",
    [
        ["app-one.args.A=9"],
        ["app-one.args.NEW=a=b,c"],
        ["*.args.A="],
        ["app-*.args.A=x", "app-two.args.A=y"],
        ["app-[no]*.target=t"],
        ["_base.args.B=below"],
        ["app-one.args.B=inherited"],
        ["*.tags=r.example/all:1", "*.tags=r.example/all:2"],
        ["app-one.tags="],
        ["*.platform=linux/arm64"],
        ["*.platform=linux/arm64,linux/amd64"],
        ["heir.labels.org.example.team=y", "heir.labels.k=v"],
        ["*.context=sub", "*.dockerfile=D"],
        ["app-two.contexts.base=docker-image://alpine", "app-two.contexts.more=dir"],
        ["app-two.contexts.base="],
        ["*.cache-from=r.example/d", "*.cache-to=type=inline"],
        ["*.secrets=id=other,src=file"],
        ["*.output=type=tar,dest=x.tar"],
        ["app-two.push=true"],
        ["app-one.push=true"],
        ["*.no-cache=true", "*.pull=1", "app-one.pull=t"],
        ["*.shm-size=64m"],
        ["*.attest=type=provenance,mode=max"],
        ["*.no-cache=maybe"],
        ["*.nothing=1"],
        ["nobody.args.A=1"],
        ["app-*x.args.A=1"],
        ["args.A"],
        ["app-one"],
        ["app-one.args=1"],
        ["app-one.tags"],
        ["app-one.contexts=1"],
    ],
    ids=" ".join,
)
def test_what_is_set_is_what_buildx_sets(tmp_path: Path, sets: list[str]) -> None:
    (tmp_path / "file").write_text("a secret")
    alike(tmp_path, {"docker-bake.hcl": FILE}, sets=sets)


def read(folder: Path, *sets: str) -> Target:
    (folder / "docker-bake.hcl").write_text(FILE)
    return choose(read_folder(Places.of(folder, None, ()), [], {}), ["app-one"], sets).targets["app-one"]


@pytest.mark.parametrize(
    ("sets", "field", "value"),
    [
        (["*.tags+=r.example/b"], "tags", ("r.example/base:1", "r.example/b")),
        (["*.tags=r.example/a", "*.tags+=r.example/b"], "tags", ("r.example/base:1", "r.example/a", "r.example/b")),
        (["*.platform+=linux/arm64"], "platforms", ("linux/amd64", "linux/arm64")),
        (["*.cache-from+=r.example/d"], "cache_from", ("type=registry,ref=r.example/c", "r.example/d")),
        (["*.output+=type=oci,dest=o"], "outputs", ("type=oci,dest=o",)),
        (["*.secrets+=id=b,src=f"], "secrets", ("id=token,env=TOKEN", "id=b,src=f")),
        (["*.secret.token=src=file"], "secrets", ("id=token,src=file",)),
        (["*.secret.token=id=token,env=T"], "secrets", ("id=token,env=T",)),
        (["*.ssh=default", "*.ssh+=key=path"], "ssh", ("default", "key=path")),
        (["*.ulimits=core=1"], "ulimits", ("core=1",)),
        (["*.ulimits+=core=1"], "ulimits", ("nofile=1", "core=1")),
        (["*.no-cache-filter=t"], "no_cache_filter", ("t",)),
        (["*.attest=type=sbom,disabled=true"], "attest", ("type=sbom,disabled=true",)),
        (["*.entitlements=network.host"], "entitlements", ("network.host",)),
        (["*.annotations=b=2"], "annotations", ("a=1", "b=2")),
        (["*.network=none"], "network", "none"),
        (["*.extra-hosts.db=10.0.0.1"], "extra_hosts", {"db": "10.0.0.1"}),
        (["*.resources.memory=1g"], "resources", {"memory": "1g"}),
        (["*.load=true"], "outputs", ("type=docker",)),
        (["*.output=type=tar,dest=t", "*.load=true", "*.push=true"], "outputs", ("type=tar,dest=t",)),
        (["*.output=type=registry", "*.push=false"], "outputs", ()),
        (["*.output=type=image", "*.push=false"], "outputs", ("type=image,push=false",)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_newer_versions_set(tmp_path: Path, sets: list[str], field: str, value: Any) -> None:
    """`AddOverrides` in bake/bake.go of buildx 0.30; the installed one does not know it."""
    assert getattr(read(tmp_path, *sets), field) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("app-one.arg.A=1", "there is no key 'arg'; did you mean args?"),
        ("app-on.args.A=1", "no target is called 'app-on'; did you mean app-one?"),
        ("app-one.args.A+=1", "args is not a list to add to"),
        ("app-one.labels=1", "app-one.labels.NAME=VALUE"),
        ("app-one.tags.x=1", "app-one.tags=VALUE"),
        ("app-one.secret.nosuch=src=f", "has no secret 'nosuch'"),
        ("app-one.secret.token=id=x,src=f", "the id is another one"),
        ("app-one.pull=maybe", "neither true nor false"),
        ("app-one.call=check", "is not supported in a release"),
    ],
)
def test_what_cannot_be_set_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidOption, match=said.replace("?", r"\?")) as caught:
        read(tmp_path, text)
    assert text in str(caught.value)


def test_targets_by_a_pattern(tmp_path: Path) -> None:
    (tmp_path / "docker-bake.hcl").write_text(FILE)
    found = choose(read_folder(Places.of(tmp_path, None, ()), [], {}), ["app-*"])
    assert found.wanted == ("app-one", "app-two")
    with pytest.raises(InvalidOption, match="no target or group"):
        choose(read_folder(Places.of(tmp_path, None, ()), [], {}), ["nobody-*"])
