"""What is attached to an image: in cosign's tag, and as manifests that refer to it, with the API and without."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from prefect_slipway.infra.domain.errors import (
    AnswerTooLarge,
    DigestMismatch,
    ManifestUnknown,
    ReferrersRefused,
    RegistryForbidden,
    RegistryProtocolError,
    RegistryUnavailable,
    TagImmutable,
    WritesCollide,
)
from prefect_slipway.infra.domain.signing import Attachment, Attachments
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.registry.model import OCI_INDEX, OCI_MANIFEST, Manifest
from prefect_slipway.infra.registry.referrers import Referrers
from prefect_slipway.infra.registry.signatures import TaggedAttachments
from tests.contract.registry.conftest import client
from tests.faults import Front, front
from tests.images import Pusher

TYPE = "application/vnd.example.note+json"
TAG = r"/manifests/sha256-"
ABSENT = "sha256:" + "0" * 64

Make = Callable[..., Attachments]


def note(text: str) -> Attachment:
    return Attachment(TYPE, json.dumps({"note": text}).encode(), {"dev.example.note": text})


def tagged(reg: RegistryClient, repository: str, **options: Any) -> TaggedAttachments:
    return TaggedAttachments(reg, repository, **options)


def referrers(reg: RegistryClient, repository: str, **options: Any) -> Referrers:
    return Referrers(reg, repository, TYPE, **options)


@pytest.fixture(params=[tagged, referrers])
def make(request: pytest.FixtureRequest) -> Make:
    """Both ways to attach something: the port's contract is one."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def digest(pusher: Pusher) -> str:
    """An image's."""
    return str(pusher.image("1.0.0")["digest"])


@pytest.fixture
async def reg(registry: str) -> AsyncIterator[RegistryClient]:
    async with client(registry) as reg:
        yield reg


async def at_once(seconds: float) -> None:
    """A pause that is over at once."""


def puts(fronted: Front) -> int:
    """How often the list of attachments was written."""
    return sum(each.method == "PUT" and TAG in each.path for each in fronted.seen)


async def notes(store: Attachments, digest: str) -> list[str]:
    """What is attached, read back."""
    found = []
    for attached in await store.attached(digest):
        assert attached.media_type == TYPE
        text = json.loads(await store.content(attached))["note"]
        assert attached.annotations == {"dev.example.note": text}
        found.append(text)
    return found


async def test_what_was_attached_is_listed_and_read(
    make: Make, reg: RegistryClient, repository: str, digest: str
) -> None:
    """Type, annotations and content as they were, one after the other; nothing before, and nothing at other images."""
    store = make(reg, repository)
    assert await store.attached(digest) == []
    await store.add(digest, [note("a")])
    await store.add(digest, [note("b"), note("c")])
    assert await notes(store, digest) == ["a", "b", "c"]
    assert await store.attached(ABSENT) == []


async def test_the_same_again_is_not_listed_twice(
    make: Make, reg: RegistryClient, repository: str, digest: str
) -> None:
    """Alone, and together with something new."""
    store = make(reg, repository)
    await store.add(digest, [note("a")])
    await store.add(digest, [note("a")])
    await store.add(digest, [note("a"), note("b")])
    assert await notes(store, digest) == ["a", "b"]


async def test_the_image_itself_stays_as_it_is(make: Make, reg: RegistryClient, repository: str, digest: str) -> None:
    """Its tag, its digest and its manifest."""
    before = await reg.manifest(repository, "1.0.0")
    await make(reg, repository).add(digest, [note("a")])
    assert await reg.manifest(repository, "1.0.0") == before


async def test_many_attach_at_one_moment(make: Make, registry: str, repository: str, digest: str) -> None:
    """Eight writers that know nothing of each other: each one's is there in the end."""

    async def attach(number: int) -> None:
        async with client(registry) as reg:
            await make(reg, repository).add(digest, [note(str(number))])

    await asyncio.gather(*(attach(number) for number in range(8)))
    async with client(registry) as reg:
        assert sorted(await notes(make(reg, repository), digest)) == [str(number) for number in range(8)]


async def test_who_was_overwritten_after_its_own_look_writes_again(
    make: Make, registry: str, repository: str, digest: str
) -> None:
    """A slow writer has read before the fast one wrote, and writes after the fast one has looked: nothing is lost."""
    may_write = threading.Event()
    with front(registry) as slow:
        slow.spoil("PUT", TAG, until=may_write, times=1)
        async with client(slow.host, timeout_s=60.0) as slow_reg, client(registry) as reg:
            slowly = asyncio.create_task(make(slow_reg, repository).add(digest, [note("slow")]))
            while not puts(slow):
                await asyncio.sleep(0.01)
            store = make(reg, repository)

            async def pause(seconds: float) -> None:
                """The fast one has written and looked. Before it looks once more the slow one overwrites it."""
                may_write.set()
                while "slow" not in await notes(store, digest):
                    await asyncio.sleep(0.01)

            await make(reg, repository, pause=pause).add(digest, [note("fast")])
            await slowly
            assert sorted(await notes(store, digest)) == ["fast", "slow"]


async def test_who_is_overwritten_again_and_again_gives_up(
    make: Make, registry: str, repository: str, digest: str
) -> None:
    """A registry that takes each write and forgets it: a cause that says so, worth a retry."""
    with front(registry) as forgetful:
        forgetful.spoil("PUT", TAG, 201)
        async with client(forgetful.host) as reg:
            with pytest.raises(WritesCollide) as caught:
                await make(reg, repository, pause=at_once).add(digest, [note("a")])
    assert caught.value.retryable


async def test_who_reads_while_others_write_reads_again(
    make: Make, registry: str, repository: str, digest: str
) -> None:
    """distribution answers 500 in that moment; a registry in trouble is told as such all the same."""
    with front(registry) as fronted:
        async with client(fronted.host) as reg:
            store = make(reg, repository, pause=at_once)
            await store.add(digest, [note("a")])
            fronted.spoil("GET", TAG, 500, times=2)
            assert await notes(store, digest) == ["a"]
            fronted.spoil("GET", TAG, 500)
            with pytest.raises(RegistryUnavailable):
                await store.attached(digest)


async def test_what_is_there_already_is_not_written(make: Make, registry: str, repository: str, digest: str) -> None:
    """The list is read and left as it is: no request writes to the tag."""
    with front(registry) as fronted:
        async with client(fronted.host) as reg:
            await make(reg, repository).add(digest, [note("a")])
            before = puts(fronted)
            await make(reg, repository).add(digest, [note("a")])
            assert puts(fronted) == before


async def test_a_tag_that_may_not_be_overwritten_is_told(
    make: Make, registry: str, repository: str, digest: str
) -> None:
    """The rule that forbids it is named with the tags to exclude from it."""
    body = b'{"errors": [{"code": "TAG_INVALID", "message": "... because the tag is immutable."}]}'
    with front(registry) as fronted:
        fronted.spoil("PUT", TAG, 400, body=body)
        async with client(fronted.host) as reg:
            with pytest.raises(TagImmutable, match=r"exclude the tags sha256-\*"):
                await make(reg, repository).add(digest, [note("a")])


async def test_a_missing_right_is_told(make: Make, registry: str, repository: str, digest: str) -> None:
    """403 from the upload on."""
    with front(registry) as fronted:
        fronted.spoil("POST", "/blobs/uploads/", 403, body=b'{"errors": [{"code": "DENIED"}]}')
        async with client(fronted.host) as reg:
            with pytest.raises(RegistryForbidden, match="403 DENIED"):
                await make(reg, repository).add(digest, [note("a")])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"mediaType": "text/html"}',
        b'{"layers": {}, "manifests": {}}',
        b'{"layers": [7], "manifests": [7]}',
        b'{"layers": [{"digest": "../../x"}], "manifests": [{"digest": "../../x", "artifactType": "%s"}]}'
        % TYPE.encode(),
    ],
)
async def test_a_tag_that_holds_something_else_is_told(
    make: Make, registry: str, repository: str, digest: str, body: bytes
) -> None:
    """Whatever is there, it is neither taken for a list of attachments nor overwritten."""
    media_type = OCI_MANIFEST if make is tagged else OCI_INDEX
    with front(registry) as fronted:
        fronted.spoil("GET", TAG, 200, headers={"Content-Type": media_type}, body=body)
        async with client(fronted.host) as reg:
            with pytest.raises(RegistryProtocolError):
                await make(reg, repository).attached(digest)
            if b"digest" not in body:
                with pytest.raises(RegistryProtocolError):
                    await make(reg, repository).add(digest, [note("a")])
        assert puts(fronted) == 0


async def test_more_bytes_than_allowed_are_not_read(make: Make, registry: str, repository: str, digest: str) -> None:
    """A list above 4 MiB, a content that is announced as too large, one that is larger than was announced."""
    with front(registry) as fronted:
        async with client(fronted.host) as reg:
            store = make(reg, repository, limit=40)
            await store.add(digest, [note("short"), note("a note that is too long for this reader")])
            short, long = await store.attached(digest)
            assert await store.content(short)
            with pytest.raises(AnswerTooLarge, match="more than 40"):
                await store.content(long)
            fronted.spoil("GET", "/blobs/", 200, body=b"x" * 1000)
            with pytest.raises(AnswerTooLarge, match="more than 40 bytes"):
                await store.content(short)
            fronted.spoil("GET", TAG, 200, headers={"Content-Type": OCI_INDEX}, body=b" " * (4 * 1024 * 1024 + 1))
            with pytest.raises(AnswerTooLarge, match="more than 4194304 bytes"):
                await store.attached(digest)


async def test_other_bytes_than_were_listed_are_refused(
    make: Make, registry: str, repository: str, digest: str
) -> None:
    """Cut, exchanged or gone."""
    with front(registry) as fronted:
        async with client(fronted.host) as reg:
            store = make(reg, repository)
            await store.add(digest, [note("a")])
            (attached,) = await store.attached(digest)
            for body in (b"", (await store.content(attached))[:-1], b'{"note":"b"}'):
                fronted.heal()
                fronted.spoil("GET", "/blobs/", 200, body=body)
                with pytest.raises(DigestMismatch):
                    await store.content(attached)
            fronted.heal()
            fronted.spoil("GET", "/blobs/|/manifests/sha256:", 404, body=b'{"errors": [{"code": "BLOB_UNKNOWN"}]}')
            with pytest.raises(ManifestUnknown):
                await store.content(attached)


async def test_an_image_that_is_not_there_cannot_be_referred_to(
    reg: RegistryClient, repository: str, digest: str
) -> None:
    """The list of its referrers would hang in the air."""
    with pytest.raises(ManifestUnknown, match=ABSENT):
        await referrers(reg, repository).add(ABSENT, [note("a")])


async def test_a_registry_that_refuses_referrers_is_told(registry: str, repository: str, digest: str) -> None:
    """Some registries take no artifacts: the cause says so, and names the older format."""
    body = b'{"errors": [{"code": "MANIFEST_INVALID", "message": "unknown field: subject"}]}'
    with front(registry) as fronted:
        fronted.spoil("PUT", "/manifests/sha256:", 400, body=body)
        async with client(fronted.host) as reg:
            with pytest.raises(ReferrersRefused, match="--sign-format cosign"):
                await referrers(reg, repository).add(digest, [note("a")])


async def test_a_registry_that_keeps_the_list_itself_is_left_to_do_so(
    registry: str, repository: str, digest: str
) -> None:
    """Its answer says so (OCI-Subject): no tag is written."""
    with front(registry) as fronted:
        fronted.spoil("PUT", "/manifests/sha256:", 201, headers={"OCI-Subject": digest})
        async with client(fronted.host) as reg:
            await referrers(reg, repository).add(digest, [note("a")])
        assert puts(fronted) == 0


async def test_the_registrys_list_has_pages(registry: str, repository: str, digest: str) -> None:
    """They are followed to the last one, on this registry only; other types on them are passed over."""
    entry = {"mediaType": OCI_MANIFEST, "size": 3, "annotations": {}}
    path = f"/v2/{repository}/referrers/{digest}"
    pages = {
        r"\?artifactType=application%2F[^&]*$": ("1" * 64, TYPE, f'<{path}?page=2>; rel="next"'),
        r"\?page=2": ("2" * 64, TYPE, f'<http://a-name-of-the-inside.invalid{path}?page=3>; rel="next"'),
        r"\?page=3": ("3" * 64, "application/vnd.example.other", ""),
    }
    with front(registry) as fronted:
        for query, (number, kind, link) in pages.items():
            index = {
                "mediaType": OCI_INDEX,
                "manifests": [{**entry, "digest": f"sha256:{number}", "artifactType": kind}],
            }
            headers = {"Content-Type": OCI_INDEX} | ({"Link": link} if link else {})
            fronted.spoil("GET", f"/referrers/.*{query}", 200, headers=headers, body=json.dumps(index).encode())
        async with client(fronted.host) as reg:
            found = await referrers(reg, repository).attached(digest)
    assert [each.digest for each in found] == [f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"]


async def test_a_list_without_an_end_is_left(registry: str, repository: str, digest: str) -> None:
    """A registry that has always one more page."""
    headers = {"Content-Type": OCI_INDEX, "Link": f'</v2/{repository}/referrers/{digest}?page=9>; rel="next"'}
    with front(registry) as fronted:
        fronted.spoil("GET", "/referrers/", 200, headers=headers, body=b'{"manifests": []}')
        async with client(fronted.host) as reg:
            with pytest.raises(AnswerTooLarge, match="pages"):
                await referrers(reg, repository).attached(digest)


@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        (404, "application/json", b""),
        (400, "application/json", b""),
        (405, "", b""),
        (200, "text/html", b"<html>"),
        (200, OCI_INDEX, b'{"manifests": []}'),
        (200, OCI_INDEX, b'{"manifests": [{"digest": "sha256:%064d", "size": 1, "artifactType": ["a"]}]}' % 0),
    ],
)
async def test_what_the_tag_lists_is_found_whatever_the_registry_answers(
    registry: str, repository: str, digest: str, status: int, content_type: str, body: bytes
) -> None:
    """No API, a web page, or an API that came later than what is in the tag and knows nothing of it, but perhaps of
    other things."""
    with front(registry) as fronted:
        async with client(fronted.host) as reg:
            store = referrers(reg, repository)
            await store.add(digest, [note("a")])
            fronted.spoil("GET", "/referrers/", status, headers={"Content-Type": content_type}, body=body)
            assert await notes(store, digest) == ["a"]


async def test_referrers_that_may_not_be_listed_are_not_taken_for_none(
    registry: str, repository: str, digest: str
) -> None:
    """A registry that refuses to tell, or is in trouble, has not said that there are none."""
    with front(registry) as fronted:
        async with client(fronted.host) as reg:
            for status, cause in ((403, RegistryForbidden), (503, RegistryUnavailable)):
                fronted.heal()
                fronted.spoil("GET", "/referrers/", status)
                with pytest.raises(cause):
                    await referrers(reg, repository).attached(digest)


async def test_a_list_that_leaves_the_type_open_is_looked_through(
    reg: RegistryClient, repository: str, digest: str, pusher: Pusher
) -> None:
    """Tools list other types than their manifests say: what the manifest says counts."""
    store = referrers(reg, repository)
    await store.add(digest, [note("a")])
    tag = digest.replace(":", "-")
    index = json.loads((await reg.manifest(repository, tag)).raw)
    for entry in index["manifests"]:
        entry["artifactType"] = "application/vnd.oci.empty.v1+json"
        del entry["annotations"]
    stranger = pusher.image(layers=[b"no note"])
    index["manifests"] += [stranger]
    await reg.put_tag(repository, tag, Manifest.parse(json.dumps(index).encode(), OCI_INDEX))
    assert await notes(store, digest) == ["a"]


async def test_signatures_that_others_added_keep_their_place(
    reg: RegistryClient, repository: str, digest: str, pusher: Pusher
) -> None:
    """Whatever a manifest holds besides: it stays as it is."""
    blob = pusher.blob(b"config")
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **blob},
        "layers": [{"mediaType": "text/plain", **pusher.blob(b"theirs"), "annotations": {"by": "others"}}],
        "annotations": {"made": "by others"},
    }
    tag = digest.replace(":", "-") + ".sig"
    await reg.put_tag(repository, tag, Manifest.parse(json.dumps(manifest).encode(), OCI_MANIFEST))
    await tagged(reg, repository).add(digest, [note("a")])
    document: Any = (await reg.manifest(repository, tag)).document
    assert document["annotations"] == {"made": "by others"}
    assert document["layers"][0] == manifest["layers"][0]
    assert len(document["layers"]) == 2
