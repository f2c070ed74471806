"""The components that a release file describes, and the members of its workspaces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from prefect_slipway.flows.components.graph import in_order
from prefect_slipway.flows.components.workspaces import Member, members
from prefect_slipway.flows.request.component import Component as Table
from prefect_slipway.flows.request.release_file import ReleaseFile, own_keys
from prefect_slipway.infra.domain.dockerfile import base_images
from prefect_slipway.infra.domain.errors import DockerfileInvalid, InvalidReference, ReleaseFileInvalid
from prefect_slipway.infra.domain.near import meant
from prefect_slipway.infra.domain.reference import ImageReference

_MOST = 500
_MOST_CHARACTERS = 1 << 20


@dataclass(frozen=True, slots=True)
class Component:
    """`path`, `context`: relative to the release file. `values`: of its release, as a request has them. `paths`:
    patterns of its files, from the release file's folder. `needs`: the components that are released before it."""

    name: str
    path: str
    context: str
    values: Mapping[str, Any]
    paths: tuple[str, ...]
    needs: tuple[str, ...]

    @property
    def tag_prefix(self) -> str:
        return str(self.values["version"]["tag_prefix"])


def components(file: ReleaseFile, folder: Path, image: str | None) -> dict[str, Component]:
    """By name, each after what it depends on. `folder`: the file's. `image`: the place for the images of all that name
    none; None: none is known. Raises ReleaseFileInvalid."""
    found: dict[str, Component] = {}
    plain: dict[str, Member] = {}
    named: dict[str, str] = {}
    for kind in file.workspaces:
        for member in members(kind, folder):
            if member.name in named:
                raise ReleaseFileInvalid(
                    f"two members of workspaces are called {member.name}: {named[member.name]!r} and {member.path!r}",
                    action="rename one of them",
                )
            named[member.name] = member.path
            plain[member.path] = member
    described = {**{member.name: {} for member in plain.values() if _has_dockerfile(folder, member)}, **file.components}
    if len(described) > _MOST:
        raise ReleaseFileInvalid(f"{file.name}: there are more than {_MOST} components", action="release fewer at once")
    for name, table in described.items():
        of_workspace = next((each for each in plain.values() if each.name == name), None)
        found[name] = _component(file, folder, name, table, of_workspace, image)
    paths = {component.path: name for name, component in found.items()}
    for name, component in found.items():
        needed, further = _needed(file, folder, component, found, plain, paths)
        own = [*_whole(component.path), *(pattern for path in further for pattern in _whole(path))]
        inner = [path for path in paths if path and path != component.path and f"{path}/".startswith(_start(component))]
        patterns = (*own, *(f"!{path}/**" for path in inner if path not in further))
        found[name] = replace(component, needs=tuple(needed), paths=tuple(dict.fromkeys(patterns)))
    _check_prefixes(file, found.values())
    return {name: found[name] for name in in_order({name: component.needs for name, component in found.items()})}


def place_of(folder: str, component: Component) -> tuple[str, ...]:
    """The patterns of a component's files from the top of the repository. `folder`: the release file's, there."""
    return tuple(
        f"{'!' * pattern.startswith('!')}{folder}/{pattern.removeprefix('!')}" if folder else pattern
        for pattern in component.paths
    )


def _component(
    file: ReleaseFile, folder: Path, name: str, table: Mapping[str, Any], member: Member | None, image: str | None
) -> Component:
    own, values = own_keys(table)
    said = Table.read(own)
    path = said.path if said.path is not None else member.path if member is not None else name
    # A workspace's members are built with what all of them share, such as the lock file.
    context = said.context if said.context is not None else "" if member is not None else path
    if not (folder / path).is_dir() or not (folder / path).resolve().is_relative_to(folder.resolve()):
        raise ReleaseFileInvalid(
            f"{file.where(('components', name, 'path'))}: the component {name} has no directory {path or '.'!r}",
            action=f"set `components.{name}.path`",
        )
    version = {"tag_prefix": said.tag_prefix or f"{name}/v"} | dict(values.get("version", {}))
    if said.tag_prefix is not None:
        version["tag_prefix"] = said.tag_prefix
    more: dict[str, Any] = {"version": version}
    if "bake" not in values:
        if image is not None and "image" not in values:
            more["image"] = f"{image}/{name}"
        if context != path and "file" not in values:
            more["file"] = f"{path}/Dockerfile" if path else "Dockerfile"
    depends = tuple(said.depends_on)
    return Component(name, path, context, {**values, **more}, depends, ())


def _needed(
    file: ReleaseFile,
    folder: Path,
    component: Component,
    found: Mapping[str, Component],
    plain: Mapping[str, Member],
    paths: Mapping[str, str],
) -> tuple[list[str], list[str]]:
    """The components that it depends on, and the further files and directories that it is built from."""
    needed: dict[str, None] = {}
    further: dict[str, None] = {}
    for each in component.paths:
        if each in found and each != component.name:
            needed[each] = None
        elif "*" in each or "?" in each or (folder / each).exists():
            further[each] = None
        else:
            known = [name for name in found if name != component.name]
            where = file.where(("components", component.name, "depends_on"))
            raise ReleaseFileInvalid(
                f"{where}: {component.name} depends on {each!r}, which is neither a component nor a path"
                f"{meant(each, known)}",
                action=f"name one of {', '.join(known)}, or a path that exists" if known else "name a path that exists",
            )
    waiting = list(plain[component.path].needs) if component.path in plain else []
    seen: set[str] = set()
    while waiting:
        path = waiting.pop(0)
        if path in seen:
            continue
        seen.add(path)
        if (name := paths.get(path)) is not None:
            if name != component.name:
                needed[name] = None
        else:
            further[path] = None
            waiting += plain[path].needs
    for name in _built_on(folder, component, found):
        needed[name] = None
    return list(needed), list(further)


def _built_on(folder: Path, component: Component, found: Mapping[str, Component]) -> Iterator[str]:
    """Components whose images its Dockerfile names."""
    images = {values["image"]: name for name, each in found.items() if "image" in (values := each.values)}
    for base in used_images(folder, component):
        if (name := images.get(name_of(base))) is not None and name != component.name:
            yield name


def used_images(folder: Path, component: Component) -> list[str]:
    """The images that a component's Dockerfile names; none where it cannot be read, which its release says."""
    path = folder / component.context / str(component.values.get("file", "Dockerfile"))
    build = component.values.get("build", {})
    try:
        if "bake" in component.values or not path.resolve().is_relative_to(folder.resolve()):
            return []
        with path.open(encoding="utf-8", errors="replace") as opened:
            text = opened.read(_MOST_CHARACTERS)
        bases = base_images(
            text,
            build_args=component.values.get("build_args"),
            target=build.get("target"),
            platforms=component.values.get("platforms", ()),
            contexts=build.get("contexts", {}),
        )
    except (OSError, DockerfileInvalid):
        return []
    return [base.name for base in bases]


def name_of(image: str) -> str:
    """REGISTRY/REPOSITORY of an image as a Dockerfile names it; "" of one that is pinned by digest, or is none."""
    try:
        reference = ImageReference.parse(image)
    except InvalidReference:
        return ""
    return reference.name if reference.digest is None else ""


def _has_dockerfile(folder: Path, member: Member) -> bool:
    return (folder / member.path / "Dockerfile").is_file()


def _whole(path: str) -> Sequence[str]:
    """The patterns of a file or of all in a directory."""
    if "*" in path or "?" in path:
        return (path,)
    return (path, f"{path}/**") if path else ("**",)


def _start(component: Component) -> str:
    return f"{component.path}/" if component.path else ""


def _check_prefixes(file: ReleaseFile, found: Any) -> None:
    by_prefix: dict[str, str] = {}
    by_image: dict[str, str] = {}
    for component in found:
        image = component.values.get("image")
        for what, value, seen in (("tag prefix", component.tag_prefix, by_prefix), ("image", image, by_image)):
            if value is not None and (other := seen.setdefault(value, component.name)) != component.name:
                raise ReleaseFileInvalid(
                    f"{file.where(('components', component.name))}: {other} and {component.name} have the same {what} "
                    f"{value!r}",
                    action=f"give each component its own {what}",
                )
