"""What is refused or said while a set's files are read, and what a file may use of the machine that builds it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from prefect_slipway.flows.bake.builds import build_request, image_of, unused
from prefect_slipway.flows.bake.printed import as_bake
from prefect_slipway.flows.bake.read import read_folder
from prefect_slipway.flows.bake.targets import Target, TargetSet, choose
from prefect_slipway.flows.build_options.attest import attestations
from prefect_slipway.flows.build_options.places import Places
from prefect_slipway.flows.values.plan import PlannedImage, ReleasePlan, SourceFacts
from prefect_slipway.infra.buildkit.build.cache import CacheEntry
from prefect_slipway.infra.buildkit.session.sources import SecretEnv, SecretFile, SshSource
from prefect_slipway.infra.domain.errors import InvalidOption, InvalidReference, StackDown
from prefect_slipway.infra.domain.secret_path import SecretField

SOURCE = SourceFacts("app", "/src", "f")
IMAGE = "r.example.com/app"
BASE = f"r.example.com/base@sha256:{'a' * 64}"


def read(folder: Path, document: Any, *names: str, **variables: str) -> TargetSet:
    (folder / "docker-bake.json").write_text(document if isinstance(document, str) else json.dumps(document))
    return choose(read_folder(Places.of(folder, None, ()), [], variables), names)


def request(folder: Path, target: Target, *allow: str, **options: Any) -> Any:
    options = {"network": None, "no_cache": False, "insecure": False, "epoch": None, "git_modes": False, **options}
    labels = {"v": "1.0.0", **target.labels}
    places = Places.of(folder, None, allow)
    attested = attestations(target.attest, provenance="off", sbom="off", builder_id="")
    return build_request(target, IMAGE, labels, places, {"base": BASE}, attested, read_secret=_no_vault, **options)


async def _no_vault(field: SecretField) -> bytes:
    raise StackDown(f"there is no Vault for {field}")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"target": {"default": {"call": "check"}}}, "'call' is not supported"),
        ({"target": {"default": {"policy": [{"filename": "x"}]}}}, "'policy' is not supported"),
        ({"target": {"default": {"tags": ["${timestamp()}"]}}}, "no function timestamp"),
        ({"target": {"default": {"tags": ["%{if true}x"]}}}, "lacks %{endif}"),
        ({"target": {"default": {"tags": ["${A"]}}, "variable": {"A": {}}}, "not closed"),
        ('{"target": {"default": {"tags": ["a"], "tags": ["b"]}}}', "'tags' appears twice"),
        ({"target": {"default": {"name": "x"}}}, "needs a matrix"),
        ({"target": {"default": {"secret": ["id=a,from=b"]}}}, "no key 'from'"),
        ({"target": {"default": {"cache-from": ["ref=x"]}}}, "no type"),
        ({"target": {"default": {"platforms": ["beos"]}}}, "'beos'"),
        ({"target": {"default": {"annotations": ["image:a=b"]}}}, "no level 'image'"),
        ('{"target": {"default": {"args": {"A": 1e999}}}}', "must be a string"),
        ({"function": {"f": {}}, "target": {"default": {}}}, "function f has no result"),
        ({"target": {"default": {"tags": "x"}}}, "must be a list"),
        ({"target": {"default": {"args": ["x"]}}}, "must be an object"),
        ({"target": {"default": {"pull": "perhaps"}}}, "true or false"),
        ({"target": {"default": {"inherits": ["default"]}}}, "inherits from itself"),
        ({"variable": {"A": {"default": "${A}"}}, "target": {"default": {"tags": ["${A}"]}}}, "depends on itself"),
        ({"group": {"default": {"targets": ["default"]}}}, "contains itself"),
        ("{", "is not JSON"),
        (f'{{"target": {{"default": {{"args": {{"A": {"9" * 5000}}}}}}}}}', "a number has 5000 digits"),
        ('{"target": {"default": {"args": {"A": 1e999999999}}}}', "not such a large number"),
        ({"target": {"default": {"args": {"A": "${1e9999 * 2}"}}}}, "not such a large number"),
    ],
)
def test_what_cannot_be_acted_on_is_refused(tmp_path: Path, document: Any, words: str) -> None:
    """With the place and the reason; nothing of a file is dropped in silence."""
    with pytest.raises(InvalidOption, match=words):
        read(tmp_path, document)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("services: {a: {build: {context: ., surprise: 1}}}", "build.surprise"),
        ("services: {a: {build: {context: ., tags: [1]}}}", "build.tags must be a string"),
        ("services: {a: {build: {context: ., tags: x}}}", "build.tags must be a list"),
        ("services: {a: {build: {context: ., no_cache: perhaps}}}", "true or false"),
        ("services: {a: {build: {context: ., ssh: [mine]}}}", "no socket or key"),
        ("services: {a: {build: {dockerfile: d, dockerfile_inline: x}}}", "both dockerfile and dockerfile_inline"),
        ("services: {a: {build: ., ports: ['${PORT:?which}']}}", "PORT has no value: which"),
        ("services: {a: {build: {args: [A]}, env_file: [{path: e, format: raw}]}}", "unknown format 'raw'"),
        ("services: {a: {build: {args: [A]}, env_file: ../e}}", "outside the source"),
        ("services: {a: {build: {args: [A]}, env_file: e}}", "env_file e does not exist"),
        ("services: {a: {build: .}, a: {build: x}}", "'a' appears twice"),
        ("services: {a: {build: .}}\n---\n", "empty document"),
        ("- a", "must be a map"),
        ("services: {a: {build: ., image: '${TAG:?say it}'}}", "TAG has no value: say it"),
        ("services: {a: {build: '${'}}", "does not start a variable"),
        ("services: {a: {build: ., extends: {service: b, file: x.yaml}}}", "another file"),
        ("services: {a: {build: ., extends: b}}", "not a service in this file"),
        ("services: {a: {build: {context: ., secrets: [s]}}}", "not defined"),
        ("include: [x.yaml]", "uses `include`"),
        ("services: [", "line 1: "),
        ("services: {a: {build: {context: ., args: {A: .inf}}}}", "not such a large number"),
    ],
)
def test_what_compose_files_cannot_have(tmp_path: Path, text: str, words: str) -> None:
    """The same for Compose files."""
    (tmp_path / "compose.yaml").write_text(text)
    with pytest.raises(InvalidOption, match=words):
        choose(read_folder(Places.of(tmp_path, None, ()), [], {}), [])


def test_a_folder_without_files(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match=r"no docker-bake file or Compose file"):
        read_folder(Places.of(tmp_path / "nowhere", None, ()), [], {})


def test_a_variable_without_a_value_is_said(tmp_path: Path) -> None:
    """It is empty, and the reader is told; one that is not needed is not."""
    (tmp_path / "compose.yml").write_text("services: {a: {build: '.${X}', image: '${Y:-i}${Z:+${W}}'}}")
    found = choose(read_folder(Places.of(tmp_path, None, ()), [], {}), [])
    assert found.warnings == ("the variable X is not set and defaults to an empty string",)
    assert found.targets["a"].tags == ("i",)


def test_where_images_go() -> None:
    """To their tags' repository; to a named place; beside the source in the embedded registry; never to two."""
    target = Target("web", tags=("r.example.com/team/front:1", "r.example.com/team/front:latest"))
    assert str(image_of(target, None, None)) == "r.example.com/team/front"
    assert str(image_of(target, "other.example.com/x", None)) == "other.example.com/x/front"
    assert str(image_of(Target("My_Web"), None, "127.0.0.1:5000/src")) == "127.0.0.1:5000/src/my-web"
    with pytest.raises(InvalidOption, match="several repositories"):
        image_of(Target("a", tags=("x/a", "y/a")), None, None)
    with pytest.raises(InvalidOption, match="no tags"):
        image_of(Target("a"), None, None)
    with pytest.raises(InvalidReference):
        image_of(Target("a", tags=("A B",)), None, None)


def test_a_target_is_what_buildkit_is_asked_for(tmp_path: Path) -> None:
    """Every field has its place in the request; a base is its image by digest."""
    target = Target(
        "web",
        context="web",
        contexts={"more": "docker-image://alpine", "dir": "x"},
        bases={"below": "base"},
        target="t",
        args={"A": "1"},
        labels={"l": "2"},
        annotations=("index:a=b",),
        platforms=("linux/amd64",),
        cache_from=("type=local,src=cache", "r.example.com/cache"),
        cache_to=("type=inline",),
        secrets=("id=f,src=secret", "id=e,env=TOKEN"),
        ssh=("default", "key=k"),
        attest=("type=provenance,mode=max",),
        outputs=("type=registry", "type=local,dest=out"),
        pull=True,
        no_cache_filter=("s",),
        network="none",
        shm_size="64m",
        ulimits=("core=1",),
        resources={"memory": "1k"},
        extra_hosts={"h": "10.0.0.1,10.0.0.2"},
        entitlements=("network.host",),
    )
    found = request(tmp_path, target, "env=TOKEN", "ssh", "network.host", network="host")
    assert found.context == tmp_path / "web"
    below = f"docker-image://{BASE}"
    assert found.contexts == {"more": "docker-image://alpine", "dir": tmp_path / "x", "below": below}
    assert (found.target, found.build_args, found.platforms) == ("t", {"A": "1"}, ("linux/amd64",))
    assert found.labels == {"v": "1.0.0", "l": "2"}
    assert found.annotations == {"v": "1.0.0", "l": "2", "index:a": "b"}
    local = CacheEntry("local", {"src": str(tmp_path / "cache")})
    assert found.cache_imports == (local, CacheEntry("registry", {"ref": "r.example.com/cache"}))
    assert found.secrets == {"f": SecretFile(tmp_path / "secret"), "e": SecretEnv("TOKEN")}
    assert found.ssh == {"default": SshSource(), "key": SshSource((tmp_path / "k",))}
    assert found.attests == {"provenance": "mode=max,version=v1"}
    assert (found.pull, found.no_cache_stages, found.network) == (True, ("s",), "none")
    assert (found.shm_size, found.ulimits, found.resources) == (64 << 20, ("core=1:1",), {"memory": "1024"})
    assert found.add_hosts == (("h", "10.0.0.1"), ("h", "10.0.0.2"))
    assert found.allow == ("network.host",)
    assert found.outputs[0].by_digest and found.outputs[0].name == "r.example.com/app"
    assert unused(target) == ["target web: the output 'type=local,dest=out' is ignored: a release pushes images"]


@pytest.mark.parametrize(
    ("fields", "action"),
    [
        ({"context": "../elsewhere"}, "fs.read="),
        ({"context": "/etc"}, "fs.read=/etc"),
        ({"contexts": {"x": "oci-layout:///etc:latest"}}, "fs.read=/etc"),
        ({"dockerfile": "../Dockerfile"}, "fs.read="),
        ({"secrets": ("id=x,src=/etc/shadow",)}, "fs.read=/etc/shadow"),
        ({"secrets": ("id=x,env=TOKEN",)}, "env=TOKEN"),
        ({"cache_to": ("type=local,dest=/var/cache",)}, "fs.write=/var/cache"),
        ({"cache_from": ("type=local,src=/var/cache",)}, "fs.read=/var/cache"),
        ({"ssh": ("default",)}, "--allow ssh"),
        ({"network": "host"}, "network.host"),
        ({"entitlements": ("security.insecure",)}, "security.insecure"),
        ({"context": "link"}, "fs.read=/etc"),
    ],
)
def test_a_file_reaches_nothing_beyond_its_source(tmp_path: Path, fields: dict[str, Any], action: str) -> None:
    """Paths, also through links, variables, agents and entitlements: refused with the word that allows them."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "link").symlink_to("/etc")
    target = Target("web", **fields)
    with pytest.raises(InvalidOption) as error:
        request(source, target)
    assert action in str(error.value)
    allow = ["fs.read=/", "fs.write=/", "env=TOKEN", "ssh", "network.host", "security.insecure"]
    request(source, target, *allow)


def test_a_secret_without_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is the variable of its name where that may be read, else the file of its name; without either the variable has to
    be allowed."""
    monkeypatch.setenv("token", "x")
    target = Target("web", secrets=("id=token",))
    with pytest.raises(InvalidOption, match="variable token"):
        request(tmp_path, target)
    assert request(tmp_path, target, "env=token").secrets == {"token": SecretEnv("token")}
    (tmp_path / "token").touch()
    assert request(tmp_path, target).secrets == {"token": SecretFile(tmp_path / "token")}
    assert request(tmp_path, target, "env=token").secrets == {"token": SecretEnv("token")}


def test_a_git_context_over_ssh_wants_an_agent(tmp_path: Path) -> None:
    """Which has to be allowed."""
    target = Target("web", context="git@example.com:team/app.git")
    with pytest.raises(InvalidOption, match="SSH agent"):
        request(tmp_path, target)
    assert request(tmp_path, target, "ssh").ssh == {"default": SshSource()}


def test_what_is_not_known_is_a_warning(tmp_path: Path) -> None:
    """In a target, a group and `x-bake`; the rest is read."""
    document = {"group": {"default": {"targets": ["a"], "colour": "red"}}, "target": {"a": {"tags": ["t"], "shape": 1}}}
    found = read(tmp_path, document)
    assert found.targets["a"].tags == ("t",)
    assert [warning.rpartition(": ")[2] for warning in found.warnings] == [
        "the field 'colour' is unknown and ignored",
        "the field 'shape' is unknown and ignored",
    ]
    (tmp_path / "docker-bake.json").unlink()
    (tmp_path / "compose.yaml").write_text("services: {a: {build: {x-bake: {tags: t, size: 1}}}}")
    found = choose(read_folder(Places.of(tmp_path, None, ()), [], {}), [])
    assert found.targets["a"].tags == ("t",)
    assert found.warnings == ("compose.yaml: service a: x-bake: the field 'size' is unknown and ignored",)


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("no_cache: 'true'", "no-cache", True),
        ("provenance: true", "attest", ["type=provenance"]),
        ("provenance: mode=max", "attest", ["type=provenance,mode=max"]),
        ("sbom: false", "attest", ["type=sbom,disabled=true"]),
        ("sbom: generator=x", "attest", ["type=sbom,generator=x"]),
        ("no_cache_filter: s", "no-cache-filter", ["s"]),
        ("entitlements: [network.host]", "entitlements", ["network.host"]),
        ("ssh: [default, k=./k]", "ssh", ["default", "k=k"]),
        ("ulimits: {nofile: 5}", "ulimits", ["nofile=5:5"]),
        ("extra_hosts: ['h:10.0.0.1', 'h=10.0.0.2', 's=[::1]']", "extra-hosts", {"h": "10.0.0.1,10.0.0.2", "s": "::1"}),
        ("extra_hosts: {h: [10.0.0.1, 10.0.0.2]}", "extra-hosts", {"h": "10.0.0.1,10.0.0.2"}),
        ("platforms: [arm64]\n      x-bake: {platforms: [linux/amd64]}", "platforms", ["arm64", "linux/amd64"]),
        ("x-bake: {pull: yes}", "pull", True),
        ("additional_contexts: {r: 'service:web.x'}", "contexts", {"r": "target:web_x"}),
        ("additional_contexts: {r: x}\n      x-bake: {contexts: {r: y}}", "contexts", {"r": "x"}),
        ("args: {DATE: 2001-01-01}", "args", {"DATE": "2001-01-01"}),
        (f"args: {{N: {'9' * 5000}}}", "args", {"N": "9" * 5000}),
    ],
)  # fmt: skip
def test_what_todays_buildx_reads_and_debians_does_not(tmp_path: Path, text: str, field: str, value: Any) -> None:
    """Fields that are newer than the buildx that these tests can compare with."""
    document = f"services:\n  a:\n    build:\n      context: .\n      {text}\n  web.x:\n    build: .\n"
    (tmp_path / "compose.yaml").write_text(document)
    assert as_bake(choose(read_folder(Places.of(tmp_path, None, ()), [], {}), ["a"]))["target"]["a"][field] == value


@pytest.mark.parametrize(
    ("fields", "field", "value"),
    [
        ({"cache-from": ["r.example/a,r.example/b", "r.example/b"]}, "cache-from", ["r.example/a", "r.example/b"]),
        ({"cache-from": [{"type": "gha", "scope": "a,b"}]}, "cache-from", ['type=gha,"scope=a,b"']),
        ({"secret": [{"id": "t", "env": "TOKEN"}]}, "secret", ["id=t,env=TOKEN"]),
        ({"ssh": [{"id": "k", "paths": ["a", "b"]}, {"id": "default"}]}, "ssh", ["k=a,b", "default"]),
        ({"attest": [{"type": "sbom", "disabled": True}]}, "attest", ["type=sbom,disabled=true"]),
        ({"resources": {"memory": "1g"}}, "resources", {"memory": "1g"}),
        ({"inherits": ["b"], "secret": ["id=x,src=s"]}, "secret", ["id=x,src=s", "id=y,env=Y"]),
        ({"inherits": ["b"], "ssh": ["k=/other"]}, "ssh", ["k=/other"]),
    ],
)
def test_what_todays_bake_file_may_have(tmp_path: Path, fields: Any, field: str, value: Any) -> None:
    """Objects for entries, lists merged by id."""
    base = {"secret": ["id=x,env=X", "id=y,env=Y"], "ssh": ["k=/p"]}
    found = read(tmp_path, {"target": {"default": fields, "b": base}})
    assert as_bake(found)["target"]["default"][field] == value


def set_plan(*images: tuple[str, tuple[str, ...], bool, str | None]) -> ReleasePlan:
    made = tuple(
        PlannedImage(name, f"{IMAGE}/{name}", ("1.0.0",), bases=bases, public=public, existing_digest=digest)
        for name, bases, public, digest in images
    )
    return ReleasePlan(SOURCE, "1.0.0", "", made)


def test_what_is_there_is_not_built_again() -> None:
    """A base that nobody asked for is built for those that need it alone; what a dead run pushed is found."""
    plan = set_plan(("base", (), False, None), ("a", ("base",), True, "sha256:a"), ("b", ("base",), True, None))
    assert [image.target for image in plan.to_build()] == ["base", "b"]
    done = set_plan(("base", (), False, None), ("a", ("base",), True, "sha256:a"))
    assert done.to_build() == ()
    effects = " ".join(plan.effects())
    assert "build b" in effects and "finish a" in effects and "after base" in effects


def test_caches_take_this_machines_secrets_only_where_allowed(tmp_path: Path) -> None:
    """A cache in GitHub or S3 gets no token or key of the one who runs it, unless that is allowed by the variable's
    name."""
    target = Target("t", cache_from=("type=gha", "type=s3,bucket=b"), cache_to=("type=s3,bucket=b",))

    def may(*allow: str) -> list[bool]:
        found = request(tmp_path, target, *allow)
        return [entry.surroundings for entry in (*found.cache_imports, *found.cache_exports)]

    assert may() == [False, False, False]
    assert may("env=ACTIONS_RUNTIME_TOKEN") == [True, False, False]
    assert may("env=AWS_SECRET_ACCESS_KEY") == [False, True, True]


@pytest.mark.parametrize(
    "fields",
    [
        {"context": "https://user:S3CRET@git.example.com/app.git"},
        {"contexts": {"lib": "https://S3CRET@git.example.com/lib.git"}},
        {"cache-from": ["type=s3,endpoint_url=https://user:S3CRET@s3.example.com"]},
        {"cache-to": [{"type": "azblob", "account_url": "https://acc.example.com/?sig=S3CRET"}]},
        {"args": {"HTTPS_PROXY": "http://user:S3CRET@proxy.example.com:3128"}},
        {"labels": {"from": "https://S3CRET@git.example.com/app"}},
    ],
)
def test_a_url_with_a_secret_in_a_target_is_refused(tmp_path: Path, fields: dict[str, Any]) -> None:
    """Steps are named by contexts, and what is asked for is printed and kept."""
    with pytest.raises(InvalidOption, match=r"^target default\.\S+ contains a URL") as caught:
        read(tmp_path, {"target": {"default": fields}})
    assert "S3CRET" not in str(caught.value)
