"""What a registry refuses or spoils, on its way through a front: named, waited for or tried again."""

from __future__ import annotations

from typing import Any

import pytest

from tests.git_repository import commit, git
from tests.integration.faults.conftest import SECRET, USER, Elsewhere, Make
from tests.releases import Traces, complaint, result_of
from tests.servers import VaultServer

UPLOADS = r"/blobs/uploads/"
MANIFESTS = r"/manifests/"
# What the builder pushes; the check for the right to push names a digest that nothing has.
PUSHED = MANIFESTS + "sha256:(?!0000)"


def body(code: str) -> bytes:
    return b'{"errors": [{"code": "%s", "message": "no"}]}' % code.encode()


def sent(elsewhere: Elsewhere, method: str) -> int:
    """How often a request with this method came to a place that uploads begin at."""
    return sum(seen.method == method and seen.path.endswith(UPLOADS) for seen in elsewhere.front.seen)


@pytest.mark.parametrize("status", [400, 403, 404, 405, 413])
def test_notes_that_are_refused_are_a_warning(elsewhere: Elsewhere, source: Make, status: int) -> None:
    """The image is public; the same release again attaches them, and after that does nothing more."""
    folder = source()
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder, "feat: notes", {})
    elsewhere.front.spoil("PUT", PUSHED, status, body=body("DENIED"), agent="slipway")
    result = result_of(elsewhere.release(folder, "--notes-attach", "on"))
    assert result["released"] and elsewhere.tags(folder) == ["0.1.0"]
    (warning,) = result["warnings"]
    assert warning.startswith(f"the notes are not attached to {elsewhere.front.host}/{folder.name}:0.1.0: ")
    assert str(status) in warning and warning.endswith("run the same release again")

    (still,) = result_of(elsewhere.release(folder, "--notes-attach", "on"))["warnings"]
    assert still == warning
    elsewhere.front.heal()
    again = result_of(elsewhere.release(folder, "--notes-attach", "on"))
    assert not again["released"] and again["warnings"] == []
    listed = f"sha256-{result['digest'].removeprefix('sha256:')}"
    assert elsewhere.tags(folder) == ["0.1.0", listed]
    elsewhere.front.seen.clear()
    assert result_of(elsewhere.release(folder, "--notes-attach", "on"))["warnings"] == []
    assert not [seen for seen in elsewhere.front.seen if seen.method in {"PUT", "PATCH"}]


@pytest.mark.parametrize("status", [404, 405, 400, 403, 501])
def test_a_registry_without_the_referrers_api(elsewhere: Elsewhere, source: Make, status: int) -> None:
    """However it says so: it gets no tag for notes that nobody asked for, and that is no warning; if they are asked
    for, the tag has the list."""
    folder = source()
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder, "feat: notes", {})
    elsewhere.front.spoil("GET", "/referrers/", status, body=body("UNSUPPORTED"))
    result = result_of(elsewhere.release(folder))
    assert result["released"] and result["warnings"] == [] and elsewhere.tags(folder) == ["0.1.0"]
    asked = result_of(elsewhere.release(folder, "--notes-attach", "on"))
    assert len(elsewhere.tags(folder)) == (2 if status in {400, 404, 405} else 1)
    assert bool(asked["warnings"]) == (status in {403, 501})


def test_a_wrong_password_is_unauthorized(
    elsewhere: Elsewhere, vault: VaultServer, traces: Traces, source: Make
) -> None:
    """401: where the credential is to be checked; and not tried again and again."""
    folder = source()
    vault.put("secret/wrong", {"username": USER, "password": "a-wrong-password"})
    said = complaint(elsewhere.release(folder, "--credentials", "vault:secret/wrong"))
    assert "401" in said
    assert "Next: check the username and password at the place named by --credentials" in said
    assert "a-wrong-password" not in said
    traces.assert_failed(folder.name, "401")


@pytest.mark.parametrize(
    ("method", "status", "code", "action"),
    [
        ("POST", 403, "DENIED", "give the account permission for this repository: to push for a release"),
        ("POST", 404, "NAME_UNKNOWN", "some registries require you to create it first"),
    ],
)
def test_a_missing_right_is_found_before_the_build(
    elsewhere: Elsewhere, traces: Traces, source: Make, method: str, status: int, code: str, action: str
) -> None:
    """Pushing that is not allowed, or to a repository that has to be created: said at once, with status and code."""
    folder = source()
    elsewhere.front.spoil(method, UPLOADS, status, body=body(code))
    ended = elsewhere.release(folder)
    said = complaint(ended)
    assert f"HTTP {status} {code}" in said
    assert f"Next: {action}" in said or action in said
    assert "> build and push" not in ended.stderr
    assert sent(elsewhere, method) == 1
    assert elsewhere.tags(folder) == []
    traces.assert_failed(folder.name, f"HTTP {status} {code}")


def test_a_right_that_is_lost_during_the_push_is_named(elsewhere: Elsewhere, traces: Traces, source: Make) -> None:
    """What the builder is refused is the same cause as what Slipway itself is refused."""
    folder = source()
    elsewhere.front.spoil("PUT", PUSHED, 403, body=body("DENIED"))
    said = complaint(elsewhere.release(folder))
    assert f"registry {elsewhere.front.host}: pushing {folder.name} failed (HTTP 403" in said
    assert "Next: give the account permission for this repository: to push" in said
    assert elsewhere.tags(folder) == []
    traces.assert_failed(folder.name, "HTTP 403")


def test_a_throttled_release_waits_as_long_as_it_is_told(elsewhere: Elsewhere, traces: Traces, source: Make) -> None:
    """429 with a short Retry-After: waited for, and released."""
    folder = source()
    elsewhere.front.spoil("POST", UPLOADS, 429, headers={"Retry-After": "1"}, body=body("TOOMANYREQUESTS"), times=1)
    result = result_of(elsewhere.release(folder))
    assert elsewhere.tags(folder) == [result["version"]] == ["0.1.0"]
    traces.assert_nothing_left()


def test_a_wait_that_is_too_long_is_said(elsewhere: Elsewhere, traces: Traces, source: Make) -> None:
    """429 with an hour's Retry-After: not tried again, and how long it is."""
    folder = source()
    elsewhere.front.spoil("POST", UPLOADS, 429, headers={"Retry-After": "3600"}, body=body("TOOMANYREQUESTS"))
    said = complaint(elsewhere.release(folder))
    assert "HTTP 429 TOOMANYREQUESTS" in said
    assert "3600 s" in said
    assert sent(elsewhere, "POST") == 1
    traces.assert_failed(folder.name, "HTTP 429")


def test_a_registrys_own_trouble_is_tried_again(elsewhere: Elsewhere, traces: Traces, source: Make) -> None:
    """5xx to Slipway's own request and to the builder's: both pass, one image."""
    folder = source()
    elsewhere.front.spoil("POST", UPLOADS, 503, times=1)
    elsewhere.front.spoil("PUT", PUSHED, 500, times=1)
    result = result_of(elsewhere.release(folder))
    assert elsewhere.tags(folder) == [result["version"]] == ["0.1.0"]
    traces.assert_nothing_left()


@pytest.mark.parametrize("spoiled", [("PATCH", UPLOADS), ("PUT", UPLOADS), ("PUT", PUSHED)])
def test_an_upload_that_breaks_off_is_begun_again(
    elsewhere: Elsewhere, traces: Traces, source: Make, spoiled: tuple[str, str]
) -> None:
    """The connection goes away in the middle: pushed again, released once."""
    folder = source()
    elsewhere.front.spoil(*spoiled, times=1)
    result = result_of(elsewhere.release(folder))
    assert elsewhere.tags(folder) == [result["version"]] == ["0.1.0"]
    traces.assert_nothing_left()


def test_a_tag_the_registry_protects_is_not_fought_over(elsewhere: Elsewhere, traces: Traces, source: Make) -> None:
    """A registry that forbids the tag: said, and the reservation is given back."""
    folder = source()
    elsewhere.front.spoil("PUT", MANIFESTS + "0.1.0", 409, body=body("TAG_IMMUTABLE"))
    said = complaint(elsewhere.release(folder))
    assert "Next: choose another version, or allow the registry to overwrite this tag" in said
    assert elsewhere.tags(folder) == []
    traces.assert_failed(folder.name, "HTTP 409")


def test_another_image_under_the_digest_is_noticed(elsewhere: Elsewhere, traces: Traces, source: Make) -> None:
    """What the registry gives back is not what was pushed: not tagged."""
    folder = source()
    other: dict[str, Any] = {"headers": {"Content-Type": "application/vnd.oci.image.manifest.v1+json"}}
    elsewhere.front.spoil("GET", MANIFESTS + "sha256:", 200, body=b'{"schemaVersion": 2}', **other)
    said = complaint(elsewhere.release(folder))
    assert "Next: do not use this image" in said
    assert elsewhere.tags(folder) == []
    traces.assert_failed(folder.name, "digest is sha256:")


def test_credentials_of_another_registry_are_not_sent(
    elsewhere: Elsewhere, vault: VaultServer, traces: Traces, source: Make
) -> None:
    """A secret that names its registry goes to no other."""
    folder = source()
    vault.put("secret/other", {"username": USER, "password": "x", "registry": "registry.example.com"})
    said = complaint(elsewhere.release(folder, "--credentials", "vault:secret/other"), code=2)
    assert "is the credential of registry.example.com" in said
    assert not any("Authorization" in seen.headers for seen in elsewhere.front.seen)
    assert SECRET not in said
