"""What is read out of a payload: the right value, or a refusal that repeats nothing of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.flows.relay.forges import FORGES, payload
from prefect_slipway.flows.relay.push import Push
from prefect_slipway.flows.relay.refusal import Refused
from prefect_slipway.infra.domain.changelog import changelog_commit

COMMIT, BEFORE, ZERO = "a" * 40, "b" * 40, "0" * 40


def github(**more: Any) -> dict[str, Any]:
    return {
        "ref": "refs/heads/main",
        "before": BEFORE,
        "after": COMMIT,
        "repository": {"full_name": "team/app", "clone_url": "https://git.example.com/team/app.git"},
        "commits": [{"added": ["a"], "modified": ["b"], "removed": ["a"]}],
        **more,
    }


def gitlab(**more: Any) -> dict[str, Any]:
    return {
        "object_kind": "push",
        "ref": "refs/heads/main",
        "before": BEFORE,
        "after": COMMIT,
        "project": {"path_with_namespace": "team/app", "git_http_url": "https://gitlab.example.com/team/app.git"},
        "commits": [{"added": ["a"], "modified": [], "removed": []}],
        "total_commits_count": 1,
        **more,
    }


def read(document: dict[str, Any], forge: str = "github") -> Push:
    return FORGES[forge].push(document, "delivery")


def test_paths_are_those_of_all_commits_once() -> None:
    """In their order."""
    assert read(github()).paths == ("a", "b")
    assert read(gitlab(), "gitlab").paths == ("a",)


@pytest.mark.parametrize(
    ("forge", "document"),
    [
        ("github", github(before=ZERO)),
        ("github", github(forced=True)),
        ("github", github(commits=[])),
        ("github", github(commits=[{"added": ["a"]}] * 2048)),
        ("gitea", github(total_commits=2)),
        ("gitlab", gitlab(total_commits_count=21)),
        ("gitlab", gitlab(before=ZERO)),
        ("generic", {"repository": "team/app", "ref": "refs/heads/main", "after": COMMIT}),
    ],
)
def test_paths_that_may_not_be_all_are_none(forge: str, document: dict[str, Any]) -> None:
    """A new branch, a forced push, more commits than the forge sends: anything may have changed."""
    assert read(document, forge).paths is None


@pytest.mark.parametrize(
    ("forge", "document", "skipped"),
    [
        ("github", github(head_commit={"id": COMMIT, "message": changelog_commit("v1.2.0")}), True),
        ("gitea", github(commits=[{"id": COMMIT, "message": "docs: x\n\n[ci skip]"}]), True),
        ("gitlab", gitlab(commits=[{"id": BEFORE, "message": "[skip ci]"}, {"id": COMMIT, "message": "x"}]), False),
        ("gitlab", gitlab(commits=[{"id": COMMIT, "message": "x [no ci]"}]), True),
        ("github", github(ref="refs/tags/v1", head_commit={"id": COMMIT, "message": "[skip ci]"}), False),
        ("github", github(head_commit={"id": COMMIT, "message": ["[skip ci]"]}, commits=["x", None]), False),
    ],
)
def test_a_branch_can_ask_to_be_skipped(forge: str, document: dict[str, Any], skipped: bool) -> None:
    """By its newest commit, as CI systems have it: the changelog's commit starts nothing."""
    if not isinstance(document["commits"][0], dict):
        assert not payload.skipped(document, COMMIT)
        return
    push = read(document, forge)
    assert (push.skipped, push.kind == "skipped") == (skipped, skipped)


def test_a_deleted_ref_has_no_commit() -> None:
    """Forges send all zeros."""
    push = read(github(after=ZERO, deleted=True))
    assert push.deleted
    assert push.commit is None


def test_an_annotated_tag_is_the_commit_it_names() -> None:
    """GitHub tells it in head_commit, GitLab in checkout_sha; a branch's is not looked at."""
    tag = github(ref="refs/tags/x", head_commit={"id": "c" * 40})
    assert read(tag).commit == "c" * 40
    assert read({**tag, "ref": "refs/heads/x"}).commit == COMMIT
    assert read({**tag, "after": ZERO}).commit is None
    assert read(gitlab(object_kind="tag_push", ref="refs/tags/x", checkout_sha="c" * 40), "gitlab").commit == "c" * 40


@pytest.mark.parametrize(
    "change",
    [
        {"ref": "main"},
        {"ref": "refs/heads/a b"},
        {"ref": "refs/heads/../x"},
        {"ref": "refs/heads/x\n"},
        {"ref": 77},
        {"ref": None},
        {"ref": "refs/heads/" + "x" * 2000},
        {"after": "abc"},
        {"after": COMMIT.upper()},
        {"after": None},
        {"before": ["x"]},
        {"repository": None},
        {"repository": "team/app"},
        {"repository": {"full_name": "team/app; rm"}},
        {"repository": {"full_name": "/etc/passwd"}},
        {"repository": {"full_name": "../../x"}},
        {"repository": {"full_name": "team/.."}},
        {"repository": {"full_name": "./app"}},
        {"repository": {"full_name": "team/app", "clone_url": "ext::sh -c true"}},
        {"repository": {"full_name": "team/app", "clone_url": "--upload-pack=x"}},
        {"repository": {"full_name": "team/app", "clone_url": "file:///etc"}},
        {"repository": {"full_name": "team/app", "ssh_url": "/srv/app.git"}},
        {"repository": {"full_name": "team/app", "clone_url": "https://-x/a"}},
        {"commits": 5},
        {"commits": ["x"]},
        {"commits": [{"added": "x"}]},
        {"commits": [{"added": [1]}]},
        {"pusher": []},
        {"pusher": {"name": "\ud800"}},
        {"ref": "refs/heads/\udfff"},
        {"commits": [{"added": ["\udc80"]}]},
        {"commits": [{"added": ["a\x00"]}]},
    ],
)
def test_what_has_not_its_form_is_refused(change: dict[str, Any]) -> None:
    """400, and the reason repeats no value."""
    with pytest.raises(Refused) as refusal:
        read(github(**change))
    assert refusal.value.status == 400
    for value in change.values():
        assert value is None or str(value) not in refusal.value.reason


def test_the_generic_form_knows_its_fields() -> None:
    """A misspelt one is refused, not ignored."""
    with pytest.raises(Refused, match="the only known fields"):
        read({"repository": "team/app", "ref": "refs/heads/main", "after": COMMIT, "path": []}, "generic")


# Halves of surrogate pairs as well, as JSON allows them.
TEXT = st.text(st.characters(), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)
FIELDS = ["ref", "before", "after", "repository", "commits", "pusher", "forced", "head_commit", "project", "paths"]


@given(
    forge=st.sampled_from(sorted(FORGES)),
    document=st.dictionaries(st.sampled_from([*FIELDS, "object_kind", "total_commits"]), JSON, max_size=6),
    base=st.sampled_from([{}, github(), gitlab()]),
)
def test_any_json_is_a_push_or_is_refused(forge: str, document: dict[str, Any], base: dict[str, Any]) -> None:
    """Nothing a sender may think of is an error of the relay."""
    try:
        push = FORGES[forge].push({**base, **document}, "delivery")
    except Refused as refused:
        assert refused.status == 400
    else:
        json.dumps(push.as_payload(), ensure_ascii=False).encode()
        assert not {".", ".."} & set(push.repository.split("/"))


@pytest.mark.parametrize(
    "tag", ["v1.2.3", "1.2.3", "app/v1.2.3", "v1.2.3-rc.1", "v1.2.3+build.5", "app-1.2.3", "v0.1.0"]
)
def test_a_version_is_known_by_its_tag(tag: str) -> None:
    """With whatever prefix a release gives it."""
    assert read(github(ref=f"refs/tags/{tag}")).kind == "version-tag"


@pytest.mark.parametrize("tag", ["nightly", "v1", "1.2", "v01.2.3", "1.2.3.4", "2026-11-24"])
def test_another_tag_is_no_version(tag: str) -> None:
    """Nor is a moving one."""
    assert read(github(ref=f"refs/tags/{tag}")).kind == "tag"


def test_the_event_carries_no_more_paths_than_it_can() -> None:
    """Prefect refuses events that are too large; it says that they are not all."""
    push = read(github(commits=[{"added": [f"f{number}" for number in range(600)]}]))
    payload = push.as_payload()
    assert (len(payload["paths"]), payload["all_paths"]) == (500, False)
    assert read(github()).as_payload()["all_paths"] is True


def test_a_pushs_key_is_what_moved() -> None:
    """Not who tells it: the same under another delivery, another with another rule, ref or commit."""
    push = read(github())
    assert push.key("rule") == FORGES["github"].push(github(pusher={"name": "x"}), "other").key("rule")
    others = [push.key("other"), read(github(after=BEFORE)).key("rule"), read(github(ref="refs/heads/x")).key("rule")]
    assert len({push.key("rule"), *others}) == 4


@pytest.mark.parametrize("field", ["html_url", "clone_url", "ssh_url"])
def test_an_address_with_a_secret_is_refused(field: str) -> None:
    """It would stand in the event and in the run's parameters; the refusal does not repeat it."""
    repository = {**github()["repository"], field: "https://robot:S3CRET@git.example.com/team/app.git"}
    with pytest.raises(Refused) as caught:
        read(github(repository=repository))
    assert caught.value.status == 400
    assert "S3CRET" not in caught.value.reason
