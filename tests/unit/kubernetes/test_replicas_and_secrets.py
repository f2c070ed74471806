"""Which replica builds a source; registry credentials as docker's configuration; certificates; files in memory."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_slipway.infra.common.private_files import PrivateFiles
from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.domain.errors import ClusterProtocolError
from prefect_slipway.infra.kubernetes.access.docker_config import docker_config, parse_docker_config
from prefect_slipway.infra.kubernetes.access.lease import expires, timestamp
from prefect_slipway.infra.kubernetes.builders.certificates import make_certificates
from prefect_slipway.infra.kubernetes.builders.replicas import choose_replica, seated

names = st.text("abcdef0123456789-", min_size=1, max_size=20)


pods = st.sets(names, min_size=1, max_size=6)


@settings(deadline=None)
@given(st.text(), pods, pods)
def test_a_source_keeps_to_its_pod(source: str, first: set[str], second: set[str]) -> None:
    """While that lives, whatever else comes and goes; in whatever order pods are listed."""
    seats = seated([], first, len(first))
    chosen = choose_replica(source, seats, first)
    assert chosen == choose_replica(source, seats, sorted(first, reverse=True))
    alive = second | {chosen}
    assert choose_replica(source, seated(seats, alive, len(first)), alive) == chosen


@settings(deadline=None)
@given(pods, pods)
def test_who_lives_keeps_his_seat_and_who_is_new_takes_a_free_one(first: set[str], second: set[str]) -> None:
    """No pod has two, nor one without a place for it."""
    seats = seated([], first, len(first))
    after = seated(seats, second, len(first))
    assert sorted(seats) == sorted(first)
    if first & second:
        assert [pod for pod in seats if pod in second] == [pod for pod in after if pod in first]
        assert all(after[number] == pod for number, pod in enumerate(seats) if pod in second)
    assert len(set(after) - {""}) == len([pod for pod in after if pod]) == min(len(second), len(first))


def test_a_dead_pods_sources_go_to_the_one_in_its_place() -> None:
    """Until that comes they share those that live; the others' sources do not move."""
    sources = [f"source {n}" for n in range(50)]
    seats = seated([], ["a", "b", "c"], 3)
    before = {source: choose_replica(source, seats, seats) for source in sources}
    assert set(before.values()) == {"a", "b", "c"}
    alone = seated(seats, ["a", "c"], 3)
    meanwhile = {source: choose_replica(source, alone, ["a", "c"]) for source in sources}
    after = seated(alone, ["a", "c", "d"], 3)
    for source, pod in before.items():
        assert meanwhile[source] in ({pod} if pod != "b" else {"a", "c"})
        assert choose_replica(source, after, after) == ("d" if pod == "b" else pod)
    assert {meanwhile[source] for source, pod in before.items() if pod == "b"} == {"a", "c"}


hosts = st.from_regex(r"[a-z]{1,8}(\.[a-z]{2,3})?(:[0-9]{2,4})?", fullmatch=True)
texts = st.text(min_size=1, max_size=20)


@settings(deadline=None)
@given(st.dictionaries(hosts, st.builds(Credential, st.text("abc", min_size=1), texts)))
def test_docker_configuration_round_trips(auths: dict[str, Credential]) -> None:
    """What is written is read again, and has the form that docker reads."""
    text = docker_config(auths)
    assert parse_docker_config(text) == auths
    assert all({"username", "password", "auth"} == set(entry) for entry in json.loads(text)["auths"].values())


def test_docker_hub_has_its_old_name() -> None:
    auths = {"docker.io": Credential("u", "p")}
    assert "https://index.docker.io/v1/" in json.loads(docker_config(auths))["auths"]
    assert parse_docker_config(docker_config(auths)) == auths
    assert parse_docker_config('{"auths": {"r": {"auth": "dTpw"}}}') == {"r": Credential("u", "p")}


@pytest.mark.parametrize("text", ["", "{}", '{"auths": {"r": {"auth": "hush"}}}', '{"auths": {"r": 1}}', "[]"])
def test_a_secret_that_is_none_is_not_quoted(text: str) -> None:
    with pytest.raises(ClusterProtocolError) as raised:
        parse_docker_config(text)
    assert "hush" not in str(raised.value) + repr(raised.value.__cause__)


def test_certificates_are_for_the_service_and_one_client() -> None:
    """The server's names are the Service's and loopback (port-forward); the CA's key is nowhere."""
    made = make_certificates("buildkitd-x", "team", timedelta(days=1))
    server = x509.load_pem_x509_certificate(made.server_cert)
    found = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(found.get_values_for_type(x509.DNSName)) == {
        "buildkitd-x",
        "buildkitd-x.team",
        "buildkitd-x.team.svc",
        "buildkitd-x.team.svc.cluster.local",
        "localhost",
    }
    client = x509.load_pem_x509_certificate(made.client_cert)
    ca = x509.load_pem_x509_certificate(made.ca)
    for certificate in (server, client):
        certificate.verify_directly_issued_by(ca)
    assert "KEY" not in repr(made)


def test_files_in_memory_are_readable_by_path_until_closed() -> None:
    files = PrivateFiles()
    paths = [files.add("a", b"one"), files.add("a", b"two")]
    assert [path.read_bytes() for path in paths] == [b"one", b"two"]
    assert [path.read_bytes() for path in paths] == [b"one", b"two"]
    files.close()
    assert not any(path.exists() for path in paths)
    assert isinstance(paths[0], Path)


@settings(deadline=None)
@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001
def test_a_lease_ends_its_duration_after_its_renewal(moment: datetime) -> None:
    renewed = moment.replace(tzinfo=UTC)
    lease = {"metadata": {}, "spec": {"renewTime": timestamp(renewed), "leaseDurationSeconds": 60}}
    assert expires(lease) == renewed + timedelta(seconds=60)


def test_a_credential_is_still_not_to_be_stored() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(parse_docker_config(docker_config({"r": Credential("u", "p")})))
