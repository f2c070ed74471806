"""Image references, tags and digests by the grammar of the OCI specifications, and docker's reading of short names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.infra.domain.errors import InvalidReference, InvalidTag
from prefect_slipway.infra.domain.reference import (
    ImageReference,
    check_tag,
    is_digest,
    is_loopback,
    normalize_registry_host,
)

SHA256 = f"sha256:{'a1' * 32}"
SHA512 = f"sha512:{'b2' * 64}"

COMPONENTS = st.from_regex(r"[a-z0-9]{1,5}((\.|_|__|-{1,3})[a-z0-9]{1,5}){0,2}", fullmatch=True)
REPOSITORIES = st.lists(COMPONENTS, min_size=1, max_size=4).map("/".join)
HOSTS = st.one_of(
    st.from_regex(r"[a-z0-9]{1,8}(-[a-z0-9]{1,4})?\.[a-z]{2,5}", fullmatch=True),
    st.just("localhost"),
    st.just("[2001:db8::1]"),
)
REGISTRIES = st.one_of(HOSTS, st.builds("{}:{}".format, HOSTS, st.integers(1, 65535)))
TAGS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", fullmatch=True)
DIGESTS = st.sampled_from([SHA256, SHA512])


@given(REGISTRIES, REPOSITORIES, st.none() | TAGS, st.none() | DIGESTS)
def test_reading_gives_what_was_written(registry: str, repository: str, tag: str | None, digest: str | None) -> None:
    """A complete reference comes back part by part and as text."""
    if registry.partition(":")[0] in {"docker.io", "index.docker.io"}:
        return
    text = f"{registry}/{repository}" + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
    reference = ImageReference.parse(text)
    assert reference == ImageReference(registry, repository, tag, digest)
    assert str(reference) == text
    assert reference.name == f"{registry}/{repository}"


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_by_name(text: str) -> None:
    """Reading raises nothing else, and what is read can be read again to the same."""
    try:
        reference = ImageReference.parse(text)
    except InvalidReference:
        return
    assert ImageReference.parse(str(reference)) == reference


@pytest.mark.parametrize(
    ("text", "registry", "repository"),
    [
        ("busybox", "docker.io", "library/busybox"),
        ("team/app", "docker.io", "team/app"),
        ("docker.io/busybox", "docker.io", "library/busybox"),
        ("index.docker.io/busybox", "docker.io", "library/busybox"),
        ("docker.io/team/app", "docker.io", "team/app"),
        ("registry.example.com/app", "registry.example.com", "app"),
        ("localhost/app", "localhost", "app"),
        ("host:5000/app", "host:5000", "app"),
        ("Registry.Example.com/app", "registry.example.com", "app"),
        ("UPPER/app", "upper", "app"),
        ("[::1]:5000/app", "[::1]:5000", "app"),
        ("a/b/c/d", "docker.io", "a/b/c/d"),
    ],
)
def test_short_names_mean_what_they_mean_to_docker(text: str, registry: str, repository: str) -> None:
    """A first part with a dot, a colon or an upper case letter, or localhost, is a registry; else it is Docker Hub."""
    reference = ImageReference.parse(text)
    assert (reference.registry, reference.repository) == (registry, repository)


def test_an_image_id_is_no_name() -> None:
    """docker takes 64 hex digits for an id and refuses them as a name; with anything else in it a name it is."""
    for text in ("a1" * 32, "0" * 64):
        with pytest.raises(InvalidReference, match="image id"):
            ImageReference.parse(text)
        for name in (f"{text}:1.0", f"team/{text}", f"localhost:5000/{text}", text[1:], f"{text}0"):
            assert ImageReference.parse(name).repository.rpartition("/")[2] in {text, text[1:], f"{text}0"}


def test_a_port_is_no_tag() -> None:
    """The colon that belongs to the host."""
    assert ImageReference.parse("host:5000/app:1.0").tag == "1.0"
    assert ImageReference.parse("host:5000/app").tag is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "app:",
        "app@",
        "app@sha256:abc",
        f"app@{SHA256.upper()}",
        f"app@{SHA256}@{SHA256}",
        f"app:tag@md5:{'a' * 32}",
        "host.example.com/",
        "host.example.com/App",
        "host.example.com//app",
        "host.example.com/app/",
        "host.example.com/-app",
        "host.example.com/a___b",
        "host.example.com/a..b",
        "host.example.com/app:.tag",
        f"host.example.com/app:{'a' * 129}",
        f"host.example.com/{'a' * 256}",
        "host.example.com:0/app",
        "host.example.com:65536/app",
        "host.example.com:/app",
        "-host.example.com/app",
        "https://host.example.com/app",
        "user@host.example.com/app",
        "host.example.com/app\n",
        "host.example.com/app:1\n",
        " app",
        "host.example.com/é",
    ],
)
def test_illegal_references_are_refused(text: str) -> None:
    """What the grammar forbids never reaches a registry."""
    with pytest.raises(InvalidReference):
        ImageReference.parse(text)


def test_the_longest_repository_is_255_characters() -> None:
    """distribution/reference counts the repository without the registry."""
    assert ImageReference.parse(f"host.example.com/{'a' * 255}").repository == "a" * 255


def test_upper_case_repositories_are_explained() -> None:
    """The commonest mistake is named."""
    with pytest.raises(InvalidReference, match="lower case"):
        ImageReference.parse("host.example.com/Team/app")


def test_tag_and_digest_can_be_set() -> None:
    """A new tag drops the digest, which was another image's; illegal ones are refused."""
    reference = ImageReference.parse(f"host.example.com/app:1@{SHA256}")
    assert str(reference.with_tag("2")) == "host.example.com/app:2"
    assert str(reference.with_digest(SHA512)) == f"host.example.com/app:1@{SHA512}"
    with pytest.raises(InvalidTag):
        reference.with_tag("a b")
    with pytest.raises(InvalidReference):
        reference.with_digest("sha256:1")


@given(TAGS)
def test_legal_tags_are_given_back(tag: str) -> None:
    """Up to 128 characters of the set."""
    assert check_tag(tag) == tag


@pytest.mark.parametrize("tag", ["", ".a", "-a", "a b", "a+b", "a/b", "a:b", "a" * 129, "a\n", "é"])
def test_illegal_tags_are_refused(tag: str) -> None:
    """Everything else."""
    with pytest.raises(InvalidTag):
        check_tag(tag)


def test_digests_are_recognised() -> None:
    """The registered algorithms, in lower case, of their exact length."""
    assert is_digest(SHA256)
    assert is_digest(SHA512)
    for text in ("", "sha256:", SHA256[:-1], SHA256 + "0", SHA256.upper(), f"{SHA256}\n", f"md5:{'a' * 32}"):
        assert not is_digest(text)


def test_docker_hubs_api_has_another_name() -> None:
    """And no other registry's has."""
    assert ImageReference.parse("busybox").api_host == "registry-1.docker.io"
    assert ImageReference.parse("host.example.com:5000/app").api_host == "host.example.com:5000"


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("docker.io", "docker.io"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("registry-1.docker.io", "docker.io"),
        ("Registry.Example.com", "registry.example.com"),
        ("http://host:5000", "host:5000"),
        (" host:5000 ", "host:5000"),
    ],
)
def test_hosts_have_one_key(host: str, key: str) -> None:
    """However a registry is written, its credential is found."""
    assert normalize_registry_host(host) == key


@given(REGISTRIES)
def test_a_hosts_key_is_its_own_key(registry: str) -> None:
    """Normal form once is normal form for good."""
    key = normalize_registry_host(registry)
    assert normalize_registry_host(key) == key


@pytest.mark.parametrize("host", ["localhost", "localhost:5000", "127.0.0.1", "127.8.9.1:80", "[::1]", "[::1]:5000"])
def test_this_machine_is_recognised(host: str) -> None:
    """Plain HTTP is taken as meant there."""
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["example.com", "127.0.0.1.example.com", "localhost.example.com", "10.0.0.1:5000", "[::2]:80", "127.0.0.999", ""],
)
def test_other_machines_are_not(host: str) -> None:
    """What only looks like it gets no plain HTTP."""
    assert not is_loopback(host)
