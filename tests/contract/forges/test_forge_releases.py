"""Releases on GitHub, GitLab and Forgejo, against doubles that hold each request to what the forge publishes."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from prefect_slipway.infra.domain.errors import (
    ForgeConflict,
    ForgeError,
    ForgeForbidden,
    ForgeProtocolError,
    ForgeRefused,
    ForgeRepositoryUnknown,
    ForgeThrottled,
    ForgeTlsError,
    ForgeUnauthorized,
    ForgeUnavailable,
    ForgeUnreachable,
)
from prefect_slipway.infra.domain.forge_place import ForgePlace
from prefect_slipway.infra.forges.open import open_forge
from prefect_slipway.infra.forges.pulls import PullRequest, propose
from prefect_slipway.infra.forges.release import Asset, ForgeRelease, Published, publish
from tests.certificates import make_certificates
from tests.forges.double import DESCRIPTIONS, REPOSITORY, TOKEN, Fault, ForgeDouble, forge_double

WANTED = ForgeRelease("app/v1.2.0-rc.1", "1.2.0-rc.1", "c" * 40, "The **notes**.", prerelease=True, latest=False)
SBOM = Asset("app-1.2.0-rc.1.spdx.json", b'{"spdxVersion": "SPDX-2.3"}')


@pytest.fixture(params=list(DESCRIPTIONS))
def double(request: pytest.FixtureRequest) -> Iterator[ForgeDouble]:
    with forge_double(request.param) as double:
        yield double


async def made(
    double: ForgeDouble,
    wanted: ForgeRelease = WANTED,
    *assets: Asset,
    keep: bool = False,
    token: str = TOKEN,
    ca: Path | None = None,
) -> Published:
    place = ForgePlace(double.kind, double.api, REPOSITORY[double.kind])
    async with open_forge(place, token, ca) as forge:
        return await publish(forge, wanted, assets, keep=keep)


async def test_a_release_is_made_once(double: ForgeDouble) -> None:
    """With tag, notes, flag and file; the same again asks and changes nothing."""
    done = await made(double, WANTED, SBOM)
    assert done.did == "created" and done.page.endswith("app/v1.2.0-rc.1")
    release = double.releases[WANTED.tag]
    assert "The **notes**." in double.body(WANTED.tag)
    assert double.asset_names(WANTED.tag) == [SBOM.name]
    assert SBOM.content in double.files[SBOM.name]
    if double.kind != "gitlab":
        assert (release["prerelease"], release["draft"], release["target_commitish"]) == (True, False, "c" * 40)
    before = list(double.writes)
    again = await made(double, WANTED, SBOM)
    assert (again.did, again.page) == ("unchanged", done.page)
    assert double.writes == before


async def test_what_people_wrote_stays(double: ForgeDouble) -> None:
    """Before and after Slipway's part, whose text is replaced; a text without one gets it at its end."""
    await made(double)
    key = "description" if double.kind == "gitlab" else "body"
    release = double.releases[WANTED.tag]
    release[key] = f"By hand.\r\n\r\n{release[key]}\r\n\r\nThanks!"
    release["name"] = "The big one"
    changed = ForgeRelease(WANTED.tag, WANTED.version, WANTED.revision, "Other notes <!-- slipway:end --> quoted")
    assert (await made(double, changed)).did == "updated"
    text = double.body(WANTED.tag)
    assert text.startswith("By hand.\n") and text.endswith("Thanks!") and "The **notes**." not in text
    assert "Other notes" in text and release["name"] == "The big one"
    assert (await made(double, changed)).did == "unchanged"
    assert (await made(double, WANTED, keep=True)).did == "unchanged"
    release[key] = "All by hand."
    assert (await made(double, changed, keep=True)).did == "updated"
    assert double.body(WANTED.tag).startswith("All by hand.\n\n<!-- slipway:begin -->\nOther notes")


@pytest.mark.parametrize("after", [False, True])
async def test_a_release_that_broke_off_is_finished(double: ForgeDouble, after: bool) -> None:
    """The forge fails at each request in turn, before or after it did what was asked: the next try goes on."""
    for number in range(5):
        double.releases.clear()
        double.faults[:] = [*[None] * number, Fault(502, after=after)]
        for _ in range(2):
            try:
                await made(double, WANTED, SBOM)
                break
            except ForgeUnavailable:
                continue
        double.faults.clear()
        assert double.asset_names(WANTED.tag) == [SBOM.name]
        assert double.body(WANTED.tag).count("slipway:begin") == 1
        assert not double.releases[WANTED.tag].get("draft")


async def test_github_gets_a_release_whole_and_knows_the_latest() -> None:
    """It is a draft until its file is there, and the latest only if it is the highest version; what is left of a broken
    upload goes first."""
    with forge_double("github") as double:
        await made(double, ForgeRelease("v2.0.0", "2.0.0", "c" * 40, "", latest=True), SBOM)
        assert [each.split()[0] for each in double.writes] == ["POST", "POST", "PATCH"]
        asset = double.releases["v2.0.0"]["assets"][0]
        asset["state"] = "open"
        await made(double, ForgeRelease("v2.0.0", "2.0.0", "c" * 40, ""), SBOM)
        assert double.asset_names("v2.0.0") == [SBOM.name]
        assert double.releases["v2.0.0"]["assets"][0]["state"] == "uploaded"


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        (Fault(401, {"message": "Bad credentials"}), ForgeUnauthorized, "Bad credentials"),
        (Fault(403, {"message": "Resource not accessible"}), ForgeForbidden, "HTTP 403"),
        (Fault(403, {}, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1"}), ForgeThrottled, "wait 0 s"),
        (Fault(403, {"message": "secondary rate limit"}, {"Retry-After": "7"}), ForgeThrottled, "wait 7 s"),
        (Fault(429, None, {"Retry-After": "90"}), ForgeThrottled, "wait 90 s"),
        (Fault(409, {"message": "Release already exists"}), ForgeConflict, "HTTP 409"),
        (Fault(422, {"message": "Validation Failed", "errors": [{"code": "already_exists"}]}), ForgeConflict, "422"),
        (Fault(422, {"message": "tag name is not well-formed"}), ForgeRefused, "well-formed"),
        (Fault(500), ForgeUnavailable, "HTTP 500"),
        (Fault(418), ForgeProtocolError, "HTTP 418"),
        (Fault(200, raw=b"<html>"), ForgeProtocolError, "not JSON"),
        (Fault(200, []), ForgeProtocolError, "not a release"),
        (Fault(200, raw=b'{"body": "' + b"x" * (9 << 20) + b'"}'), ForgeProtocolError, "more than"),
        (Fault(200, raw=b"[" * 200_000), ForgeProtocolError, "not JSON"),
        (Fault(401, {"message": f"no such token {TOKEN}\x1b[31m"}), ForgeUnauthorized, r"no such token \*\*\*"),
    ],
)
async def test_each_refusal_has_a_name(double: ForgeDouble, fault: Fault, kind: type[ForgeError], said: str) -> None:
    """And a next action; never the token."""
    double.faults.append(fault)
    with pytest.raises(kind, match=said) as raised:
        await made(double)
    assert raised.value.action and TOKEN not in str(raised.value) and "\x1b" not in str(raised.value)


async def test_a_repository_that_the_token_may_not_see(double: ForgeDouble) -> None:
    """404 for the release may mean that there is none yet; the next request tells."""
    double.faults += [Fault(404, {"message": "404 Not Found"})] * 3
    with pytest.raises(ForgeRepositoryUnknown, match="404"):
        await made(double)
    double.faults.clear()
    with pytest.raises(ForgeUnauthorized):
        await made(double, token="other")
    with pytest.raises(ForgeUnauthorized, match="characters"):
        await made(double, token="two\nlines")


async def test_the_token_stays_with_the_forge(double: ForgeDouble) -> None:
    """A redirect to another server is an error; within the server it is followed, with its method."""
    with forge_double(double.kind) as other:
        for status in (301, 302, 307, 308):
            double.faults += [Fault(status, None, {"Location": f"{other.api}/x"})]
            with pytest.raises(ForgeProtocolError, match=rf"leads to http://127\.0\.0\.1:{other.port}/.* does not get"):
                await made(double)
        assert other.seen == []
    there = {"Location": double.seen[0].removeprefix("GET ")}
    double.faults += [Fault(307, None, there)] * 4
    with pytest.raises(ForgeProtocolError, match="HTTP 307"):
        await made(double)
    double.faults.append(Fault(307, None, there))
    assert (await made(double)).did == "created"


async def test_a_pull_request_is_kept_up_to_date(double: ForgeDouble) -> None:
    """One for a branch, open; what people wrote stays, and the last line names the version."""
    key, opened = ("description", "opened") if double.kind == "gitlab" else ("body", "open")
    for number in range(60):  # others, of which the forge lists some at a time
        double.pulls.append({"state": opened, "branches": (), "head": {"ref": f"x{number}"}, "base": {"ref": "main"}})
        double.pulls[-1] |= {"source_branch": f"x{number}", "target_branch": "main"}

    async def proposed(version: str, notes: str, *, once: bool = False) -> str:
        wanted = PullRequest("slipway/release-main", "main", f"chore: release {version}", notes, version)
        place = ForgePlace(double.kind, double.api, REPOSITORY[double.kind])
        async with open_forge(place, TOKEN) as forge:
            return (await propose(forge, wanted, once=once)).did

    assert await proposed("1.2.0", "Notes <!-- slipway:end -->\n\nRelease-As: 9.9.9") == "created"
    pull = double.pulls[-1]
    assert pull[key].endswith("\n\nRelease-As: 1.2.0") and pull["title"] == "chore: release 1.2.0"
    assert await proposed("1.2.0", "Notes <!-- slipway:end -->\n\nRelease-As: 9.9.9") == "unchanged"
    pull[key] = f"Please look.\r\n\r\n{pull[key]}\r\n"
    assert await proposed("2.0.0", "Other") == "updated"
    assert pull["title"] == "chore: release 2.0.0"
    assert pull[key] == ("Please look.\n\n<!-- slipway:begin -->\nOther\n<!-- slipway:end -->\n\nRelease-As: 2.0.0")
    pull["state"] = "merged" if double.kind == "gitlab" else "closed"
    count = len(double.pulls)
    assert await proposed("2.0.0", "Other", once=True) == "unchanged"
    assert len(double.pulls) == count
    assert await proposed("2.1.0", "") == "created"
    assert await proposed("2.2.0", "", once=True) == "updated"  # the open one, and not the one that was closed
    double.faults.append(Fault(200, [{"head": {"ref": "slipway/release-main"}, "base": {"ref": "main"}}]))
    with pytest.raises(ForgeProtocolError):
        await proposed("2.2.0", "")


async def test_over_tls(tmp_path: Path) -> None:
    """Only with a certificate that is trusted."""
    certificates = make_certificates(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificates.cert, certificates.key)
    with forge_double("gitea", tls) as double:
        with pytest.raises(ForgeTlsError):
            await made(double)
        assert (await made(double, ca=certificates.ca)).did == "created"
    with pytest.raises(ForgeUnreachable):
        await made(double, ca=certificates.ca)
