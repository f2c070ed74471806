from __future__ import annotations

import json
from pathlib import Path

import pytest

from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.domain.errors import (
    DigestMismatch,
    ManifestUnknown,
    RegistryUnauthorized,
    RegistryUnavailable,
)
from prefect_slipway.infra.registry.images import layer_count, platform_images, total_size
from prefect_slipway.infra.registry.model import Manifest, digest_of
from tests.contract.registry.conftest import PASSWORD, USER, Fixed, client
from tests.faults import front
from tests.images import Pusher
from tests.servers import registry_server


async def test_ping_and_check_push_succeed_with_the_right_credentials(registry: str, repository: str) -> None:
    """With the right credentials both checks pass, and there is no image afterwards."""
    async with client(registry) as reg:
        await reg.ping()
        await reg.check_push(repository)
        assert await reg.tags(repository) == []


async def test_who_gave_no_credentials_is_told_to_give_some(registry: str, repository: str) -> None:
    """And who gave wrong ones to check them."""
    for credentials, told in ((None, "pass credentials for"), (Credential(USER, "wrong"), "check the username")):
        async with client(registry, Fixed(credentials)) as reg:
            with pytest.raises(RegistryUnauthorized) as raised:
                await reg.check_push(repository)
        assert raised.value.action.startswith(told)


async def test_the_check_for_pushing_leaves_nothing_on_the_disk(repository: str, tmp_path: Path) -> None:
    """Debian's registry keeps a folder of each upload that was cancelled: the check begins none."""
    with registry_server(tmp_path) as host, Pusher(host, repository, None) as pusher:
        pusher.image("1.0.0")
        before = sorted((tmp_path / "registry" / "data").rglob("*"))
        async with client(host) as reg:
            await reg.check_push(repository)
            await reg.check_push(f"{repository}-new")
        assert sorted((tmp_path / "registry" / "data").rglob("*")) == before


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b""),
        (404, b"404 page not found"),
        (400, b"<html>bad request</html>"),
        (405, b'{"errors": [{"code": "UNSUPPORTED"}]}'),
    ],
)
async def test_a_registry_that_does_not_say_why_is_asked_to_begin_an_upload(
    registry: str, repository: str, status: int, body: bytes
) -> None:
    """An answer that says nothing of the right to push is followed by an upload, which is begun and cancelled."""
    with front(registry) as fronted:
        fronted.spoil("PUT", "/manifests/", status, body=body)
        async with client(fronted.host) as reg:
            await reg.check_push(repository)
        assert any(each.method == "POST" for each in fronted.seen)
        (ended,) = (each for each in fronted.seen if each.method == "DELETE")
        assert ended.path.startswith(f"/v2/{repository}/blobs/uploads/")


async def test_a_registry_that_stores_anything_is_left_as_it_was(registry: str, repository: str) -> None:
    """A manifest that should have been refused is deleted again."""
    with front(registry) as fronted:
        fronted.spoil("PUT", "/manifests/", 201)
        async with client(fronted.host) as reg:
            await reg.check_push(repository)
        put, deleted = ([each.path for each in fronted.seen if each.method == method] for method in ("PUT", "DELETE"))
        assert deleted[-1] == put[-1]


async def test_an_unknown_repository_has_no_tags(registry: str, repository: str) -> None:
    """A repository that nothing was pushed to is empty, not an error."""
    async with client(registry) as reg:
        assert await reg.tags(repository) == []


async def test_tags_of_all_pages_are_listed(registry: str, repository: str) -> None:
    """The list follows Link headers to the last page, but never to another host (this registry has no pages)."""
    path = f"/v2/{repository}/tags/list"
    links = {
        r"\?n=[0-9]+$": f'<{path}?last=b&n=2>; rel="next"',
        r"\?last=b": f'<http://a-name-of-the-inside.invalid{path}?last=d&n=2>; rel="next"',
        r"\?last=d": f'<{path}?last=d>; rel="next"',
    }
    with front(registry) as fronted:
        for number, (query, link) in enumerate(links.items()):
            body = json.dumps({"name": repository, "tags": [f"1.{number}", f"2.{number}"]}).encode()
            fronted.spoil("GET", f"/tags/list{query}", 200, headers={"Link": link}, body=body)
        async with client(fronted.host) as reg:
            tags = await reg.tags(repository)
    assert sorted(set(tags)) == ["1.0", "1.1", "1.2", "2.0", "2.1", "2.2"]


async def test_head_tells_digest_type_and_size(registry: str, repository: str, pusher: Pusher) -> None:
    """A tag's descriptor is that of what was pushed; a tag that is not there is None."""
    pushed = pusher.image("1.0.0")
    async with client(registry) as reg:
        found = await reg.head(repository, "1.0.0")
        assert found is not None
        assert (found.digest, found.media_type, found.size) == (
            pushed["digest"],
            pushed["mediaType"],
            pushed["size"],
        )
        assert await reg.head(repository, "2.0.0") is None
        assert await reg.head(repository + "-none", "1.0.0") is None


async def test_head_without_a_digest_header_reads_the_manifest(registry: str, repository: str, pusher: Pusher) -> None:
    """A registry that leaves out Docker-Content-Digest gets its manifest read instead."""
    pushed = pusher.image("1.0.0")
    with front(registry) as fronted:
        fronted.spoil("HEAD", "/manifests/", 200)
        async with client(fronted.host) as reg:
            found = await reg.head(repository, "1.0.0")
    assert found is not None
    assert found.digest == pushed["digest"]


async def test_a_manifest_is_read_byte_for_byte(registry: str, repository: str, pusher: Pusher) -> None:
    """Tag and digest lead to the same bytes, whose sha256 is the digest."""
    pushed = pusher.image("1.0.0", layers=[b"first", b"second layer"])
    async with client(registry) as reg:
        by_tag = await reg.manifest(repository, "1.0.0")
        by_digest = await reg.manifest(repository, pushed["digest"])
    assert by_tag == by_digest
    assert digest_of(by_tag.raw) == by_tag.digest == pushed["digest"]
    assert not by_tag.is_index
    config_size = by_tag.blobs[0].size
    assert by_tag.size == config_size + len(b"first") + len(b"second layer")


async def test_a_manifest_that_is_not_there_is_unknown(registry: str, repository: str, pusher: Pusher) -> None:
    """Reading a tag that does not exist names the cause."""
    pusher.image("1.0.0")
    async with client(registry) as reg:
        with pytest.raises(ManifestUnknown):
            await reg.manifest(repository, "9.9.9")


async def test_bytes_that_are_not_what_was_named_are_refused(registry: str, repository: str, pusher: Pusher) -> None:
    """A manifest read by digest must have that digest, whatever stands in between."""
    pushed = pusher.image("1.0.0")
    with front(registry) as fronted:
        fronted.spoil("GET", "/manifests/sha256", 200, body=b'{"schemaVersion": 2}')
        async with client(fronted.host) as reg:
            with pytest.raises(DigestMismatch):
                await reg.manifest(repository, pushed["digest"])


async def test_the_configuration_holds_the_labels(registry: str, repository: str, pusher: Pusher) -> None:
    """image_config gives labels and creation time of an image."""
    pusher.image("1.0.0", labels={"org.opencontainers.image.version": "1.0.0"})
    async with client(registry) as reg:
        config = await reg.image_config(repository, await reg.manifest(repository, "1.0.0"))
    assert config.labels == {"org.opencontainers.image.version": "1.0.0"}
    assert config.created == "2026-01-02T03:04:05Z"
    assert config.platform == "linux/amd64"


async def test_an_index_has_the_configuration_of_its_first_image(
    registry: str, repository: str, pusher: Pusher
) -> None:
    """Attestations (platform unknown/unknown) are passed over; the sizes of all images count, shared layers once."""
    attestation = pusher.image(labels={"is": "attestation"}, layers=[b"in-toto"])
    image = pusher.image(labels={"is": "image"}, layers=[b"shared", b"amd64"])
    other = pusher.image(labels={"is": "image", "for": "arm64"}, layers=[b"shared", b"arm"])
    pusher.index("1.0.0", children=[(attestation, "unknown/unknown"), (image, "linux/amd64"), (other, "linux/arm64")])
    async with client(registry) as reg:
        index = await reg.manifest(repository, "1.0.0")
        assert index.is_index
        assert [child.platform for child in index.children] == ["unknown/unknown", "linux/amd64", "linux/arm64"]
        assert (await reg.image_config(repository, index)).labels == {"is": "image"}
        configs = [(await reg.manifest(repository, each["digest"])).blobs[0].size for each in (image, other)]
        images = await platform_images(reg, repository, index)
        assert {each.platform: each.manifest.digest for each in images} == {
            "linux/amd64": image["digest"],
            "linux/arm64": other["digest"],
        }
        assert layer_count(images) == 3
        assert total_size(images) == sum(configs) + len(b"shared") + len(b"amd64") + len(b"arm")


async def test_put_tag_writes_the_same_bytes(registry: str, repository: str, pusher: Pusher) -> None:
    """A further tag names the very same digest, and may be written again."""
    pushed = pusher.image()
    async with client(registry) as reg:
        manifest = await reg.manifest(repository, pushed["digest"])
        await reg.put_tag(repository, "1.0.0", manifest)
        await reg.put_tag(repository, "1.0.0", manifest)
        found = await reg.head(repository, "1.0.0")
        assert found is not None
        assert found.digest == pushed["digest"]
        assert await reg.tags(repository) == ["1.0.0"]


async def test_a_tag_is_looked_at_after_it_was_written(registry: str, repository: str, pusher: Pusher) -> None:
    """What the registry says it stored counts for nothing: the bytes under the tag do, whatever HEAD says of them."""
    pushed = pusher.image("1.0.0")
    lie = {"Docker-Content-Digest": "sha256:" + "0" * 64}
    with front(registry) as fronted:
        async with client(fronted.host) as reg:
            manifest = await reg.manifest(repository, "1.0.0")
            pusher.image("2.0.0", labels={"another": "image"})
            fronted.spoil("PUT", "/manifests/", 201, headers=lie)
            assert await reg.put_tag(repository, "1.0.0", manifest) == pushed["digest"]
            fronted.spoil("HEAD", "/manifests/[12]", 200, headers={**lie, "Content-Length": "7"})
            assert await reg.put_tag(repository, "1.0.0", manifest) == pushed["digest"]
            # Somebody else was the last to write.
            assert await reg.put_tag(repository, "2.0.0", manifest) not in {pushed["digest"], "sha256:" + "0" * 64}
            with pytest.raises(RegistryUnavailable, match="does not list it"):
                await reg.put_tag(repository, "3.0.0", manifest)


async def test_a_tag_that_shows_late_is_waited_for(registry: str, repository: str, pusher: Pusher) -> None:
    """A registry with a cache before its store may need a moment."""
    pushed = pusher.image()
    with front(registry) as fronted:
        async with client(fronted.host) as reg:
            manifest = await reg.manifest(repository, pushed["digest"])
            fronted.spoil("HEAD", "/manifests/1.0.0", 404, times=2)
            assert await reg.put_tag(repository, "1.0.0", manifest) == pushed["digest"]


@pytest.mark.parametrize("status", [405, 501])
async def test_a_registry_without_head_is_asked_by_get(
    registry: str, repository: str, pusher: Pusher, status: int
) -> None:
    """What there is and what there is not is found out all the same."""
    pushed = pusher.image("1.0.0")
    with front(registry) as fronted:
        fronted.spoil("HEAD", "/manifests/", status)
        async with client(fronted.host) as reg:
            found = await reg.head(repository, "1.0.0")
            assert found is not None
            assert (found.digest, found.size) == (pushed["digest"], pushed["size"])
            assert await reg.head(repository, "2.0.0") is None


async def test_delete_deletes_or_says_no(registry: str, repository: str, pusher: Pusher) -> None:
    """A deleted manifest is gone with its tag; what is gone already is no error, and a registry may refuse."""
    pushed = pusher.image("1.0.0")
    with front(registry) as fronted:
        async with client(fronted.host) as reg:
            fronted.spoil("DELETE", "/manifests/", 405, body=b'{"errors": [{"code": "UNSUPPORTED"}]}', times=1)
            assert not await reg.delete(repository, pushed["digest"])
            assert await reg.delete(repository, pushed["digest"])
            assert await reg.head(repository, "1.0.0") is None
            assert await reg.delete(repository, pushed["digest"])
            fronted.spoil("DELETE", "/manifests/", 503)
            with pytest.raises(RegistryUnavailable):
                await reg.delete(repository, pushed["digest"])


async def test_a_rotated_password_is_picked_up(registry: str) -> None:
    """The source is asked again after a 401, so a password that was rotated in this moment works; then it is kept for
    some seconds."""
    source = Fixed(Credential(USER, "the old one"), Credential(USER, PASSWORD))
    async with client(registry, source) as reg:
        await reg.ping()
        await reg.ping()
    assert len(source.hosts) == 2


async def test_the_password_goes_to_no_other_host(registry: str, repository: str, pusher: Pusher) -> None:
    """A blob that is served by a storage on another host is fetched without the registry's credential."""
    pusher.image("1.0.0", labels={"from": "storage"})
    config = json.dumps({"config": {"Labels": {"from": "storage"}}}).encode()
    with front(registry) as storage, front(registry) as fronted:
        storage.spoil("GET", "^/storage", 200, body=config)
        fronted.spoil("GET", "/blobs/", 307, headers={"Location": f"http://{storage.host}/storage?signature=x"})
        async with client(fronted.host) as reg:
            await reg.ping()
            manifest = await reg.manifest(repository, "1.0.0")
            document = dict(manifest.document) | {
                "config": {"mediaType": "x", "digest": digest_of(config), "size": len(config)}
            }
            stored = Manifest.parse(json.dumps(document).encode(), manifest.media_type)
            assert (await reg.image_config(repository, stored)).labels == {"from": "storage"}
        asked = [each for each in storage.seen if each.path.startswith("/storage")]
        assert len(asked) == 1
        assert "Authorization" not in asked[0].headers
        assert any("Authorization" in each.headers for each in fronted.seen)
