"""The specification of a builder in a cluster, and its owner."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from prefect_slipway.infra.common.proxies import shown_proxy
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.platform import check_architecture
from prefect_slipway.infra.kubernetes.access.labels import MANAGED_BY, SLIPWAY
from prefect_slipway.infra.kubernetes.access.quantity import parse_quantity

PORT = 1234
"""Where buildkitd listens; BuildKit's examples/kubernetes."""

DEFAULT_NAME = "buildkitd"
"""The lab's."""
_IMAGE = "docker.io/moby/buildkit:buildx-stable-1"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
_LABEL_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
ARCHITECTURE = "kubernetes.io/arch"
"""The label by which a node says its architecture, by Go's name."""
# A Service's name is a DNS label of 63 characters, less a run's name, an architecture and their dashes.
_MAX_NAME = 40

Strings = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Toleration:
    """A taint's key that the pod tolerates. `value`: None for any; `effect`: None for all."""

    key: str
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None


@dataclass(frozen=True, slots=True)
class Resources:
    """Requests and limits of the pod, as Kubernetes quantities.

    Requests are small by default, so that a builder finds a place on a busy node. There are no limits by default:
    what a build needs is not known beforehand, and a limit that is too low kills it.
    """

    cpu: str | None = "250m"
    memory: str | None = "512Mi"
    cpu_limit: str | None = None
    memory_limit: str | None = None

    def __post_init__(self) -> None:
        for value in (self.cpu, self.memory, self.cpu_limit, self.memory_limit):
            if value is not None:
                parse_quantity(value)


@dataclass(frozen=True, slots=True)
class Cache:
    """Where the daemon keeps its layers.

    `size`: the limit of an emptyDir (the pod is evicted beyond it) or what a PVC asks for; 20Gi holds some dozens of
    usual builds. `persistent`: a PersistentVolumeClaim, which outlives the pod; False: an emptyDir. `storage_class`:
    of the PVC, None for the cluster's default one.
    """

    size: str = "20Gi"
    persistent: bool = False
    storage_class: str | None = None

    def __post_init__(self) -> None:
        parse_quantity(self.size)


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """How the daemon talks to a registry. `mirrors`: hosts to ask first. `plain_http`: no TLS. `ca`: PEM text of the
    CA of its certificate, None for the image's usual ones.
    """

    mirrors: tuple[str, ...] = ()
    plain_http: bool = False
    ca: str | None = None


@dataclass(frozen=True, slots=True)
class BuilderSpec:
    """A builder in a cluster. Raises InvalidOption for what Kubernetes would refuse anyway.

    `name`: what all of its objects are called, and its label; the fixed name.
    `lifetime`: `run`: made for one release and gone after it; `shared`: found or made, and kept with its cache.
    `privileged`: run as root with all rights; False (rootless) is safer and needs user namespaces on the node.
    `image`: None for moby/buildkit's stable one of that sort; it has to contain `buildkitd` (and `rootlesskit`).
    `pull_policy`: None for Kubernetes' default (Always for :latest, else IfNotPresent).
    `pull_secrets`: names of Secrets with credentials for `image`.
    `replicas`: daemons; a source always goes to the same one.
    `service_account`: None for the namespace's default one; its token is not mounted either way.
    `node_selector`, `tolerations`: where the pod may run. `architectures`: of the nodes (`amd64`, `arm64`; their label
    `kubernetes.io/arch`), none for any; several make a builder each (`for_each_architecture`). `annotations`: further
    ones of the pod.
    `gc_limit`: what the cache is trimmed to; None for three quarters of its size, so that no pod is evicted for it.
    `registries`: by host.
    `proxy`: the HTTP or SOCKS proxy by which the daemon reaches registries, git servers and archives; `no_proxy`: hosts
    that it reaches without, as in NO_PROXY.
    `idle_s`: seconds without a user until a shared builder may be swept; a working day keeps it warm.
    `scheduling_patience_s`: seconds a pod may find no node before that is taken as the answer; more where nodes are
    added on demand. `ready_s`: seconds until a builder has to be ready.
    """

    name: str = DEFAULT_NAME
    lifetime: Literal["run", "shared"] = "run"
    privileged: bool = False
    image: str | None = None
    pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    pull_secrets: tuple[str, ...] = ()
    resources: Resources = Resources()
    node_selector: Strings = field(default_factory=dict)
    architectures: tuple[str, ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    replicas: int = 1
    service_account: str | None = None
    annotations: Strings = field(default_factory=dict)
    cache: Cache = Cache()
    gc_limit: str | None = None
    registries: Mapping[str, RegistrySettings] = field(default_factory=dict)
    proxy: str | None = None
    no_proxy: tuple[str, ...] = ()
    idle_s: int = 8 * 3600
    scheduling_patience_s: float = 15.0
    ready_s: float = 300.0

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or len(self.name) > _MAX_NAME:
            raise InvalidOption(
                f"{self.name!r} is not a valid builder name",
                action=f"use at most {_MAX_NAME} of the characters a-z 0-9 -, without - at either end",
            )
        if self.replicas < 1:
            raise InvalidOption("a builder needs at least one replica", action="ask for 1 or more")
        if self.replicas > 1 and self.cache.persistent:
            raise InvalidOption(
                "several replicas cannot share one volume: each BuildKit daemon locks its cache",
                action="keep the cache in the pods, or create several builders with different names",
            )
        if self.gc_limit is not None:
            parse_quantity(self.gc_limit)
        for value in self.node_selector.values():
            _check_label_value(value)
        for architecture in self.architectures:
            check_architecture(architecture)
        if self.proxy is not None and self.proxy.rstrip("/") != shown_proxy(self.proxy):
            raise InvalidOption(
                "the builder's proxy is not http://HOST:PORT",
                action="name it without a user and password, which whoever reads the pod would see",
            )
        if len(self.architectures) != len(set(self.architectures)):
            raise InvalidOption("a builder has the same architecture twice", action="name each architecture once")

    def for_each_architecture(self) -> list[BuilderSpec]:
        """A builder for each architecture; itself without any."""
        return [replace(self, architectures=(each,)) for each in self.architectures] or [self]

    @property
    def used_node_selector(self) -> Strings:
        (architecture,) = self.architectures or (None,)
        return {**self.node_selector, **({ARCHITECTURE: architecture} if architecture is not None else {})}

    @property
    def used_image(self) -> str:
        return self.image or (_IMAGE if self.privileged else f"{_IMAGE}-rootless")

    @property
    def gc_bytes(self) -> int:
        """Bytes that the cache is trimmed to."""
        return int(parse_quantity(self.gc_limit) if self.gc_limit else parse_quantity(self.cache.size) * 0.75)


@dataclass(frozen=True, slots=True)
class Run:
    """The owner of the objects. `id`: short and unique, a part of names; `labels`: the user's."""

    id: str
    labels: Strings = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.id) or len(self.id) > 12:
            raise InvalidOption(
                f"{self.id!r} is not a valid run id", action="use at most 12 of the characters a-z 0-9 -"
            )
        for key, value in self.labels.items():
            if not _LABEL_KEY.fullmatch(key) or len(key.rpartition("/")[2]) > 63:
                raise InvalidOption(f"{key!r} is not a valid label key", action="write e.g. team=web")
            if key.startswith("slipway.dev/") or key == MANAGED_BY:
                raise InvalidOption(f"the label {key} is reserved for Slipway", action="choose another key")
            _check_label_value(value)


@dataclass(frozen=True, slots=True)
class Names:
    """The names of the objects of one builder: with the run's id if they are made for it, the fixed names if the
    builder is shared (and has the fixed name itself).

    `run`: the run's Lease; `root`: the Lease that owns the builder, which is the same one unless the builder is shared.
    """

    run: str
    root: str
    builder: str
    server_tls: str
    client_tls: str
    credentials: str
    config: str
    cli: str

    @classmethod
    def of(cls, spec: BuilderSpec, run: Run) -> Names:
        end = "" if spec.name == DEFAULT_NAME else f"-{spec.name}"
        architecture = "".join(f"-{each}" for each in spec.architectures)
        builder = f"{spec.name}{architecture}"
        if spec.lifetime == "run":
            end, builder = f"-{run.id}", f"{builder}-{run.id}"
        return cls(
            # A run's Lease names the one shared builder that it uses.
            run=f"{SLIPWAY}-{run.id}" + ("" if spec.lifetime == "run" else architecture),
            root=f"{SLIPWAY}-{run.id}" if spec.lifetime == "run" else builder,
            builder=builder,
            server_tls=f"{builder}-tls",
            client_tls=f"{builder}-client",
            credentials=f"registry-creds{end}",
            config=f"build-config{end}",
            cli=f"buildkit-cli{end}",
        )


def _check_label_value(value: str) -> None:
    if not _LABEL_VALUE.fullmatch(value) or len(value) > 63:
        raise InvalidOption(
            f"{value!r} is not a valid label value", action="use at most 63 of the characters A-Z a-z 0-9 - _ ."
        )
