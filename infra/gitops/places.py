"""The places in files that name an image: Kustomize's `images`, values of a Helm chart, containers of plain manifests,
and scalars with an image policy's marker."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from yaml import MappingNode, Node, ScalarNode, SequenceNode

from prefect_slipway.infra.domain.errors import ImagePlaceMissing, InvalidOption, InvalidReference, ManifestInvalid
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.gitops.yaml_text import Spot, YamlText


class Kind(StrEnum):
    KUSTOMIZE = "kustomize"
    HELM = "helm"
    MANIFEST = "manifest"
    MARKER = "marker"


class Part(StrEnum):
    """What of an image a scalar holds: `reference` is NAME:TAG@DIGEST, `repository` NAME, without the registry where
    another scalar has that, `suffix` what Kustomize appends to the tag: nothing."""

    REFERENCE = "reference"
    REPOSITORY = "repository"
    REGISTRY = "registry"
    TAG = "tag"
    DIGEST = "digest"
    SUFFIX = "suffix"


KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_MANIFESTS = (".yaml", ".yml", ".json")
_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
# fluxcd.io, "Configure image update for custom resources": the value on the marker's line is replaced.
_MARKER = re.compile(r"[\s,\]}]*#\s*(\{\s*\"\$imagepolicy\".*\})\s*")
_MARKED = {"": Part.REFERENCE, "name": Part.REPOSITORY, "tag": Part.TAG, "digest": Part.DIGEST}
_UNTAGGED = re.compile(r"(?::[\w.-]+)?(?:@.*)?\Z")
_STEP = re.compile(r"((?:[^.\[\]\\]|\\.)+)|\[([0-9]{1,4})\]")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which places are meant. `name`: what the files call the image, None for its own name. `container`: of a manifest,
    None for all that run the image. `values`: of a chart, paths (`image.tag`, `sidecars[0].image`) and what belongs
    there, {} for the usual ones below `image`. `policy`: NAMESPACE:NAME of a marker."""

    kind: Kind
    name: str | None = None
    container: str | None = None
    values: Mapping[str, Part] = field(default_factory=dict)
    policy: str | None = None

    def reads(self, path: str, file: str) -> bool:
        """Whether a file is looked into. `path`: what was asked for, a file or a directory; `file`: below it."""
        if file == path:
            return True
        if self.kind is Kind.KUSTOMIZE:
            return posixpath.dirname(file) == path and posixpath.basename(file) in KUSTOMIZATIONS
        if self.kind is Kind.HELM:
            return file == posixpath.join(path, "values.yaml")
        return file.endswith(_MANIFESTS)


@dataclass
class Place:
    """One place: its scalars, and what each holds. `missing`: adds what does not exist yet."""

    text: YamlText
    spots: list[tuple[Part, Spot]]
    default: str
    missing: Callable[[ImageReference], None] | None = None

    @property
    def image(self) -> ImageReference | None:
        """What it names now, None if that is nothing that can be read."""
        found = {part: spot.value or "" for part, spot in self.spots}
        name = found.get(Part.REPOSITORY) or self.default
        if found.get(Part.REGISTRY):
            name = f"{found[Part.REGISTRY]}/{name}"
        tag, digest = found.get(Part.TAG), found.get(Part.DIGEST)
        text = found.get(Part.REFERENCE) or f"{name}{f':{tag}' if tag else ''}{f'@{digest}' if digest else ''}"
        try:
            return ImageReference.parse(text)
        except InvalidReference:
            return None

    def write(self, image: ImageReference) -> None:
        if self.missing is not None:
            self.missing(image)
        for part, spot in self.spots:
            self.text.put(spot, self._value(part, image))

    def holds(self, image: ImageReference) -> bool:
        """Whether that is what it says already."""
        return self.missing is None and all(spot.value == self._value(part, image) for part, spot in self.spots)

    def _value(self, part: Part, image: ImageReference) -> str:
        split = any(each is Part.REGISTRY for each, _ in self.spots)
        values = {
            Part.REFERENCE: str(image),
            Part.REPOSITORY: image.repository if split else image.name,
            Part.REGISTRY: image.registry,
            Part.TAG: image.tag or "",
            Part.DIGEST: image.digest or "",
            Part.SUFFIX: "",
        }
        return values[part]


@dataclass(frozen=True, slots=True)
class Edited:
    """`files`: those that change, whole. `before`: what the places named, None where that cannot be read."""

    files: Mapping[str, str]
    before: tuple[ImageReference | None, ...]


def edit(files: Mapping[str, str], wanted: Wanted, image: ImageReference) -> Edited:
    """Write an image into all places that name it. Raises ImagePlaceMissing, ManifestInvalid."""
    texts = {file: YamlText(file, text) for file, text in files.items()}
    places = find(texts, wanted, image.name)
    before = tuple(place.image for place in places)
    for place in places:
        place.write(image)
    changed = {file: text.changed for file, text in texts.items() if text.changed != files[file]}
    # What was written is read again: a file too strange to be changed in place is not changed at all.
    again = {file: YamlText(file, changed.get(file, text)) for file, text in files.items()}
    for place in find(again, wanted, image.name):
        if not place.holds(image):
            raise ManifestInvalid(f"{place.text.name} cannot be changed in place")
    return Edited(changed, before)


def find(texts: Mapping[str, YamlText], wanted: Wanted, image: str) -> list[Place]:
    """The places, of which there is at least one. `image`: REGISTRY/REPOSITORY. Raises as `edit`."""
    look = {Kind.KUSTOMIZE: _kustomize, Kind.HELM: _helm, Kind.MANIFEST: _manifest, Kind.MARKER: _marker}[wanted.kind]
    found = [place for text in texts.values() for place in look(text, wanted, image)]
    if not found:
        where = ", ".join(list(texts)[:5]) or "no file that this kind has"
        raise ImagePlaceMissing(f"{wanted.name or wanted.policy or image} is named nowhere in {where}")
    return found


def _kustomize(text: YamlText, wanted: Wanted, image: str) -> Iterator[Place]:
    """As `kustomize edit set image NAME=IMAGE:TAG@DIGEST` does: `newTag` and `digest`, and `newName` if it differs.

    All entries of the image: kustomize applies them one after the other, so what a later one says counts.
    """
    root = _only(text)
    entries = text.child(root, "images")
    found = False
    for entry in entries.value if isinstance(entries, SequenceNode) else ():
        name, new = text.at(entry, ["name"]), text.at(entry, ["newName"])
        if name is None or name.value is None or new is None:
            continue
        names = [name.value] if wanted.name is not None else [name.value, new.value or ""]
        if not any(_same(each, wanted.name or image) for each in names):
            continue
        spots = [(Part.TAG, "newTag"), (Part.DIGEST, "digest")]
        if new.node is not None or name.value != image:
            spots.insert(0, (Part.REPOSITORY, "newName"))
        there = [(part, spot) for part, key in spots if (spot := text.at(entry, [key])) is not None]
        suffix = text.at(entry, ["tagSuffix"])
        if suffix is not None and suffix.node is not None:
            there.append((Part.SUFFIX, suffix))
        yield Place(text, there, name.value)
        found = True
    if found:
        return
    name_there = wanted.name or image

    def add(new: ImageReference) -> None:
        item = {"name": name_there, "newName": new.name, "newTag": new.tag or "", "digest": new.digest or ""}
        text.append(root, "images", {key: item[key] for key in item if key != "newName" or new.name != name_there})

    yield Place(text, [], name_there, add)


def _helm(text: YamlText, wanted: Wanted, image: str) -> Iterator[Place]:
    root = _only(text)
    if not wanted.values:
        usual = text.child(root, "image")
        if isinstance(usual, ScalarNode):
            yield Place(text, [(Part.REFERENCE, Spot(usual))], image)
            return
        usually = (Part.REGISTRY, Part.REPOSITORY, Part.TAG, Part.DIGEST)
        values = {part: text.at(root, ["image", part.value]) for part in usually}
        # What tells the release is written in any case, what tells the repository only where the file says it.
        spots = [
            (part, spot)
            for part, spot in values.items()
            if spot is not None and (part in {Part.TAG, Part.DIGEST} or spot.node is not None)
        ]
    else:
        spots = []
        for path, part in wanted.values.items():
            spot = text.at(root, steps(path))
            if spot is None:
                raise ImagePlaceMissing(f"{text.name} has nothing at {path}")
            spots.append((Part(part), spot))
    if spots:
        yield Place(text, spots, image)


def _manifest(text: YamlText, wanted: Wanted, image: str) -> Iterator[Place]:
    if "image" not in text.text:
        return
    try:
        roots = text.documents
    except ManifestInvalid:
        # Not a manifest of this image: a chart's template, say.
        if (wanted.name or image) in text.text:
            raise
        return
    for container in _containers(text, roots):
        spot = text.at(container, ["image"])
        if spot is None or spot.value is None:
            continue
        name = text.at(container, ["name"])
        named = wanted.container is None or (name is not None and name.value == wanted.container)
        # What was written before has the image's own name.
        runs = any(_same(_UNTAGGED.sub("", spot.value), each) for each in (wanted.name or image, image))
        if named and (runs or (wanted.container is not None and wanted.name is None)):
            yield Place(text, [(Part.REFERENCE, spot)], image)


def _marker(text: YamlText, wanted: Wanted, image: str) -> Iterator[Place]:
    if '"$imagepolicy"' not in text.text:
        return
    spots = []
    for node in text.scalars():
        match = _MARKER.fullmatch(text.rest_of_line(node))
        if match is None:
            continue
        try:
            policy = str(json.loads(match[1])["$imagepolicy"])
        except (ValueError, TypeError, KeyError, RecursionError):
            continue
        name, _, part = (policy + ":").removesuffix(":").partition(":")[2].partition(":")
        if f"{policy.partition(':')[0]}:{name}" == wanted.policy and part in _MARKED:
            spots.append((_MARKED[part], Spot(node)))
    if spots:
        yield Place(text, spots, image)


def steps(path: str) -> list[str | int]:
    """Of `image.tag`, `sidecars[0].image` or `a\\.b.tag`, as Helm writes it. Raises InvalidOption."""
    found: list[str | int] = []
    at = 0
    while at < len(path):
        match = _STEP.match(path, at)
        if match is None or (not found and match[2] is not None):
            break
        found.append(int(match[2]) if match[2] is not None else re.sub(r"\\(.)", r"\1", match[1]))
        at = match.end()
        at += path[at : at + 1] == "." and at + 1 < len(path)
    if not found or at < len(path):
        raise InvalidOption(f"{path!r} is not a path of values", action="write e.g. image.tag or sidecars[0].image")
    return found


def _only(text: YamlText) -> MappingNode:
    if len(text.documents) != 1 or not isinstance(text.documents[0], MappingNode):
        raise ManifestInvalid(f"{text.name} is not one YAML mapping")
    return text.documents[0]


def _containers(text: YamlText, roots: Sequence[Node]) -> Iterator[Node]:
    """In whatever kind of object, in lists of objects as well."""
    seen: set[int] = set()
    waiting = list(reversed(roots))
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, SequenceNode):
            waiting += reversed(node.value)
        elif isinstance(node, MappingNode):
            for key, value in node.value:
                if isinstance(key, ScalarNode) and key.value in _CONTAINERS and isinstance(value, SequenceNode):
                    yield from (each for each in value.value if isinstance(each, MappingNode))
            waiting += reversed([value for _, value in node.value])


def _same(one: str, other: str) -> bool:
    if one == other:
        return True
    try:
        return ImageReference.parse(one).name == ImageReference.parse(other).name
    except InvalidReference:
        return False
