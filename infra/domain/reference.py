"""Image references, tags and digests as in the OCI distribution and image specifications.

Grammar: github.com/distribution/reference (`reference.go`, `regexp.go`); a tag: OCI distribution spec,
"Pulling manifests"; a digest: OCI image spec, descriptor.md "Digests".
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace

from prefect_slipway.infra.domain.errors import InvalidReference, InvalidTag

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_DOMAIN_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST_NAME = rf"(?:{_DOMAIN_LABEL}(?:\.{_DOMAIN_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?"
_HOST = re.compile(_HOST_NAME)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
# What docker treats as an image's id (reference.ParseNormalizedNamed).
_IMAGE_ID = re.compile(r"[0-9a-f]{64}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")

IMAGE_NAME = rf"(?:{_HOST_NAME}/)?{_REPOSITORY.pattern}"
"""The names of images without tag and digest, as a regular expression that JSON Schema reads as well."""

DOCKER_HUB = "docker.io"
# Docker Hub's API lives at another name than its references use (docker's registry client).
_DOCKER_HUB_API = "registry-1.docker.io"
_DOCKER_HUB_ALIASES = {DOCKER_HUB, "index.docker.io", _DOCKER_HUB_API}


def is_tag(text: str) -> bool:
    """Whether the OCI grammar allows `text` as a tag."""
    return _TAG.fullmatch(text) is not None


def check_tag(tag: str) -> str:
    """Give `tag` back if the OCI grammar allows it; raises InvalidTag."""
    if not is_tag(tag):
        raise InvalidTag(f"{tag!r} is not a valid image tag")
    return tag


def is_digest(text: str) -> bool:
    """Whether `text` is an OCI digest of a registered algorithm (sha256, sha512)."""
    return _DIGEST.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class ImageReference:
    """`registry/repository[:tag][@digest]`; `registry` is a host with an optional port, never empty."""

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> ImageReference:
        """Read a reference the way docker does: no registry means Docker Hub. Raises InvalidReference."""
        if _IMAGE_ID.fullmatch(text):
            raise InvalidReference(f"{text!r} is an image id, not a name")
        rest, digest = text, None
        if "@" in rest:
            rest, _, digest = rest.partition("@")
            if not is_digest(digest):
                # Not repeated: the text before an @ may be a password.
                raise InvalidReference(
                    "the text after @ in an image reference is not a digest (sha256:<64 hex digits>)"
                )
        name, colon, tag = rest.rpartition(":")
        if not colon or "/" in tag:
            name, tag = rest, ""
        elif not is_tag(tag):
            raise InvalidReference(f"{text!r}: {tag!r} is not a valid image tag")
        registry, repository = _split(name)
        if not _HOST.fullmatch(registry) or not _legal_port(registry):
            raise InvalidReference(f"{text!r}: {registry!r} is not a registry's host name")
        if not _REPOSITORY.fullmatch(repository):
            hint = " (repositories are lower case)" if repository != repository.lower() else ""
            raise InvalidReference(f"{text!r}: {repository!r} is not a valid repository name{hint}")
        if len(repository) > 255:
            raise InvalidReference(f"{text[:60]!r}...: the repository's name is longer than 255 characters")
        return cls(registry.lower(), repository, tag or None, digest)

    @property
    def name(self) -> str:
        """Registry and repository, without tag and digest."""
        return f"{self.registry}/{self.repository}"

    @property
    def group(self) -> str:
        """The repository without its last component, as build-config's REPOSITORY names it; all of it if it has one."""
        return self.repository.rpartition("/")[0] or self.repository

    @property
    def api_host(self) -> str:
        """The host that serves the distribution API (differs from `registry` for Docker Hub alone)."""
        return _DOCKER_HUB_API if self.registry == DOCKER_HUB else self.registry

    def with_tag(self, tag: str) -> ImageReference:
        return replace(self, tag=check_tag(tag), digest=None)

    def with_digest(self, digest: str) -> ImageReference:
        if not is_digest(digest):
            raise InvalidReference(f"{digest!r} is not a digest")
        return replace(self, digest=digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"


def normalize_registry_host(host: str) -> str:
    """The key under which a host's credential is kept: `docker.io` for all names that Docker Hub goes by.

    Accepts what docker's config.json holds (`https://index.docker.io/v1/`) as well.
    """
    bare = re.sub(r"^https?://", "", host.strip().lower()).split("/", 1)[0]
    return DOCKER_HUB if bare in _DOCKER_HUB_ALIASES else bare


def repository_name(text: str) -> str:
    """A valid repository name made from any name: lower case, with `-` for what the grammar forbids; "" if nothing is
    left of it."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def is_loopback(registry: str) -> bool:
    """Whether the registry is on this machine, where plain HTTP is taken as meant (as docker does)."""
    host = registry.rpartition(":")[0] if re.search(r":[0-9]+$", registry) else registry
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


def _legal_port(registry: str) -> bool:
    port = re.search(r":([0-9]+)$", registry)
    return port is None or 0 < int(port[1]) < 65536


def _split(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        first, rest = DOCKER_HUB, name
    if normalize_registry_host(first) == DOCKER_HUB:
        # Docker Hub's own images have no namespace in print, but one in the API.
        return DOCKER_HUB, rest if "/" in rest else f"library/{rest}"
    return first, rest
