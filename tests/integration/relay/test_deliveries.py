"""Each forge's delivery, as it documents it, becomes an event and a run on the real server."""

from __future__ import annotations

import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from prefect_slipway.flows.reporting.events import PUSHED
from tests.docs.events_page import EVENTS
from tests.integration.relay.conftest import (
    ZERO,
    Probe,
    RunningRelay,
    commit_id,
    github_push,
    hex_hmac,
    standard_headers,
)


def started(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert document["outcome"] == "done"
    runs: list[dict[str, Any]] = document["runs"]
    return runs


def test_a_push_to_github(relay: RunningRelay, probe: Probe) -> None:
    """One run with the parameters of the rule, and one event that says what was pushed."""
    commit, repository = commit_id(), f"team/app-{uuid.uuid4().hex[:8]}"
    runs = started(relay.github(github_push(commit, repository=repository)))
    assert [run["rule"] for run in runs] == ["main"]
    [run] = probe.runs_of(commit)
    assert run["id"] == runs[0]["run"]
    assert run["parameters"] == {
        "request": {"source": f"https://git.example.com/{repository}.git", "ref": commit},
    }
    assert run["state"]["type"] == "SCHEDULED"
    assert "trigger: push" in run["tags"]
    assert f"/flow-run/{run['id']}" in runs[0]["url"]
    event = probe.wait_for_event(repository)
    assert event["resource"]["prefect.resource.name"] == repository
    assert event["resource"]["slipway.push.kind"] == "branch"
    assert event["payload"].keys() == EVENTS[PUSHED].payload.keys()
    assert event["payload"] | {"before": None, "delivery": ""} == {
        "forge": "github",
        "delivery": "",
        "repository": repository,
        "web_url": f"https://git.example.com/{repository}",
        "clone_url": f"https://git.example.com/{repository}.git",
        "ssh_url": f"git@git.example.com:{repository}.git",
        "ref": "refs/heads/main",
        "kind": "branch",
        "branch": "main",
        "tag": None,
        "before": None,
        "commit": commit,
        "deleted": False,
        "pusher": "alice",
        "paths": ["src/main.py", "docs/index.md"],
        "all_paths": True,
    }


def gitlab_push(commit: str) -> bytes:
    document = {
        "object_kind": "push",
        "event_name": "push",
        "before": commit_id(),
        "after": commit,
        "ref": "refs/heads/main",
        "checkout_sha": commit,
        "user_username": "jsmith",
        "project": {
            "path_with_namespace": "team/group/app",
            "web_url": "https://gitlab.example.com/team/group/app",
            "git_http_url": "https://gitlab.example.com/team/group/app.git",
            "git_ssh_url": "git@gitlab.example.com:team/group/app.git",
        },
        "commits": [{"id": commit, "added": ["CHANGELOG"], "modified": ["app/x.rb"], "removed": []}],
        "total_commits_count": 1,
    }
    return json.dumps(document).encode()


def test_a_push_to_gitlab_with_a_token(relay: RunningRelay, probe: Probe) -> None:
    """The secret itself is sent; another one is refused."""
    commit = commit_id()
    body = gitlab_push(commit)
    headers = {"X-Gitlab-Event": "Push Hook", "X-Gitlab-Event-UUID": str(uuid.uuid4())}
    wrong = relay.post("gitlab", body, {**headers, "X-Gitlab-Token": relay.secrets["gitlab"][:-1]})
    assert wrong.status_code == 403
    assert started(relay.post("gitlab", body, {**headers, "X-Gitlab-Token": relay.secrets["gitlab"]}))
    assert len(probe.runs_of(commit)) == 1


def test_a_push_to_gitlab_with_a_signing_token(relay: RunningRelay, probe: Probe) -> None:
    """The newer signature is checked; a plain token is not enough where there is one."""
    commit = commit_id()
    body = gitlab_push(commit)
    secret = relay.secrets["gitlab-signed"]
    event = {"X-Gitlab-Event": "Push Hook"}
    assert relay.post("gitlab-signed", body, {**event, "X-Gitlab-Token": secret}).status_code == 401
    signed = standard_headers(secret, body, time.time())
    assert started(relay.post("gitlab-signed", body, {**event, **signed, "Idempotency-Key": signed["webhook-id"]}))
    assert len(probe.runs_of(commit)) == 1


def test_a_push_to_gitea_and_to_forgejo(relay: RunningRelay, probe: Probe) -> None:
    """The signature is plain hexadecimal, under each one's own header names; Forgejo's older ones are Gitea's."""
    for source, prefix in (("gitea", "X-Gitea"), ("forgejo", "X-Forgejo"), ("forgejo", "X-Gitea")):
        commit = commit_id()
        document = github_push(commit, total_commits=1, pusher={"login": "gitea"})
        body = json.dumps(document).encode()
        headers = {
            f"{prefix}-Delivery": str(uuid.uuid4()),
            f"{prefix}-Event": "push",
            f"{prefix}-Signature": hex_hmac(relay.secrets[source], body),
            # Sent as well, and looked at by nobody.
            "X-GitHub-Event": "push",
            "X-Hub-Signature-256": "sha256=" + hex_hmac("another", body),
        }
        assert started(relay.post(source, body, headers)), prefix
        assert len(probe.runs_of(commit)) == 1


def test_the_generic_form(relay: RunningRelay, probe: Probe) -> None:
    """Any sender that signs time and body may say what was pushed."""
    commit = commit_id()
    document = {
        "repository": "team/any",
        "ref": "refs/heads/release/1",
        "after": commit,
        "clone_url": "https://example.com/any.git",
        "paths": ["a.txt"],
    }
    assert started(relay.generic(document))
    [run] = probe.runs_of(commit)
    assert run["parameters"]["request"]["source"] == "https://example.com/any.git"


def test_a_ping_is_answered(relay: RunningRelay) -> None:
    """A rightly signed delivery that is no push is fine, and starts nothing."""
    answer = relay.github({"zen": "Keep it logically awesome.", "hook_id": 1}, **{"X-GitHub-Event": "ping"})
    assert (answer.status_code, answer.json()["outcome"]) == (200, "ignored")


def test_what_no_rule_wants_is_still_an_event(relay: RunningRelay, probe: Probe) -> None:
    """Another branch, another repository, paths that are excluded: an event each, and no run."""
    changes: tuple[dict[str, Any], ...] = (
        {"ref": "refs/heads/feature/x"},
        {"repository": f"other/app-{uuid.uuid4().hex[:8]}"},
        {"commits": [{"id": ZERO, "added": ["docs/a.md"], "removed": [], "modified": ["docs/index.md"]}]},
    )
    for change in changes:
        commit, repository = commit_id(), f"team/quiet-{uuid.uuid4().hex[:8]}"
        push = github_push(commit, **{"repository": repository, **change})
        assert started(relay.github(push)) == [], change
        assert probe.runs_of(commit) == []
        probe.wait_for_event(push["repository"]["full_name"])


def test_what_a_release_pushes_itself_starts_nothing(relay: RunningRelay, probe: Probe) -> None:
    """Its reservation is not even an event; its version's tag starts nothing, another tag does; a deletion neither."""
    repository = f"team/own-{uuid.uuid4().hex[:8]}"
    commit = commit_id()
    assert started(relay.github(github_push(commit, ref="refs/slipway/v1.2.3", repository=repository))) == []
    assert probe.events(repository) == []
    for tag in ("v1.2.3", "app/v2.0.0-rc.1", "1.0.0"):
        push = github_push(commit, ref=f"refs/tags/{tag}", before=ZERO, commits=[], repository=repository)
        assert started(relay.github(push)) == [], tag
    assert started(relay.github(github_push(ZERO, ref="refs/heads/main", repository=repository))) == []
    assert probe.runs_of(commit) == []
    push = github_push(commit, ref="refs/tags/nightly", before=ZERO, commits=[], repository=repository)
    assert [run["rule"] for run in started(relay.github(push))] == ["tags"]
    [run] = probe.runs_of(commit)
    assert run["parameters"]["request"]["tag"] == "nightly"


def test_an_annotated_tag_is_its_commit(relay: RunningRelay, probe: Probe) -> None:
    """The tag's object has an id of its own, which nobody can build."""
    commit, tag_object = commit_id(), commit_id()
    push = github_push(
        tag_object, ref="refs/tags/candidate", before=ZERO, commits=[], head_commit={"id": commit, "message": "x"}
    )
    assert started(relay.github(push))
    assert len(probe.runs_of(commit)) == 1
    assert probe.runs_of(tag_object) == []


def test_a_rule_that_is_wrong_says_so(relay: RunningRelay, probe: Probe) -> None:
    """No such deployment, forbidden parameters: 422, in the log with the name of the rule and nothing more."""
    for repository, rule in (("lost/app", "nowhere"), ("misfit/app", "misfit")):
        branch = f"canary-{uuid.uuid4().hex}"
        answer = relay.github(github_push(commit_id(), repository=repository, ref=f"refs/heads/{branch}"))
        assert answer.status_code == 422, answer.text
        assert [run["rule"] for run in answer.json()["runs"]] == [rule]
        relay.command.until(f"rule {rule} starts nothing")
        assert branch not in relay.log


def test_the_same_delivery_again(relay: RunningRelay, probe: Probe) -> None:
    """A redelivery, with its id or under another one, is answered 200 and starts nothing."""
    commit = commit_id()
    body = json.dumps(github_push(commit)).encode()
    headers = relay.github_headers(body)
    assert started(relay.post("github", body, headers))
    assert relay.post("github", body, headers).json() == {"outcome": "duplicate"}
    other = {**headers, "X-GitHub-Delivery": str(uuid.uuid4())}
    assert relay.post("github", body, other).json() == {"outcome": "duplicate"}
    assert len(probe.runs_of(commit)) == 1


def test_the_same_push_by_another_hook(relay: RunningRelay, probe: Probe) -> None:
    """The repository's hook and the organisation's tell the same push in two deliveries: one run."""
    commit = commit_id()
    push = github_push(commit)
    [first] = started(relay.github(push))
    [second] = started(relay.github({**push, "organization": {"login": "team"}}))
    assert (first["new"], second["new"]) == (True, False)
    assert first["run"] == second["run"]
    assert len(probe.runs_of(commit)) == 1


def test_one_delivery_many_times_at_one_moment(relay: RunningRelay, probe: Probe) -> None:
    """Whoever comes first, there is exactly one run."""
    commit = commit_id()
    body = json.dumps(github_push(commit)).encode()
    headers = relay.github_headers(body)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: relay.post("github", body, headers), range(8)))
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert 200 in {answer.status_code for answer in answers}
    assert len(probe.runs_of(commit)) == 1
