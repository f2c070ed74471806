"""Manifests: what must hold of the objects, whatever the options."""

from __future__ import annotations

import tomllib
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.kubernetes.access.kinds import LEASE, Object
from prefect_slipway.infra.kubernetes.access.quantity import parse_quantity
from prefect_slipway.infra.kubernetes.builders.buildkitd_toml import buildkitd_toml
from prefect_slipway.infra.kubernetes.builders.certificates import make_certificates
from prefect_slipway.infra.kubernetes.builders.manifests import (
    build_config,
    builder_objects,
    deployment,
    network_policy,
    registry_credentials,
    run_lease,
    server_tls,
    shared_lease,
)
from prefect_slipway.infra.kubernetes.builders.printed import printed_objects
from prefect_slipway.infra.kubernetes.builders.spec import (
    BuilderSpec,
    Cache,
    RegistrySettings,
    Resources,
    Run,
    Toleration,
)

RUN = Run("a1b2", {"team": "web"})
CERTIFICATES = make_certificates("buildkitd-a1b2", "ns", timedelta(days=1))
OWNER = {"apiVersion": LEASE.api, "kind": "Lease", "metadata": {"name": "slipway-a1b2", "uid": "u-1"}}

specs = st.builds(
    BuilderSpec,
    name=st.sampled_from(["buildkitd", "b"]),
    lifetime=st.sampled_from(["run", "shared"]),
    privileged=st.booleans(),
    cache=st.sampled_from([Cache(), Cache("5Gi", persistent=True, storage_class="fast")]),
    resources=st.sampled_from([Resources(), Resources(None, None, "2", "1Gi")]),
    tolerations=st.sampled_from([(), (Toleration("k", "v", "NoSchedule"), Toleration("any"))]),
    architectures=st.sampled_from([(), ("arm64",)]),
    registries=st.sampled_from([{}, {"r:5000": RegistrySettings(("m",), plain_http=True)}]),
)


def everything(spec: BuilderSpec) -> list[Object]:
    return [
        *builder_objects(spec, RUN, CERTIFICATES, OWNER),
        registry_credentials(spec, RUN, "{}"),
        build_config(spec, RUN, "registry.example", "team"),
        run_lease(spec, RUN, 60, "t"),
        shared_lease(spec, RUN, "t"),
    ]


def pod(spec: BuilderSpec) -> Any:
    return deployment(spec, RUN, CERTIFICATES)["spec"]["template"]


@settings(deadline=None)
@given(specs)
def test_every_object_is_labelled_and_owned(spec: BuilderSpec) -> None:
    """Who manages it, whose it is, the user's label; the builder's objects go with their root."""
    for obj in everything(spec):
        labels = obj["metadata"]["labels"]
        assert labels["app.kubernetes.io/managed-by"] == "slipway"
        assert labels["slipway.dev/run"] in {"a1b2", "shared"}
        assert labels["team"] == "web"
    for obj in builder_objects(spec, RUN, CERTIFICATES, OWNER):
        assert [reference["uid"] for reference in obj["metadata"]["ownerReferences"]] == ["u-1"]


@settings(deadline=None)
@given(specs)
def test_names_carry_the_run_unless_the_builder_is_shared(spec: BuilderSpec) -> None:
    """So that two releases in a namespace do not meet; a shared builder has the lab's names, and its architecture if it
    is for one."""
    builder = "-".join(["buildkitd", *spec.architectures])
    for obj in everything(spec):
        if obj["kind"] != "Lease":
            assert ("a1b2" in obj["metadata"]["name"]) == (spec.lifetime == "run")
    if spec.lifetime == "shared" and spec.name == "buildkitd":
        names = {(obj["kind"], obj["metadata"]["name"]) for obj in everything(spec)}
        assert names >= {
            ("Deployment", builder),
            ("Service", builder),
            ("Secret", "registry-creds"),
            ("ConfigMap", "build-config"),
        }


@settings(deadline=None)
@given(specs)
def test_the_selectors_meet_the_pod(spec: BuilderSpec) -> None:
    """Service, NetworkPolicy and Deployment select the pod that the Deployment makes; port 1234 throughout."""
    labels = pod(spec)["metadata"]["labels"].items()
    found = {obj["kind"]: obj for obj in builder_objects(spec, RUN, CERTIFICATES, OWNER)}
    assert found["Service"]["spec"]["selector"].items() <= labels
    assert found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"].items() <= labels
    assert found["Deployment"]["spec"]["selector"]["matchLabels"].items() <= labels
    assert found["Service"]["spec"]["ports"][0]["port"] == 1234
    container = pod(spec)["spec"]["containers"][0]
    assert container["ports"][0]["containerPort"] == container["readinessProbe"]["tcpSocket"]["port"] == 1234
    assert container["readinessProbe"]["periodSeconds"] == 1  # a daemon that is ready is found within a second


@settings(deadline=None)
@given(specs)
def test_the_pod_gets_no_token_of_the_api(spec: BuilderSpec) -> None:
    """Whatever a build runs, it cannot talk to the cluster."""
    assert pod(spec)["spec"]["automountServiceAccountToken"] is False


def baseline_violations(template: Any) -> set[str]:
    """Pod Security Standards, level baseline: https://kubernetes.io/docs/concepts/security/pod-security-standards/."""
    spec = template["spec"]
    found = {name for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)}
    found |= {"hostPath" for volume in spec["volumes"] if "hostPath" in volume}
    for context in (
        spec.get("securityContext") or {},
        *(each.get("securityContext") or {} for each in spec["containers"]),
    ):
        found |= {"privileged"} if context.get("privileged") else set()
        found |= {"capabilities"} if context.get("capabilities", {}).get("add") else set()
        found |= {"procMount"} if context.get("procMount", "Default") != "Default" else set()
        for profile in ("seccompProfile", "appArmorProfile"):
            found |= {profile} if context.get(profile, {}).get("type") == "Unconfined" else set()
    return found | {"hostPort" for each in spec["containers"] for port in each.get("ports") or () if "hostPort" in port}


def test_a_rootless_pod_misses_baseline_by_two_profiles_only() -> None:
    """What BuildKit's docs/rootless.md needs, and no more; it is not root."""
    assert baseline_violations(pod(BuilderSpec())) == {"seccompProfile", "appArmorProfile"}
    assert pod(BuilderSpec())["spec"]["containers"][0]["securityContext"]["runAsNonRoot"] is True


def test_a_privileged_pod_is_nothing_but_privileged() -> None:
    assert baseline_violations(pod(BuilderSpec(privileged=True))) == {"privileged"}


@settings(deadline=None)
@given(specs)
def test_the_daemons_configuration_is_toml_that_demands_client_certificates(spec: BuilderSpec) -> None:
    """Every address on TCP is behind mutual TLS; the cache is trimmed before the pod would be evicted for it."""
    config = tomllib.loads(buildkitd_toml(spec))
    assert set(config["grpc"]["tls"]) == {"cert", "key", "ca"}
    assert config["worker"]["oci"]["maxUsedSpace"] < parse_quantity(spec.cache.size)
    assert config["worker"]["oci"].get("noProcessSandbox", False) is not spec.privileged


def test_registries_are_told_to_the_daemon() -> None:
    """Mirrors, plain HTTP and a CA that is mounted from the ConfigMap."""
    settings = RegistrySettings(mirrors=("mirror.example",), ca="-----BEGIN CERTIFICATE-----")
    spec = BuilderSpec(registries={"reg.example:5000": settings, "plain": RegistrySettings(plain_http=True)})
    registries = tomllib.loads(buildkitd_toml(spec))["registry"]
    assert registries["plain"] == {"http": True}
    assert registries["reg.example:5000"]["mirrors"] == ["mirror.example"]
    (config,) = (obj for obj in builder_objects(spec, RUN, CERTIFICATES, None) if obj["kind"] == "ConfigMap")
    (path,) = registries["reg.example:5000"]["ca"]
    assert config["data"][path.rpartition("/")[2]] == settings.ca


def test_a_proxy_is_told_to_the_daemon() -> None:
    """To Go and to curl; a builder without one keeps its pods."""
    spec = BuilderSpec(proxy="http://proxy.example:3128", no_proxy=("r.example", "10.0.0.0/8"))
    (container,) = pod(spec)["spec"]["containers"]
    told = {each["name"]: each["value"] for each in container["env"]}
    assert told["HTTPS_PROXY"] == told["http_proxy"] == "http://proxy.example:3128"
    assert told["NO_PROXY"] == told["no_proxy"] == "r.example,10.0.0.0/8"
    (container,) = pod(BuilderSpec())["spec"]["containers"]
    assert "env" not in container


def test_the_clients_key_is_in_no_object_of_a_run() -> None:
    """It is in this process's memory only."""
    assert CERTIFICATES.client_key.decode() not in repr(everything(BuilderSpec()))
    assert "tls.key" in server_tls(BuilderSpec(), RUN, CERTIFICATES)["data"]


def test_only_labelled_clients_are_let_in() -> None:
    """From everything else the pod is cut off; the label names the builder."""
    (rule,) = network_policy(BuilderSpec(name="fast"), RUN)["spec"]["ingress"]
    assert rule["from"] == [{"podSelector": {"matchLabels": {"slipway.dev/client": "fast"}}}]
    assert rule["ports"] == [{"protocol": "TCP", "port": 1234}]


def test_a_change_of_configuration_or_certificate_makes_new_pods() -> None:
    """The daemon reads both once."""
    again = make_certificates("buildkitd-a1b2", "ns", timedelta(days=1))
    one = deployment(BuilderSpec(), RUN, CERTIFICATES)["spec"]["template"]
    assert one != deployment(BuilderSpec(), RUN, again)["spec"]["template"]
    assert one != deployment(BuilderSpec(gc_limit="1Gi"), RUN, CERTIFICATES)["spec"]["template"]
    assert one == deployment(BuilderSpec(), RUN, CERTIFICATES)["spec"]["template"]


@pytest.mark.parametrize(
    "options",
    [
        {"name": "UPPER"},
        {"name": "-x"},
        {"name": "x" * 41},
        {"replicas": 0},
        {"replicas": 2, "cache": Cache(persistent=True)},
        {"gc_limit": "much"},
    ],
)
def test_what_kubernetes_would_refuse_is_refused_before(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        BuilderSpec(**options)


@pytest.mark.parametrize("labels", [{"slipway.dev/run": "x"}, {"a b": "x"}, {"team": "a b"}, {"x" * 64: "y"}])
def test_labels_that_are_none_or_ours_are_refused(labels: dict[str, str]) -> None:
    with pytest.raises(InvalidOption):
        Run("a", labels)


@pytest.mark.parametrize(
    ("text", "number"),
    [("20Gi", 20 * 2**30), ("1.5G", 1.5e9), ("250m", 0.25), ("512Mi", 2**29), ("7", 7), ("3k", 3000)],
)
def test_quantities(text: str, number: float) -> None:
    assert parse_quantity(text) == number


def test_each_architecture_is_printed() -> None:
    """People who apply them themselves get a whole builder for each, on its own nodes."""
    spec = BuilderSpec(lifetime="shared", architectures=("amd64", "arm64"))
    deployments = [obj for obj in printed_objects(spec, "builds") if obj["kind"] == "Deployment"]
    selected = {obj["metadata"]["name"]: obj["spec"]["template"]["spec"]["nodeSelector"] for obj in deployments}
    assert selected == {f"buildkitd-{each}": {"kubernetes.io/arch": each} for each in ("amd64", "arm64")}
    clients = [obj for obj in printed_objects(spec, "builds") if obj["metadata"]["name"].endswith("-client")]
    assert len(clients) == 2
    assert len({secret["data"]["tls.key"] for secret in clients}) == 1
