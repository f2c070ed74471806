"""slipway.toml: what may stand in it, what of it counts, and what is said of the rest."""

from __future__ import annotations

import asyncio
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # Prefect's
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.flows.cli import main
from prefect_slipway.flows.components.described import components
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.request.release_file import FREE, MAX_BYTES, NOT_IN_FILE, ReleaseFile, section
from prefect_slipway.flows.request.release_schema import release_schema
from prefect_slipway.flows.run.first_release_file import first_release_file, look
from prefect_slipway.flows.run.release_file import Allowed, find_release_file, with_release_file
from prefect_slipway.infra.domain.errors import InvalidOption, ReleaseFileInvalid, ReleaseFileRefused
from tests.docs.pages import GUIDES, blocks
from tests.git_repository import commit, git, make_repository

WHOLE = """\
image = "registry.example/team/app"
bump = "auto"
platforms = ["linux/amd64"]
build_args = { A = "file", B = "file" }

[build]
labels = { team = "core" }
no_cache = true

[credentials]
registries = ["vault:secret/team/registry"]
"""


def read(text: str) -> ReleaseFile:
    return ReleaseFile.read(text, "slipway.toml")


def values(text: str, *allow: str, **given: Any) -> dict[str, Any]:
    return read(text).applied(ReleaseRequest.read(given), allow).model_dump(exclude_unset=True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('imagee = "x"', "line 1: `imagee` is not a key; did you mean image?"),
        ('\n[buld]\ntarget = "x"', "line 2: `buld` is not a key; did you mean build?"),
        ('[build]\n\ntaget = "x"', "line 3: `build.taget` is not a key; did you mean target?"),
        ('build = "x"', "line 1: `build` is a table: write [build]"),
        ('[build.args]\nA = "x"', "line 1: `build.args` is not a key; did you mean build_args?"),
        ("[bake]\nfile = 3", "line 2: `bake.file` is not a key; did you mean files?"),
        ('source = "x"', "line 1: `source` cannot be chosen by the release file"),
        ('[checkout]\nref = "x"', "line 1: `checkout` cannot be chosen by the release file"),
        ('[config]\nallow = ["*"]', "line 1: `config` cannot be chosen by the release file"),
        ('[credentials]\nvault = "block:x"', "line 2: `credentials.vault` cannot be chosen by the release file"),
        ("[build]\nlabels = 3", "line 2: build.labels must be fields with values"),
        ("[version]\nexact = 1.2", "line 2: version.exact must be text"),
        ('[version]\nexact = "1.2"', "line 2: '1.2' is not a semantic version"),
        ('platforms = ["linux/arm65"]', "line 1: there is no platform 'linux/arm65'"),
        ('bump = "huge"', "line 1: bump must be 'major', 'minor', 'patch', 'prerelease' or 'auto'"),
        ("a =", "is not valid TOML: Invalid value (at end of document)"),
        ("bump = 'auto'\nbump = 'minor'\n", "is not valid TOML: Cannot overwrite a value (at line 2, column 15)"),
        (f"build_args = {'[' * 20_000}", "is not valid TOML: is nested too deeply"),
        ('[builder]\ncert = "a.pem"', "--builder-cert and --builder-key must be used together"),
        ('build_args = { A = "https://u:p@host/" }', "line 1: "),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, said: str) -> None:
    with pytest.raises(ReleaseFileInvalid) as raised:
        read(text).applied(ReleaseRequest(), ["*"])
    assert said in raised.value.cause and "u:p" not in str(raised.value)


def test_the_request_wins_over_the_file_and_tables_are_joined() -> None:
    """What somebody sets counts even if it is the default."""
    found = values(WHOLE, "*", bump="minor", build_args={"A": "given"}, build={"no_cache": False})
    assert found["bump"] == "minor" and found["platforms"] == ["linux/amd64"]
    assert found["build_args"] == {"A": "given", "B": "file"}
    assert found["build"] == {"labels": {"team": "core"}, "no_cache": False}
    assert values(WHOLE, "*")["build"]["no_cache"] is True


def test_the_same_file_twice_changes_nothing() -> None:
    """The command line and the flow both read a directory's."""
    once = read(WHOLE).applied(ReleaseRequest(), ["*"])
    assert read(WHOLE).applied(once, []) == once


@pytest.mark.parametrize(
    ("text", "allow", "refused"),
    [
        ('image = "registry.example/team/app"', [], "`image`"),
        ('image = "registry.example/team/app"', ["image=registry.example/team/*"], ""),
        ('image = "registry.example/other/app"', ["image=registry.example/team/*"], "`image`"),
        (WHOLE, ["image"], "`credentials.registries`"),
        (WHOLE, ["image", "credentials=vault:secret/team/*"], ""),
        (WHOLE, ["image", "credential=vault:*", "cred"], "`credentials.registries`"),
        ('[credentials]\nregistries = ["vault:a/b", "vault:c/d"]', ["credentials.registries=vault:a/*"], "regist"),
        ('[trust]\nsign = ["vault:transit/release"]', [], "`trust.sign`"),
        ('[trust]\nsign = ["vault:transit/release"]', ["trust.sign=vault:transit/release"], ""),
        ('[build]\nallow = ["network.host"]', ["build.allow=ssh"], "`build.allow`"),
        ('[build]\nnetwork = "none"', [], ""),
        ('[build]\nprovenance = "off"', [], "`build.provenance`"),
        ("[approval]\nrequired = false", [], "`approval.required`"),
        ('[builder]\naddress = "tcp://10.0.0.1:1234"', [], "`builder.address`"),
        ('[bake]\ntargets = ["a"]', [], "`bake.targets`"),
        ('[bake]\ntargets = ["a"]', ["bake"], ""),
    ],
)
def test_what_leads_out_of_the_source_needs_permission(text: str, allow: list[str], refused: str) -> None:
    file = read(text)
    if not refused:
        file.applied(ReleaseRequest(), allow)
        return
    with pytest.raises(ReleaseFileRefused, match=refused) as raised:
        file.applied(ReleaseRequest(), allow)
    assert "--config-allow" in raised.value.action and "slipway.toml, line " in raised.value.details


def test_what_the_request_chooses_itself_needs_no_permission() -> None:
    assert values('image = "registry.example/team/app"', image="registry.example/mine")["image"].endswith("mine")


def test_a_new_field_needs_permission() -> None:
    """Each key is free by name, so that a field that is added later is not."""
    known = set()
    for name in ReleaseRequest.model_fields:
        inner = section(ReleaseRequest, name)
        known |= {f"{name}.{key}" for key in inner.model_fields} if inner is not None else {name}
    assert known >= FREE and not FREE & NOT_IN_FILE
    assert not any(
        word in key for key in FREE for word in ("secret", "ssh", "allow", "cred", "sign", "cache_to", "output")
    )


@given(st.text(max_size=80) | st.text(alphabet='[]"=.{},\n abimgeuld123', max_size=60))
def test_any_text_is_read_or_refused_by_name(text: str) -> None:
    try:
        read(text).applied(ReleaseRequest(), [])
    except (ReleaseFileInvalid, ReleaseFileRefused) as error:
        assert error.cause.startswith("slipway.toml")


def test_the_schema_takes_what_is_read_and_nothing_else() -> None:
    schema = release_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema)
    assert check.is_valid(tomllib.loads(WHOLE))
    for wrong in ('imagee = "x"', "[build]\nlabels = 3", "[checkout]\nref = 'x'", 'bump = "huge"', "[bake]\nfile = 3"):
        assert not check.is_valid(tomllib.loads(wrong)), wrong


def test_the_schema_takes_each_example_that_is_read() -> None:
    check = jsonschema.Draft202012Validator(release_schema())
    taken = 0
    for page in GUIDES:
        for text in blocks(page, "toml"):
            with suppress(ReleaseFileInvalid):
                read(text)
                assert check.is_valid(tomllib.loads(text)), text
                taken += bool(tomllib.loads(text))
    assert taken >= 1


def test_a_person_allows_a_directory_s_values_until_they_change(tmp_path: Path) -> None:
    source, home = tmp_path / "app", tmp_path / "home"
    source.mkdir()
    (source / "slipway.toml").write_text(WHOLE)
    request, env = ReleaseRequest.read({"source": str(source)}), {"SLIPWAY_HOME": str(home)}
    with pytest.raises(ReleaseFileRefused):
        with_release_file(request, env)
    file = find_release_file(request, source)
    assert file is not None
    Allowed(home).remember(source, file)
    assert with_release_file(request, env).image == "registry.example/team/app"
    (source / "slipway.toml").write_text(WHOLE.replace("auto", "patch"))
    assert with_release_file(request, env).bump == "patch"
    (source / "slipway.toml").write_text(WHOLE.replace("team/app", "team/other"))
    with pytest.raises(ReleaseFileRefused):
        with_release_file(request, env)


def test_a_file_from_a_windows_editor_is_read(tmp_path: Path) -> None:
    """With a byte order mark and its line ends."""
    (tmp_path / "slipway.toml").write_bytes(b'\xef\xbb\xbfimage = "r.example/a"\r\nbump = "minor"\r\n')
    request = ReleaseRequest.read({"source": str(tmp_path)})
    file = find_release_file(request, tmp_path)
    assert file is not None
    assert file.applied(request, ["image"]).image == "r.example/a"


def test_hostile_files(tmp_path: Path) -> None:
    outside = tmp_path / "outside.toml"
    outside.write_text('image = "x/y"')
    source = tmp_path / "app"
    source.mkdir()
    request = ReleaseRequest.read({"source": str(source)})
    (source / "slipway.toml").symlink_to(outside)
    with pytest.raises(InvalidOption, match="outside the source"):
        find_release_file(request, source)
    (source / "slipway.toml").unlink()
    (source / "slipway.toml").write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(ReleaseFileInvalid, match="larger than 256 KiB"):
        find_release_file(request, source)
    (source / "slipway.toml").write_bytes(b"\xff")
    with pytest.raises(ReleaseFileInvalid, match="UTF-8"):
        find_release_file(request, source)
    assert find_release_file(request.changed({"config": {"file": "-"}}), source) is None
    with pytest.raises(InvalidOption, match="does not exist"):
        find_release_file(request.changed({"config": {"file": "other.toml"}}), source)


def test_init_sees_what_is_there(tmp_path: Path) -> None:
    """And what it writes can be read, with nothing that needs permission."""
    folder = make_repository(tmp_path / "shop", {"docker/web.Dockerfile": "FROM scratch\n", "compose.yaml": ""})
    commit(folder, "fix: more", {"node_modules/x/Dockerfile": ""})
    git(folder, "tag", "v1.9.0")
    git(folder, "tag", "v1.10.0")
    text = first_release_file(asyncio.run(look(folder)))
    assert values(text) == {
        "bump": "auto",
        "file": "docker/web.Dockerfile",
        "version": {"tag_prefix": "v"},
    }
    assert text.startswith("#:schema https://")
    assert "v1.10.0" in text and "compose.yaml" in text and "node_modules" not in text and "team/shop" in text


def test_init_in_a_part_of_a_repository_and_outside_of_git(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "mono", {"services/api/Dockerfile": "FROM scratch\n"})
    git(folder, "tag", "v9.0.0")
    git(folder, "tag", "services/api/v1.2.0")
    text = first_release_file(asyncio.run(look(folder / "services/api")))
    assert values(text)["version"] == {"tag_prefix": "services/api/v"}
    plain = tmp_path / "plain"
    plain.mkdir()
    assert values(first_release_file(asyncio.run(look(plain)))) == {"bump": "minor"}


DOCKERFILE = "FROM scratch\n"
REPOSITORIES: dict[str, dict[str, str]] = {
    "one at the top": {"Dockerfile": DOCKERFILE},
    "none": {"main.py": ""},
    "one below": {"docker/Dockerfile": DOCKERFILE},
    "several at the top": {"Dockerfile": DOCKERFILE, "Dockerfile.dev": DOCKERFILE, "Containerfile": DOCKERFILE},
    "several beside each other": {"docker/web.Dockerfile": DOCKERFILE, "docker/api.Dockerfile": DOCKERFILE},
    "in folders": {"web/Dockerfile": DOCKERFILE, "api/Dockerfile": DOCKERFILE},
    "in folders with hard names": {"svc/Öl & Gas/Dockerfile": DOCKERFILE, "svc/API_2/Dockerfile": DOCKERFILE},
    "in folders and at the top": {"Dockerfile": DOCKERFILE, "web/Dockerfile": DOCKERFILE},
    "in folders of the same name": {"a/web/Dockerfile": DOCKERFILE, "b/web/Dockerfile": DOCKERFILE, "c/Dockerfile": ""},
    "with other names": {"web/prod.Dockerfile": DOCKERFILE, "api/Containerfile": DOCKERFILE},
    "Compose": {"compose.yaml": "services: {web: {build: .}}\n", "Dockerfile": DOCKERFILE},
    "bake files": {"docker-bake.hcl": 'target "default" {}\n', "docker-bake.override.json": "{}"},
    "an npm workspace": {
        "package.json": '{"workspaces": ["packages/*"]}',
        "packages/web/package.json": '{"name": "@team/web"}',
        "packages/web/Dockerfile": DOCKERFILE,
        "packages/lib/package.json": '{"name": "@team/lib"}',
    },
    "a uv workspace": {
        "pyproject.toml": '[tool.uv.workspace]\nmembers = ["apps/*"]\n',
        "apps/api/pyproject.toml": '[project]\nname = "api"\n',
        "apps/api/Dockerfile": DOCKERFILE,
    },
    "a Cargo workspace": {
        "Cargo.toml": '[workspace]\nmembers = ["crates/*"]\n',
        "crates/one/Cargo.toml": '[package]\nname = "one"\n',
        "crates/one/Dockerfile": DOCKERFILE,
    },
    "a Go workspace": {
        "go.work": "go 1.22\n\nuse (\n\t./cmd/one\n)\n",
        "cmd/one/go.mod": "module example.com/one\n",
        "cmd/one/Dockerfile": DOCKERFILE,
    },
    "a workspace that cannot be read": {"package.json": "{", "a/Dockerfile": DOCKERFILE, "b/Dockerfile": DOCKERFILE},
}


@pytest.mark.parametrize("files", REPOSITORIES.values(), ids=REPOSITORIES)
def test_what_init_writes_is_read(
    tmp_path: Path, files: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is there; it needs no permission, editors take it, and it is never replaced."""
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path / "home"))
    folder = make_repository(tmp_path / "shop", files)
    assert main(["init", str(folder)]) == 0
    text = (folder / "slipway.toml").read_text()
    file = read(text)
    assert jsonschema.Draft202012Validator(release_schema()).is_valid(tomllib.loads(text)), text
    assert not list(file.guarded({})), text
    assert main(["config", str(folder)]) == 0
    assert "not allowed yet" not in capsys.readouterr().out
    if file.has_components:
        found = components(file, folder, "registry.example/team/shop")
        assert all(
            (folder / each.context / str(each.values.get("file", "Dockerfile"))).is_file() for each in found.values()
        )
    assert main(["init", str(folder)]) == 2
    assert (folder / "slipway.toml").read_text() == text


def test_init_proposes_components(tmp_path: Path) -> None:
    """Of a workspace by one line, else a table for each folder with a Dockerfile; none with one at the top."""
    written = {}
    for name in ("an npm workspace", "a Go workspace", "in folders", "with other names", "in folders and at the top"):
        folder = make_repository(tmp_path / name, REPOSITORIES[name])
        git(folder, "remote", "add", "origin", "git@github.com:Team/Shop.git")
        text = first_release_file(asyncio.run(look(folder)))
        assert '# image = "ghcr.io/team/shop"' in text
        written[name] = {key: value for key, value in tomllib.loads(text).items() if key != "bump"}
    assert written == {
        "an npm workspace": {"workspace": "npm"},
        "a Go workspace": {"workspace": "go"},
        "in folders": {"components": {"api": {}, "web": {}}},
        "with other names": {"components": {"api": {"file": "Containerfile"}, "web": {"file": "prod.Dockerfile"}}},
        "in folders and at the top": {"file": "Dockerfile"},
    }
