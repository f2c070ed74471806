"""Every answer of a registry is somebody else's: odd, broken, huge or hostile, it is read or refused by name."""

from __future__ import annotations

import gzip
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.infra.common.retry_after import retry_after
from prefect_slipway.infra.domain.errors import AnswerTooLarge, RegistryError, RegistryProtocolError
from prefect_slipway.infra.registry.answers import own_path, tags_of, token_of, upload_of
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.registry.errors import error_of
from prefect_slipway.infra.registry.images import platform_images
from prefect_slipway.infra.registry.model import OCI_INDEX, OCI_MANIFEST, ImageConfig, Manifest, digest_of
from tests.contract.registry.conftest import client
from tests.faults import front

DEEP = b"[" * 200_000
ODD = [b"", b"null", b"[]", b"1", b'"text"', b"\xff\xfe", b"{", DEEP, b'{"a":' * 100_000, b"1" * 5000]

Call = Callable[[RegistryClient], Awaitable[object]]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def answer(body: bytes, **headers: str) -> httpx.Response:
    request = httpx.Request("GET", "https://registry.example.com/v2/app/tags/list")
    return httpx.Response(200, content=body, headers=headers, request=request)


@pytest.mark.parametrize("body", ODD)
async def test_what_is_no_json_object_is_a_protocol_error(registry: str, repository: str, body: bytes) -> None:
    """Tags, manifests and configurations alike, however deep or long the nonsense is."""
    config = Manifest.parse(
        json.dumps({"config": {"mediaType": "x", "digest": digest_of(body), "size": len(body)}}).encode(), OCI_MANIFEST
    )
    calls: list[Call] = [
        lambda reg: reg.tags(repository),
        lambda reg: reg.manifest(repository, "1.0.0"),
        lambda reg: reg.image_config(repository, config),
    ]
    with front(registry) as fronted:
        fronted.spoil("GET", "/tags/|/manifests/|/blobs/", 200, body=body)
        async with client(fronted.host) as reg:
            for call in calls:
                with pytest.raises(RegistryProtocolError):
                    await call(reg)


async def test_tags_that_are_none_are_passed_over(registry: str, repository: str) -> None:
    """A list with numbers, nulls and paths in it gives the tags that are there."""
    tags = [1, None, {"a": "b"}, "../../v2/other", "", "1.0.0", "x" * 200, "a b", ["1.1.0"]]
    with front(registry) as fronted:
        fronted.spoil("GET", "/tags/", 200, body=json.dumps({"tags": tags}).encode())
        async with client(fronted.host) as reg:
            assert await reg.tags(repository) == ["1.0.0"]


async def test_tags_without_a_list_are_a_protocol_error(registry: str, repository: str) -> None:
    """`null` is an empty repository; anything else that is no list is no answer."""
    with front(registry) as fronted:
        async with client(fronted.host) as reg:
            fronted.spoil("GET", "/tags/", 200, body=b'{"tags": null}', times=1)
            assert await reg.tags(repository) == []
            fronted.spoil("GET", "/tags/", 200, body=b'{"tags": {"1.0.0": true}}')
            with pytest.raises(RegistryProtocolError, match="no list of tags"):
                await reg.tags(repository)


async def test_pages_without_end_are_given_up(registry: str, repository: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry that always has one more page is not followed for ever."""
    monkeypatch.setattr("prefect_slipway.infra.registry.client._MOST_PAGES", 20)
    with front(registry) as fronted:
        for number in range(30):
            link = f'<?page={number + 1}&n=1000>; rel="next"'
            query = rf"\?page={number}&" if number else r"\?n=[0-9]+$"
            fronted.spoil("GET", f"/tags/list{query}", 200, headers={"Link": link}, body=b'{"tags": []}')
        async with client(fronted.host) as reg:
            with pytest.raises(RegistryProtocolError, match="on endless pages"):
                await reg.tags(repository)


@pytest.mark.parametrize("link", ["<http://[::1>; rel=next", "<//\x7f>; rel=next", "<>; rel=next", "rel=next", ";;,"])
async def test_a_link_that_is_none(registry: str, repository: str, link: str) -> None:
    """A malformed Link ends the list or is a protocol error."""
    with front(registry) as fronted:
        fronted.spoil("GET", "/tags/list", 200, headers={"Link": link}, body=b'{"tags": ["1.0.0"]}')
        async with client(fronted.host) as reg:
            with suppress(RegistryProtocolError):
                assert set(await reg.tags(repository)) == {"1.0.0"}


async def test_an_answer_without_end_is_cut_off(registry: str, repository: str) -> None:
    """More than a manifest may have, plain or compressed to a thousandth, is not taken into memory."""
    big = b'{"a": "' + b"x" * (5 << 20) + b'"}'
    with front(registry) as fronted:
        fronted.spoil("GET", "/manifests/plain", 200, body=big)
        bomb = gzip.compress(b" " * (64 << 20))
        fronted.spoil("GET", "/manifests/packed", 200, headers={"Content-Encoding": "gzip"}, body=bomb)
        fronted.spoil("GET", "/manifests/broken", 200, headers={"Content-Encoding": "gzip"}, body=b"no gzip")
        async with client(fronted.host) as reg:
            for tag in ("plain", "packed"):
                with pytest.raises(AnswerTooLarge):
                    await reg.manifest(repository, tag)
            with pytest.raises(RegistryProtocolError):
                await reg.manifest(repository, "broken")


async def test_the_error_page_of_a_stranger_is_read_as_far_as_it_helps(registry: str, repository: str) -> None:
    """A refusal of any size, in any alphabet that a header may name, is the refusal."""
    with front(registry) as fronted:
        headers = {"Content-Type": "text/html; charset=zlib"}
        fronted.spoil("GET", "/manifests/", 403, headers=headers, body=b"\xff" * (1 << 20))
        async with client(fronted.host) as reg:
            with pytest.raises(RegistryError, match="HTTP 403"):
                await reg.manifest(repository, "1.0.0")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Docker-Content-Digest": "sha256:short", "Content-Length": "7"},
        {"Docker-Content-Digest": "md5:" + "a" * 32, "Content-Length": "7"},
        {"Docker-Content-Digest": "sha256:" + "a" * 64},
    ],
)
async def test_a_head_that_says_too_little_is_followed_by_a_get(
    registry: str, repository: str, headers: dict[str, str]
) -> None:
    """Digest or size missing or impossible: the bytes tell."""
    raw = json.dumps({"mediaType": OCI_MANIFEST, "layers": []}).encode()
    with front(registry) as fronted:
        fronted.spoil("HEAD", "/manifests/", 200, headers=headers)
        fronted.spoil("GET", "/manifests/", 200, body=raw)
        async with client(fronted.host) as reg:
            found = await reg.head(repository, "1.0.0")
    assert found is not None
    assert (found.digest, found.size) == (digest_of(raw), len(raw))


@pytest.mark.parametrize(
    "entry",
    [
        {"mediaType": "x", "digest": "sha256:../../../v2/other/blobs/x", "size": 1},
        {"mediaType": "x", "digest": "sha256:" + "a" * 64, "size": -1},
        {"mediaType": "x", "digest": "sha256:" + "a" * 64, "size": True},
        {"mediaType": "x", "digest": "sha256:" + "a" * 64, "size": "12"},
        {"mediaType": "x", "digest": "sha256:" + "a" * 64, "size": 1e300},
        {"mediaType": None, "digest": "sha256:" + "a" * 64, "size": 1},
        {"digest": "sha256:" + "a" * 64},
        None,
        [],
    ],
)
def test_a_descriptor_that_is_none(entry: object) -> None:
    """A digest goes into the next request's path and a size into sums: both are what they should be."""
    index = Manifest.parse(json.dumps({"manifests": [entry]}).encode(), OCI_INDEX)
    with pytest.raises(RegistryProtocolError):
        _ = index.children


async def test_an_index_of_a_million_images_is_not_fetched(registry: str, repository: str) -> None:
    """Each entry would cost a request."""
    entry = {"mediaType": OCI_MANIFEST, "digest": "sha256:" + "a" * 64, "size": 1}
    index = Manifest.parse(json.dumps({"manifests": [entry] * 1001}).encode(), OCI_INDEX)
    with front(registry) as fronted:
        async with client(fronted.host) as reg:
            with pytest.raises(RegistryProtocolError, match="1001 manifests"):
                await platform_images(reg, repository, index)
        assert fronted.seen == []


@given(st.dictionaries(st.sampled_from(["config", "rootfs", "os", "architecture", "created"]), _JSON))
def test_a_strange_configuration_has_what_makes_sense_of_it(document: dict[str, object]) -> None:
    """Whatever stands where labels and layers should."""
    config = ImageConfig.parse(json.dumps(document).encode(), "sha256:x")
    assert all(isinstance(value, str) for value in config.labels.values())
    assert all(isinstance(one, str) for one in config.diff_ids)


@given(_JSON)
def test_strange_tokens_are_refused_or_usable(document: object) -> None:
    """A token is text that fits into a header, with a lifetime that is a number of seconds."""
    for value in (document, {"token": document}, {"token": "t", "expires_in": document}):
        try:
            token, lifetime = token_of(answer(json.dumps(value).encode()), "registry.example.com")
        except RegistryProtocolError:
            continue
        assert token.isascii()
        assert 0 <= lifetime <= 86400


async def test_an_upload_that_leads_nowhere_is_a_protocol_error(registry: str, repository: str) -> None:
    """Without a Location, or with one that is no URL."""
    with front(registry) as fronted:
        async with client(fronted.host) as reg:
            fronted.spoil("POST", "/blobs/uploads/", 202, times=1)
            with pytest.raises(RegistryProtocolError, match="does not say where"):
                await reg.put_blob(repository, b"{}")
            fronted.spoil("POST", "/blobs/uploads/", 202, headers={"Location": "http://[::1"})
            with pytest.raises(RegistryProtocolError, match="invalid URL"):
                await reg.put_blob(repository, b"{}")


@given(st.text(max_size=40))
def test_any_header_is_read_or_refused(text: str) -> None:
    """Locations, dates of Retry-After and error bodies, whatever they hold."""
    response = answer(text.encode("utf-8", "surrogatepass"), Location=text.encode("ascii", "ignore").decode())
    retry_after(text)
    error_of(httpx.Response(418, content=response.content, request=response.request))
    for read in (upload_of, tags_of):
        with suppress(RegistryProtocolError):
            read(response)
    with suppress(RegistryProtocolError):
        own_path(response, text)


async def test_the_clock_is_the_registrys(registry: str) -> None:
    """The time of its answers, going on from there; what is no date changes nothing."""
    with front(registry) as fronted:
        async with client(fronted.host) as reg:
            fronted.spoil("GET", "^/v2/$", 200, headers={"Date": "Thu, 01 Jan 2032 00:00:00 GMT"}, times=1)
            fronted.spoil("GET", "^/v2/$", 200, headers={"Date": "yesterday"})
            await reg.ping()
            first = reg.now()
            await reg.ping()
            assert 1956528000 <= first <= reg.now() < 1956528000 + 3600
