"""Images are written into files of a GitOps repository, and nothing else of the files changes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.infra.domain.errors import ImagePlaceMissing, InvalidOption, ManifestInvalid
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.gitops.places import Edited, Kind, Part, Wanted, edit, steps
from prefect_slipway.infra.gitops.yaml_text import MOST_CHARACTERS

DIGEST = "sha256:" + "1" * 64
NAME = "reg.example:5000/team/app"
IMAGE = ImageReference.parse(f"{NAME}:1.2.3@{DIGEST}")
APP = {"name": "app"}
POLICY = {"policy": "flux-system:app"}


def edited(kind: str, text: str, file: str = "f.yaml", **wanted: Any) -> Edited:
    return edit({file: text}, Wanted(Kind(kind), **wanted), IMAGE)


CASES: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "crlf, odd indentation, quotes and comments": (
        "kustomize",
        {},
        "resources: [a]\r\nimages:   # the images\r\n  -   name: app # x\r\n"
        "      newName: 'reg.example:5000/team/app'\r\n      newTag: \"1.0\"   # {k}\r\n"
        "  - name: b\r\nnamePrefix: x-\r\n",
        "resources: [a]\r\nimages:   # the images\r\n  -   name: app # x\r\n"
        "      newName: 'reg.example:5000/team/app'\r\n      newTag: \"1.2.3\"   # {k}\r\n      digest: DIGEST\r\n"
        "  - name: b\r\nnamePrefix: x-\r\n",
    ),
    "an anchor at the entry, and a tag's suffix": (
        "kustomize",
        {},
        "images:\n- &a\n  name: reg.example:5000/team/app\n  tagSuffix: x\n",
        'images:\n- &a\n  name: reg.example:5000/team/app\n  tagSuffix: ""\n  newTag: 1.2.3\n  digest: DIGEST\n',
    ),
    "several entries of one image, of which the last counts": (
        "kustomize",
        {},
        "images:\n- name: web\n  newName: NAME\n  newTag: 1.0.0\n- name: b\n- name: NAME\n  newTag: 1.0.0\n",
        "images:\n- name: web\n  newName: NAME\n  newTag: 1.2.3\n  digest: DIGEST\n- name: b\n- name: NAME\n"
        "  newTag: 1.2.3\n  digest: DIGEST\n",
    ),
    "a name that is there twice": (
        "kustomize",
        APP,
        "images: [{name: app, newName: NAME, newTag: '1', digest: x}, {name: app, newName: NAME, newTag: '2', "
        "digest: y}]\n",
        "images: [{name: app, newName: NAME, newTag: '1.2.3', digest: DIGEST}, {name: app, newName: NAME, "
        "newTag: '1.2.3', digest: DIGEST}]\n",
    ),
    "a new entry behind an alias, before a comment": (
        "kustomize",
        APP,
        "x: &t '1'\nimages:\n- name: b\n  newTag: *t\n# c\n\npatches: []\n",
        "x: &t '1'\nimages:\n- name: b\n  newTag: *t\n- name: app\n  newName: NAME\n  newTag: 1.2.3\n"
        "  digest: DIGEST\n# c\n\npatches: []\n",
    ),
    "no images, and no line break at the end": (
        "kustomize",
        {},
        "resources: [a]",
        "resources: [a]\nimages:\n- name: NAME\n  newTag: 1.2.3\n  digest: DIGEST\n",
    ),
    "an empty list": (
        "kustomize",
        {},
        "images: []\n# end\n",
        'images: [{"name": "NAME", "newTag": "1.2.3", "digest": "DIGEST"}]\n# end\n',
    ),
    "a key without a value": (
        "kustomize",
        APP,
        "images:\nresources: []\n",
        "images:\n- name: app\n  newName: NAME\n  newTag: 1.2.3\n  digest: DIGEST\nresources: []\n",
    ),
    "braces": (
        "kustomize",
        APP,
        "images: [{name: app, newTag: 1.0.0}]\n",
        'images: [{name: app, newTag: 1.2.3, newName: "NAME", digest: "DIGEST"}]\n',
    ),
    "JSON with tabs": (
        "kustomize",
        APP,
        '{\n\t"images": [\n\t\t{\n\t\t\t"name": "app",\n\t\t\t"newTag": "1"\n\t\t}\n\t]\n}\n',
        '{\n\t"images": [\n\t\t{\n\t\t\t"name": "app",\n\t\t\t"newTag": "1.2.3",\n\t\t\t"newName": "NAME",\n'
        '\t\t\t"digest": "DIGEST"\n\t\t}\n\t]\n}\n',
    ),
    "JSON without images": (
        "kustomize",
        APP,
        '{\n  "resources": []\n}\n',
        '{\n  "resources": [], "images": [{"name": "app", "newName": "NAME", "newTag": "1.2.3", '
        '"digest": "DIGEST"}]\n}\n',
    ),
    "an anchor that others follow": (
        "helm",
        {},
        "image:\n  repository: x/y  # r\n  tag: &v 1.0.0\n  pullPolicy: Always\nother: *v\n",
        "image:\n  repository: NAME  # r\n  tag: &v 1.2.3\n  pullPolicy: Always\n  digest: DIGEST\nother: *v\n",
    ),
    "nothing, and quotes around nothing": (
        "helm",
        {},
        "image:\n  tag:\n  digest: ''\n",
        "image:\n  tag: 1.2.3\n  digest: 'DIGEST'\n",
    ),
    "one string": ("helm", {}, "image: 'x/y:1'\n", "image: 'NAME:1.2.3@DIGEST'\n"),
    "the registry by itself": (
        "helm",
        {},
        'image:\n  registry: docker.io\n  repository: x/y\n  tag: "1" # latest\n',
        'image:\n  registry: reg.example:5000\n  repository: team/app\n  tag: "1.2.3" # latest\n  digest: DIGEST\n',
    ),
    "paths": (
        "helm",
        {"values": {"a[0].tag": Part.TAG, "a[0].digest": Part.DIGEST, "b\\.c": Part.REFERENCE}},
        "a:\n- tag: '1'\nb.c: x\n",
        "a:\n- tag: '1.2.3'\n  digest: DIGEST\nb.c: NAME:1.2.3@DIGEST\n",
    ),
    "a byte order mark and a tag of YAML's": (
        "helm",
        {},
        "\ufeffimage:\n  tag: !!str 1.0 # y\n",
        "\ufeffimage:\n  tag: !!str 1.2.3 # y\n  digest: DIGEST\n",
    ),
    "several documents, lists and init containers": (
        "manifest",
        {},
        "kind: A\n---\nkind: List\nitems:\n- kind: Deployment\n  spec: {template: {spec: {initContainers: [{name: i, "
        "image: 'NAME:1'}], containers: [{name: a, image: NAME@sha256:"
        + "2" * 64
        + "}, {image: other}]}}}\n...\n---\n# e\n",
        "kind: A\n---\nkind: List\nitems:\n- kind: Deployment\n  spec: {template: {spec: {initContainers: [{name: i, "
        "image: 'NAME:1.2.3@DIGEST'}], containers: [{name: a, image: NAME:1.2.3@DIGEST}, {image: other}]}}}\n...\n---\n"
        "# e\n",
    ),
    "JSON on one line": (
        "manifest",
        APP,
        '{"spec":{"containers":[{"name":"a","image":"app"}]}}',
        '{"spec":{"containers":[{"name":"a","image":"NAME:1.2.3@DIGEST"}]}}',
    ),
    "one container of two": (
        "manifest",
        {"container": "a"},
        "spec:\n  containers:\n  - image: x:1\n    name: a\n  - image: x:1\n    name: b\n",
        "spec:\n  containers:\n  - image: NAME:1.2.3@DIGEST\n    name: a\n  - image: x:1\n    name: b\n",
    ),
    "Flux's markers": (
        "marker",
        POLICY,
        'a: a/b:1 # {"$imagepolicy": "flux-system:app"}\nb: "1" # {"$imagepolicy": "flux-system:app:tag"}\n'
        'c: x # {"$imagepolicy": "flux-system:app:name"}\nd: "" # {"$imagepolicy": "flux-system:app:digest"}\n'
        'e: "# {\\"$imagepolicy\\": \\"flux-system:app\\"}"\nf: 1 # {"$imagepolicy": "flux-system:other"}\n',
        'a: NAME:1.2.3@DIGEST # {"$imagepolicy": "flux-system:app"}\n'
        'b: "1.2.3" # {"$imagepolicy": "flux-system:app:tag"}\n'
        'c: NAME # {"$imagepolicy": "flux-system:app:name"}\nd: "DIGEST" # {"$imagepolicy": "flux-system:app:digest"}\n'
        'e: "# {\\"$imagepolicy\\": \\"flux-system:app\\"}"\nf: 1 # {"$imagepolicy": "flux-system:other"}\n',
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_only_what_names_the_image_changes(case: str) -> None:
    """Byte for byte; and once more changes nothing."""
    kind, wanted, before, after = CASES[case]
    expected = after.replace("NAME", NAME).replace("DIGEST", DIGEST)
    assert edited(kind, before.replace("NAME", NAME), **wanted).files == {"f.yaml": expected}
    assert edited(kind, expected, **wanted).files == {}


@pytest.mark.parametrize(
    ("kind", "wanted", "text", "said"),
    [
        ("kustomize", APP, "images: [ # c\n {name: b}, # d\n]\n", "cannot be changed in place"),
        ("kustomize", {}, "images: x\n", "images is not a list"),
        ("kustomize", {}, "a: 1\n---\nb: 2\n", "not one YAML mapping"),
        ("kustomize", {}, "- a\n", "not one YAML mapping"),
        ("helm", {}, "image:\n  tag: |\n    1.0\n", "line 2: the value spans several lines"),
        ("helm", {}, "image:\n  tag: 1\n  tag: 2\n", "line 3: the key tag is there twice"),
        ("helm", {}, "image:\n  tag: [1]\n", "tag is not a text"),
        ("helm", {}, "image: {{ .Values.x }}\n", "line 1"),
        ("helm", {}, "a: *b\n", "line 1: found undefined alias"),
        ("helm", {}, "a: \udcff\n", "is not UTF-8"),
        ("helm", {}, "a: " + "[" * 200, "nested more than"),
        ("helm", {}, " " * MOST_CHARACTERS + "a: 1", "larger than 1 MiB"),
        ("manifest", {}, f"image: {NAME}\n{{{{", "line"),
    ],
)
def test_files_that_cannot_be_changed(kind: str, wanted: dict[str, Any], text: str, said: str) -> None:
    with pytest.raises(ManifestInvalid, match=said):
        edited(kind, text, **wanted)


@pytest.mark.parametrize(
    ("kind", "wanted", "text"),
    [
        ("helm", {}, "a: 1\n"),
        ("helm", {"values": {"b.tag": Part.TAG}}, "a: 1\n"),
        ("manifest", {}, "spec: {containers: [{image: other}]}\n"),
        ("manifest", {}, "image: {{ .Values.x }}\n"),
        ("marker", POLICY, 'a: 1 # {"$imagepolicy": "flux-system:other"}\nb: 1 # {"$imagepolicy": 7}\n'),
    ],
)
def test_no_place(kind: str, wanted: dict[str, Any], text: str) -> None:
    with pytest.raises(ImagePlaceMissing, match=r"f\.yaml"):
        edited(kind, text, **wanted)


def test_aliases_are_never_expanded() -> None:
    """A few lines that would be a billion values are read at once."""
    bomb = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10) if n else 'x'}]\n" for n in range(30))
    text = f"{bomb}spec: {{containers: [{{image: {NAME}}}]}}\n"
    assert str(IMAGE) in edited("manifest", text).files["f.yaml"]


@pytest.mark.parametrize(
    ("path", "expected"), [("a.b", ["a", "b"]), ("a[0].b", ["a", 0, "b"]), (r"a\.b.c", ["a.b", "c"])]
)
def test_paths_of_values(path: str, expected: list[str | int]) -> None:
    assert steps(path) == expected


@pytest.mark.parametrize("path", ["", ".", "a..b", "[0]", "a[x]", "a.", "a[", "a]"])
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(InvalidOption, match="not a path"):
        steps(path)


scalars = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12)


@given(
    st.dictionaries(scalars.filter(bool), st.one_of(scalars, st.lists(scalars, max_size=3)), max_size=4),
    st.sampled_from(["1.0", "", "x y", "true"]),
    st.sampled_from(["'", '"', None]),
    st.booleans(),
)
def test_all_other_values_stay(others: dict[str, Any], tag: str, style: str | None, flow: bool) -> None:
    """Whatever else is in the file, and however it is written."""
    others.pop("image", None)
    value = {**others, "image": {"repository": NAME, "tag": tag, "digest": "x"}}
    text = yaml.safe_dump(value, default_style=style, default_flow_style=flow, allow_unicode=True, width=10**6)
    new = edited("helm", text).files["f.yaml"]
    assert yaml.safe_load(new) == {**value, "image": {"repository": NAME, "tag": "1.2.3", "digest": DIGEST}}


@pytest.mark.skipif(shutil.which("kustomize") is None, reason="kustomize is not installed")
@pytest.mark.parametrize(
    "before",
    [
        "resources: []\n",
        "images:\n- name: other\n  newTag: '2'\n",
        "images:\n- name: app\n  newTag: '1'\n  tagSuffix: -x\n",
        f"images:\n- name: app\n  newName: old\n  digest: sha256:{'2' * 64}\n- name: {NAME}\n",
    ],
)
@pytest.mark.parametrize("name", ["app", NAME])
def test_as_kustomize_itself(before: str, name: str, tmp_path: Path) -> None:
    """`kustomize edit set image` leaves the same images, and `kustomize build` the same objects."""
    spec = {"containers": [{"name": "a", "image": f"{name}:0"}]}
    pod = yaml.safe_dump({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec})
    built, images = [], []
    for folder, text in (
        (tmp_path / "ours", edited("kustomize", before, "kustomization.yaml", name=name).files["kustomization.yaml"]),
        (tmp_path / "theirs", before),
    ):
        folder.mkdir()
        file = folder / "kustomization.yaml"
        file.write_text(text)
        if folder.name == "theirs":
            argument = str(IMAGE) if name == NAME else f"{name}={IMAGE}"
            subprocess.run(["kustomize", "edit", "set", "image", argument], cwd=folder, check=True)
        entries = yaml.safe_load(file.read_text())["images"]
        images.append({each["name"]: {key: each[key] for key in each if each[key]} for each in entries})
        (folder / "pod.yaml").write_text(pod)
        file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), "resources": ["pod.yaml"]}))
        done = subprocess.run(["kustomize", "build"], cwd=folder, check=True, capture_output=True, text=True)
        built.append(done.stdout)
    assert images[0] == images[1]
    assert built[0] == built[1]
    assert f"image: {IMAGE}" in built[0]
