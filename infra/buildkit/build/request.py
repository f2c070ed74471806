"""A build request and its outcome."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO, Literal, NamedTuple

from prefect_slipway.infra.buildkit.build.cache import CacheEntry, local_layouts
from prefect_slipway.infra.buildkit.build.contexts import CONTEXT_DIR, DOCKERFILE_DIR, NamedContexts, lower_case_twin
from prefect_slipway.infra.buildkit.build.outputs import DockerOutput, OciOutput, Output
from prefect_slipway.infra.buildkit.files.oci_layout import Layout
from prefect_slipway.infra.domain.errors import ContextError, DockerfileMissing

if TYPE_CHECKING:
    from prefect_slipway.infra.buildkit.session.source_policy import SourceCheck
    from prefect_slipway.infra.buildkit.session.sources import SecretSource, SshSource
    from prefect_slipway.infra.buildkit.session.upload import Archive
    from prefect_slipway.infra.domain.source_policy import SourcePolicy


class BuildRequest(NamedTuple):
    """One build. `context`: a directory, a URL (git or HTTP) that the daemon fetches itself, or a stream (such as
    standard input) with an archive or with a Dockerfile alone.

    `dockerfile`: its path, relative to the context; an absolute one may lie outside of it and goes with all kinds.
    `dockerfile_content`: the Dockerfile itself instead. `contexts`: further ones by name: a directory, or
    `docker-image://…`, `oci-layout://PATH[:TAG][@DIGEST]`, a git or HTTP URL. `outputs`: what becomes of the result;
    none: it stays in the daemon's cache.

    `platforms`: `os/arch[/variant]`, empty for the daemon's own. `as_index`: the image of one platform is an index as
    well. `no_cache_stages`: stages to build without the cache. `pull`: ask
    registries for newer base images; `prefer_local`: do not ask where a Docker engine has the image itself.
    `source_date_epoch`: seconds; times in the image's config come from it. `git_modes`: files and folders have the
    modes that git knows, not those that somebody's umask gave a checkout, none is older than `source_date_epoch`, and
    what git does not know is left out: pipes, sockets, devices, the context's folders without files. `attests`: `sbom`
    or `provenance` and their attributes (`mode=max`); none by default. `required_attests`: those that must not be left
    out by a daemon that cannot make them. `recorded`: facts for the provenance, which nothing else reads: `vcs:source`,
    `vcs:revision`, or keys of one's own. `annotations`: of the images; keys may say where (`index:KEY`,
    `manifest[linux/amd64]:KEY`).

    `source_policy`: which images, repositories and files the build may use, and what it uses in their place.
    `source_check`: is asked about each of them while the build runs.

    `secrets` and `ssh`: what `RUN --mount=type=secret` and `type=ssh` may ask for, by id.

    Of the RUN steps: `network`: None for the daemon's default; `host` needs a daemon that allows it. `allow`:
    entitlements (`network.host`, `security.insecure`, `device`). `add_hosts`: host names and an address each;
    `host-gateway` is the one that a Docker engine has for its own machine. `shm_size`: bytes of /dev/shm. `ulimits`:
    `NAME=SOFT[:HARD]`. `resources`: limits by the frontend's names (`memory`, `cpuquota` ...), which daemons before
    v0.31 pass over. `cgroup_parent`, `hostname`: "" for the daemon's default.
    """

    context: Path | str | BinaryIO | Archive
    dockerfile: Path = Path("Dockerfile")
    dockerfile_content: bytes | None = None
    contexts: Mapping[str, Path | str] = MappingProxyType({})
    outputs: tuple[Output, ...] = ()
    target: str = ""
    build_args: Mapping[str, str] = MappingProxyType({})
    labels: Mapping[str, str] = MappingProxyType({})
    annotations: Mapping[str, str] = MappingProxyType({})
    platforms: tuple[str, ...] = ()
    as_index: bool = False
    no_cache: bool = False
    no_cache_stages: tuple[str, ...] = ()
    pull: bool = False
    prefer_local: bool = False
    source_date_epoch: int | None = None
    git_modes: bool = False
    attests: Mapping[str, str] = MappingProxyType({})
    required_attests: tuple[str, ...] = ()
    recorded: Mapping[str, str] = MappingProxyType({})
    cache_imports: tuple[CacheEntry, ...] = ()
    cache_exports: tuple[CacheEntry, ...] = ()
    source_policy: SourcePolicy | None = None
    source_check: SourceCheck | None = None
    secrets: Mapping[str, SecretSource] = MappingProxyType({})
    ssh: Mapping[str, SshSource] = MappingProxyType({})
    network: Literal["default", "none", "host"] | None = None
    allow: tuple[str, ...] = ()
    add_hosts: tuple[tuple[str, str], ...] = ()
    shm_size: int = 0
    ulimits: tuple[str, ...] = ()
    resources: Mapping[str, str] = MappingProxyType({})
    cgroup_parent: str = ""
    hostname: str = ""

    @property
    def dockerfile_is_here(self) -> bool:
        """Whether the Dockerfile comes from this machine: not so when it lies in a context that the daemon fetches."""
        return isinstance(self.context, Path) or self.dockerfile_content is not None or self.dockerfile.is_absolute()

    def dockerfile_path(self) -> Path:
        """Where the Dockerfile lies on this machine."""
        folder = self.context if isinstance(self.context, Path) else Path()
        return lower_case_twin(folder / self.dockerfile)

    def directories(self) -> dict[str, Path]:
        """The directories the daemon may read, by their names. Raises ContextError, DockerfileMissing or
        InvalidOption."""
        found = dict(NamedContexts.resolve(self.contexts).directories)
        if isinstance(self.context, Path):
            if not self.context.is_dir():
                raise ContextError(f"the build context {self.context} is not a directory", action="check its path")
            found[CONTEXT_DIR] = self.context
        if self.dockerfile_is_here and self.dockerfile_content is None:
            path = self.dockerfile_path()
            if not path.is_file():
                place = f" in {self.context}" if isinstance(self.context, Path) else ""
                raise DockerfileMissing(f"there is no {self.dockerfile}{place}")
            found[DOCKERFILE_DIR] = path.parent
        return found

    def layouts(self) -> dict[str, Layout]:
        """The OCI layouts the daemon may read or write, by the ids it uses. Raises as `directories`."""
        found = local_layouts(self.cache_imports, self.cache_exports)
        found.update(NamedContexts.resolve(self.contexts).layouts)
        for output in self.outputs:
            if isinstance(output, OciOutput | DockerOutput) and not output.tar and isinstance(output.dest, Path):
                # The one id that the exporters know (exporter/oci/export.go): one such output a build.
                found["export"] = Layout(output.dest)
        return found


class BuildOutcome(NamedTuple):
    """`digest`: of the manifest or index that was exported, "" without an image; of several images, one.
    `steps`/`cached_steps`: how many there were and how many of them came from the cache. `response`: all that the
    exporters said (Solve's ExporterResponse). `ref`: the build's id in the daemon's history."""

    digest: str
    steps: int
    cached_steps: int
    response: Mapping[str, str]
    ref: str
