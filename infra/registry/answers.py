"""Read a registry's answers and check the type and form of every value.

Sources: OCI distribution specification 1.1 (`Listing Tags`, `Pushing blobs`), distribution's token specification.
"""

from __future__ import annotations

import math

import httpx

from prefect_slipway.infra.domain.errors import RegistryProtocolError
from prefect_slipway.infra.domain.reference import is_digest, is_tag
from prefect_slipway.infra.registry.model import Descriptor, json_object

# "When omitted, this defaults to 60 seconds" (token.md, expires_in).
_DEFAULT_LIFETIME_S = 60.0
_LONGEST_LIFETIME_S = 86400.0


def where(response: httpx.Response) -> str:
    """The request of an answer, for messages."""
    return f"the answer of {response.url.netloc.decode('ascii')} to {response.request.method} {response.url.path}"


def tags_of(response: httpx.Response) -> list[str]:
    """The tags of one page. What is not a tag cannot be named in a request either, and is passed over."""
    tags = json_object(response.content, where(response)).get("tags")
    if tags is None:
        return []
    if not isinstance(tags, list):
        raise RegistryProtocolError(f"{where(response)} has no list of tags")
    return [tag for tag in tags if isinstance(tag, str) and is_tag(tag)]


def next_page(response: httpx.Response) -> str | None:
    """Path and query of the page after this one, None after the last."""
    try:
        link = response.links.get("next", {}).get("url")
    except (ValueError, IndexError) as error:
        raise RegistryProtocolError(f"{where(response)} has a malformed Link") from error
    return own_path(response, link) if link else None


def own_path(response: httpx.Response, link: str) -> str:
    """Path and query of a link a registry gave, whose host it may know by another name than its users."""
    try:
        return response.url.join(link).raw_path.decode("ascii")
    except (httpx.InvalidURL, ValueError) as error:
        raise RegistryProtocolError(f"{where(response)} redirects to an invalid URL") from error


def upload_of(response: httpx.Response) -> str:
    """Path and query that continue an upload."""
    location = response.headers.get("Location")
    if not location:
        raise RegistryProtocolError(f"{where(response)} does not say where to continue the upload")
    return own_path(response, location)


def descriptor_of(response: httpx.Response) -> Descriptor | None:
    """What a HEAD says of a manifest; None if it does not say enough."""
    digest = response.headers.get("Docker-Content-Digest", "")
    size = response.headers.get("Content-Length", "")
    if not is_digest(digest) or not (size.isascii() and size.isdigit() and len(size) < 19):
        return None
    return Descriptor(response.headers.get("Content-Type", ""), digest, int(size))


def claimed_digest(response: httpx.Response) -> str | None:
    """The digest that a registry states for a body, None without a valid one."""
    digest = response.headers.get("Docker-Content-Digest", "")
    return digest if is_digest(digest) else None


def token_of(response: httpx.Response, host: str) -> tuple[str, float]:
    """A token and its lifetime in seconds."""
    answer = json_object(response.content, f"the answer of the token server of {host}")
    value = answer.get("token") or answer.get("access_token")
    if not isinstance(value, str) or not (value.isascii() and value.isprintable()):
        raise RegistryProtocolError(f"the token server of {host} answered without a token")
    try:
        lifetime = float(answer["expires_in"])
    except (KeyError, ValueError, TypeError, OverflowError):
        lifetime = _DEFAULT_LIFETIME_S
    return value, min(max(lifetime, 0.0), _LONGEST_LIFETIME_S) if math.isfinite(lifetime) else _DEFAULT_LIFETIME_S
