"""Which components are released, why, under which version and in which order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.run.release_file import Allowed, find_release_file, with_release_file
from prefect_slipway.infra.domain.errors import (
    BranchUnknown,
    HistoryIncomplete,
    InvalidOption,
    ReleaseFileInvalid,
    ReleaseFileRefused,
    VersionOutOfLine,
    VersionTaken,
)
from prefect_slipway.infra.source import command
from tests.git_repository import git
from tests.unit.components.conftest import IMAGE, Shop

THREE = """\
[components.api]
depends_on = ["lib", "common"]
[components.lib]
[components.web]
"""


@pytest.fixture
def three(shop: Shop) -> Shop:
    """lib ← api (also built from common), and web; each has a version."""
    shop.commit("chore: common", "common/x")
    shop.write(THREE, "lib", "api", "web")
    shop.tag("lib/v1.0.0", "api/v1.2.3", "web/v0.1.0")
    return shop


def test_a_component_without_a_version_gets_its_first(shop: Shop) -> None:
    """In the order of the dependencies, whatever the file's is."""
    shop.commit("chore: common", "common/x")
    shop.write(THREE, "lib", "api", "web")
    plan = shop.plan()
    assert [each.name for each in plan.components] == ["lib", "web", "api"]
    assert plan.rounds() == [["lib", "web"], ["api"]]
    assert {each.version for each in plan.components} == {"0.1.0"}
    assert [each.image for each in plan.components] == [f"{IMAGE}/lib", f"{IMAGE}/web", f"{IMAGE}/api"]
    assert [each.tag for each in plan.components] == ["lib/v0.1.0", "web/v0.1.0", "api/v0.1.0"]


def test_commits_count_for_what_they_touch(three: Shop) -> None:
    """By their types; a path that a component is built from is one of its own."""
    assert three.versions() == {}
    three.commit("docs: web", "web/readme")
    three.commit("chore: readme", "README")
    assert three.versions() == {}
    three.commit("fix: web", "web/main")
    assert three.versions() == {"web": "0.1.1"}
    three.commit("feat!: common", "common/deep/x")
    assert three.versions() == {"web": "0.1.1", "api": "2.0.0"}
    plan = three.plan()
    assert "breaking change" in next(each.why for each in plan.components if each.name == "api")
    assert three.plan(bump="minor").to_release[0].version == "0.2.0"


def test_a_new_version_is_a_patch_for_what_depends_on_it(three: Shop) -> None:
    """Also where it was released after the component's own last version: a run that failed half-way is finished."""
    three.commit("feat!: lib", "lib/x")
    assert three.versions() == {"lib": "2.0.0", "api": "1.2.4"}
    three.tag("lib/v2.0.0")
    plan = three.plan()
    assert {each.name: each.version for each in plan.to_release} == {"api": "1.2.4"}
    assert plan.to_release[0].why == "lib has a new version"
    three.tag("api/v1.2.4")
    assert three.versions() == {}
    three.commit("docs: nothing", "README")
    assert three.versions() == {}


def test_a_change_of_its_own_counts_more(three: Shop) -> None:
    three.commit("fix: lib", "lib/x")
    three.commit("feat: api", "api/x")
    assert three.versions() == {"lib": "1.0.1", "api": "1.3.0"}


def test_some_of_them_by_name(three: Shop) -> None:
    """With what they depend on; `all` takes the unchanged ones along, but not what this commit has a version of."""
    three.commit("fix: all", "lib/x", "web/x")
    assert three.versions(components={"names": ["web"]}) == {"web": "0.1.1"}
    assert three.versions(components={"names": ["api"]}) == {"lib": "1.0.1", "api": "1.2.4"}
    three.tag("lib/v1.0.1", "api/v1.2.4")
    three.tag("web/v0.1.1")
    assert three.versions(components={"all": True}) == {}
    three.commit("docs: more", "README")
    assert three.versions(components={"all": True}) == {"lib": "1.0.2", "api": "1.2.5", "web": "0.1.2"}
    assert three.versions(components={"names": ["web"]}, version={"exact": "3.0.0"}) == {"web": "3.0.0"}
    with pytest.raises(InvalidOption, match="no component 'wed'; did you mean web"):
        three.plan(components={"names": ["wed"]})
    for wrong in ({"exact": "3.0.0"}, {"tag_prefix": "v"}):
        with pytest.raises(InvalidOption, match="several components"):
            three.plan(version=wrong)


def test_prereleases(three: Shop) -> None:
    three.commit("feat: web", "web/x")
    assert three.versions(version={"prerelease": True}) == {"web": "0.2.0-rc.1"}
    three.tag("web/v0.2.0-rc.1")
    assert three.versions(version={"prerelease": True}) == {}
    assert three.versions() == {"web": "0.2.0"}


def test_channels_and_maintenance_branches(three: Shop) -> None:
    """The branch is the source's, also of a URL with the ref in it; channels may be a component's own."""
    three.git("switch", "--quiet", "--create", "beta")
    three.commit("feat!: web and lib", "web/x", "lib/x")
    channels: dict[str, Any] = {"version": {"channels": {"beta": "beta"}}}
    expected = {"lib": "2.0.0-beta.1", "web": "0.2.0-beta.1", "api": "1.2.4-beta.1"}
    assert three.versions(**channels) == expected
    url = three.folder.as_uri()
    three.git("switch", "--quiet", "--detach")
    assert three.versions(source=f"{url}#beta", **channels) == expected
    assert (
        three.versions(source=url, checkout={"ref": three.git("rev-parse", "beta"), "branch": "beta"}, **channels)
        == expected
    )
    assert three.versions(checkout={"branch": "refs/heads/beta"}, **channels) == expected
    for checkout in ({}, {"branch": "refs/tags/beta"}):
        with pytest.raises(BranchUnknown):
            three.plan(checkout=checkout, **channels)
    three.git("switch", "--quiet", "--create", "release/1.x")
    with pytest.raises(VersionOutOfLine, match=r"release/1\.x takes versions 1\.x only, and this would be 2\.0\.0"):
        three.plan(components={"names": ["lib"]})


def test_files_belong_to_the_inner_component(shop: Shop) -> None:
    """The root takes all that is in no other."""
    shop.write('[components.all]\npath = "."\n[components.api]\npath = "a/api"\n[components.sub]\npath = "a/api/sub"\n',
               "", "a/api", "a/api/sub")  # fmt: skip
    shop.tag("all/v1.0.0", "api/v1.0.0", "sub/v1.0.0")
    shop.commit("fix: sub", "a/api/sub/x")
    assert shop.versions() == {"sub": "1.0.1"}
    shop.commit("feat: api", "a/api/subway")
    assert shop.versions() == {"sub": "1.0.1", "api": "1.1.0"}
    shop.commit("feat!: root", "Makefile")
    assert shop.versions() == {"sub": "1.0.1", "api": "1.1.0", "all": "2.0.0"}


def test_two_components_of_one_directory(shop: Shop) -> None:
    shop.write('[components.app]\n[components.worker]\npath = "app"\nfile = "Dockerfile.worker"\n', "app")
    shop.tag("app/v1.0.0", "worker/v1.0.0")
    shop.commit("fix: both", "app/x")
    assert shop.versions() == {"app": "1.0.1", "worker": "1.0.1"}


def test_a_moved_file_changes_both(three: Shop) -> None:
    three.git("mv", "web/Dockerfile", "lib/Dockerfile.web")
    three.commit("fix: move")
    assert three.versions() == {"lib": "1.0.1", "web": "0.1.1", "api": "1.2.4"}


def test_patterns_in_depends_on(shop: Shop) -> None:
    shop.write('[components.api]\ndepends_on = ["go.*", "proto/**/*.proto"]\n', "api")
    shop.tag("api/v1.0.0")
    shop.commit("fix: not these", "proto/x.md", "a/go.mod")
    assert shop.versions() == {}
    shop.commit("fix: these", "go.sum")
    assert shop.versions() == {"api": "1.0.1"}
    shop.tag("api/v1.0.1")
    shop.commit("feat: these", "proto/deep/x.proto")
    assert shop.versions() == {"api": "1.1.0"}


def test_merges(three: Shop) -> None:
    """A branch's commits count, and those of the merge itself (squashed or not) for what it brought; a tag on another
    branch is none of this history."""
    three.git("checkout", "--quiet", "-b", "topic")
    three.commit("feat: web", "web/x")
    three.tag("web/v0.2.0-beta.1")
    three.git("checkout", "--quiet", "main")
    assert three.versions() == {}
    three.commit("fix: lib", "lib/x")
    three.git("merge", "--quiet", "--no-ff", "-m", "Merge topic", "topic")
    assert three.versions() == {"lib": "1.0.1", "api": "1.2.4", "web": "0.2.0"}
    three.tag("web/v0.2.0", "lib/v1.0.1", "api/v1.2.4")
    three.git("checkout", "--quiet", "-b", "squashed")
    three.commit("wip", "web/y")
    three.commit("wip more", "api/y")
    three.git("checkout", "--quiet", "main")
    three.git("merge", "--quiet", "--squash", "squashed")
    three.git("commit", "--quiet", "-m", "feat: squashed (#7)")
    assert three.versions() == {"web": "0.3.0", "api": "1.3.0"}


def test_a_version_of_another_branch_is_not_passed(three: Shop) -> None:
    three.git("checkout", "--quiet", "-b", "next")
    three.commit("feat: web", "web/x")
    three.tag("web/v0.2.0")
    three.git("checkout", "--quiet", "main")
    three.commit("fix: web", "web/y")
    assert three.versions() == {"web": "0.1.1"}
    three.commit("feat: web", "web/z")
    with pytest.raises(
        VersionTaken, match="0\\.2\\.0 was released from a commit outside this history; the component is web"
    ):
        three.plan()


def test_a_revert_takes_back(three: Shop) -> None:
    three.commit("feat: web", "web/x")
    three.git("revert", "--no-edit", "HEAD")
    assert three.versions() == {}


def test_a_shallow_clone_is_completed(three: Shop, tmp_path: Path) -> None:
    """And named where it cannot be."""
    three.commit("feat: web", "web/x")
    three.commit("fix: web", "web/y")
    clone = Shop(tmp_path / "clone", tmp_path / "home")
    git(tmp_path, "clone", "--quiet", "--depth=1", three.folder.as_uri(), str(clone.folder))
    assert clone.versions() == {"web": "0.2.0"}
    git(tmp_path, "clone", "--quiet", "--depth=1", three.folder.as_uri(), str(tmp_path / "cut"))
    git(tmp_path / "cut", "remote", "remove", "origin")
    with pytest.raises(HistoryIncomplete):
        Shop(tmp_path / "cut", tmp_path / "home").plan()


def test_a_git_url_at_a_ref(three: Shop) -> None:
    """And of a directory in it."""
    three.commit("feat: web", "web/x")
    three.git("branch", "next")
    three.commit("feat!: web", "web/y")
    url = three.folder.as_uri()
    assert [each.version for each in three.plan(url, checkout={"ref": "next"}).to_release] == ["0.2.0"]
    assert [each.version for each in three.plan(f"{url}#next").to_release] == ["0.2.0"]
    three.commit("feat: deep", **{"deep/slipway.toml": "[components.web]\n", "deep/web/Dockerfile": "FROM scratch\n"})
    three.git("tag", "--force", "web/v0.1.0")
    three.commit("fix: deep", "deep/web/x")
    assert [each.version for each in three.plan(url, checkout={"path": "deep"}).to_release] == ["0.1.1"]


def test_a_dockerfile_says_what_it_is_built_on(shop: Shop) -> None:
    """By the image of a component, with or without a tag, also in a context; not by digest."""
    named = f'[components.named.build]\ncontexts = {{ base = "docker-image://{IMAGE}/base:1" }}\n'
    shop.write("[components.app]\n[components.base]\n[components.pinned]\n" + named, "base", "app", "pinned", "named")
    shop.commit(
        "chore: bases",
        **{
            "app/Dockerfile": f"FROM {IMAGE}/base:1 AS x\nFROM x\n",
            "pinned/Dockerfile": f"FROM {IMAGE}/base@sha256:{'0' * 64}\n",
            "named/Dockerfile": "FROM base\n",
        },
    )
    assert shop.plan().rounds() == [["base", "pinned"], ["app", "named"]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[components.a]\ndepends_on = ["b"]\n[components.b]\ndepends_on = ["c"]\n[components.c]\ndepends_on = ["a"]\n',
         "in a circle: a → b → c → a"),
        ('[components.a]\ndepends_on = ["bb"]\n[components.b]\n', r"line 2: a depends on 'bb', .*did you mean b\?"),
        ('[components.a]\ntag_prefix = "v"\n[components.b]\ntag_prefix = "v"\n', "line 3: a and b .* same tag prefix"),
        ('[components.a]\nimage = "r.example/x"\n[components.b]\nimage = "r.example/x"\n', "the same image"),
        ('[components.a]\npath = "nowhere"\n', "line 2: the component a has no directory 'nowhere'"),
        ('[components.a]\npath = "../b"\n', "'../b' is not a path below"),
        ('[components.a]\ndepends_on = ["../b"]\n', "'../b' is not a path below"),
        ('[components.A]\n', "cannot be a component's name"),
        ("[components]\na = 1\n", r"write \[components\.a\]"),
        ('[components.a]\nimagge = "x"\n', r"line 2: `components\.a\.imagge` is not a key; did you mean image\?"),
        ('[components.a.build]\ntraget = "x"\n', "did you mean target"),
        ('workspace = "nmp"\n', "no workspace 'nmp'; did you mean npm"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_line(shop: Shop, text: str, said: str) -> None:
    shop.write(text, "a", "b", "c")
    with pytest.raises(ReleaseFileInvalid, match=said):
        shop.plan()


def test_a_source_without_git_has_no_components(tmp_path: Path) -> None:
    (tmp_path / "app/a").mkdir(parents=True)
    (tmp_path / "app/slipway.toml").write_text("[components.a]\n")
    with pytest.raises(InvalidOption, match="git repository"):
        Shop(tmp_path / "app", tmp_path / "home").plan()


def test_images_need_permission_for_each_component(shop: Shop) -> None:
    """Also the place that a component's name adds to, and whoever named it; a pattern holds for all."""
    shop.write(
        'image = "r.example/team"\n[components.api]\n[components.web]\nimage = "r.example/other/web"\n', "api", "web"
    )
    with pytest.raises(ReleaseFileRefused, match=r"line 4: .*`components\.web\.image`"):
        shop.plan(image=None, config={"allow": ["image=r.example/team/*"]})
    with pytest.raises(ReleaseFileRefused, match=r"line 2: .*`components\.api\.image`") as refused:
        shop.plan(image=None, config={"allow": ["image=r.example/other/*"]})
    assert refused.value.details == "slipway.toml, line 2: components.api.image = r.example/team/api"
    allow = ["image=r.example/team/*", "image=r.example/other/*"]
    assert [each.image for each in shop.plan(image=None, config={"allow": allow}).components] == [
        "r.example/team/api",
        "r.example/other/web",
    ]
    with pytest.raises(ReleaseFileRefused):
        shop.plan(config={"allow": []})
    shop.write(
        '[components.api.trust]\nsign = ["vault:transit/a"]\n[components.api.credentials]\nregistries = ["vault:b/c"]\n'
    )
    with pytest.raises(ReleaseFileRefused) as refused:
        shop.plan()
    assert "components.api.trust.sign = vault:transit/a" in refused.value.details
    assert "components.api.credentials.registries = vault:b/c" in refused.value.details


def test_git_runs_as_often_for_many_as_for_few(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"c{number}" for number in range(60)]
    shop.write("".join(f"[components.{name}]\n" for name in names), *names)
    shop.tag(*(f"{name}/v1.0.0" for name in names))
    shop.commit("fix: all", *(f"{name}/x" for name in names))
    runs: list[tuple[str, ...]] = []
    real = vars(command)["child_process"]

    def counted(*args: str, **options: object) -> object:
        runs.append(args)
        return real(*args, **options)

    monkeypatch.setattr(command, "child_process", counted)
    assert set(shop.versions().values()) == {"1.0.1"} and len(runs) <= 16


def test_components_are_not_a_set() -> None:
    with pytest.raises(InvalidOption, match="bake"):
        ReleaseRequest.read({"bake": {}, "components": {"names": ["a"]}})


def test_what_was_trusted_in_a_checkout_needs_no_option(shop: Shop, tmp_path: Path) -> None:
    """As it was then: another image of one component must be allowed again."""
    home, env = tmp_path / "home", {"SLIPWAY_HOME": str(tmp_path / "home")}
    request = ReleaseRequest.read({"source": str(shop.folder)})

    def planned(text: str, *, trust: bool = False) -> list[str | None]:
        shop.write(text, "api")
        file = find_release_file(request, shop.folder)
        assert file is not None
        if trust:
            Allowed(home).remember(shop.folder, file)
        asked = with_release_file(request, env).model_dump(exclude_unset=True)
        return [each.image for each in shop.plan(**{"image": None, "config": {}, **asked}).components]

    text = 'image = "r.example/team"\n[components.api]\n'
    with pytest.raises(ReleaseFileRefused):
        planned(text)
    assert planned(text, trust=True) == ["r.example/team/api"]
    with pytest.raises(ReleaseFileRefused):
        planned(text + 'image = "r.example/elsewhere"\n')
