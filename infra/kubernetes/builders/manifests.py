"""From a builder's specification to Kubernetes objects: pure functions, whose output also works with kubectl.

What keeps a rootless builder from Pod Security's level `baseline`: `seccompProfile: Unconfined` and
`appArmorProfile: Unconfined`, which BuildKit's docs/rootless.md asks for (a RUN step is a container inside the
container: unshare, mount). Nothing else does. A privileged builder is beyond any level but `privileged`.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping

from prefect_slipway.infra.kubernetes.access.docker_config import DOCKER_CONFIG, KEY
from prefect_slipway.infra.kubernetes.access.kinds import (
    CLAIM,
    CONFIG_MAP,
    DEPLOYMENT,
    LEASE,
    NETWORK_POLICY,
    SECRET,
    SERVICE,
    Kind,
    Object,
)
from prefect_slipway.infra.kubernetes.access.labels import BUILDER, CLIENT, MANAGED_BY, RUN, SHARED_RUN, SLIPWAY, USES
from prefect_slipway.infra.kubernetes.builders.buildkitd_toml import (
    CONFIG_DIR,
    CONFIG_FILE,
    TLS_DIR,
    buildkitd_toml,
    ca_file,
)
from prefect_slipway.infra.kubernetes.builders.certificates import BuilderCertificates
from prefect_slipway.infra.kubernetes.builders.spec import PORT, BuilderSpec, Names, Run

SPEC_HASH = "slipway.dev/spec"
"""Annotation of a Deployment and its pods: what they were made from."""
_ROOTLESS_UID = 1000  # of moby/buildkit:*-rootless, docs/rootless.md "Change UID/GID"
_STATE = {True: "/var/lib/buildkit", False: "/home/user/.local/share/buildkit"}


def labels(spec: BuilderSpec, run: Run) -> dict[str, str]:
    """The labels of each object: who manages it, whose it is, which builder it belongs to, and the user's own."""
    owner = run.id if spec.lifetime == "run" else SHARED_RUN
    return {**run.labels, MANAGED_BY: SLIPWAY, RUN: owner, BUILDER: Names.of(spec, run).builder}


def builder_objects(
    spec: BuilderSpec, run: Run, certificates: BuilderCertificates, owner: Object | None
) -> list[Object]:
    """All that makes a builder, in an order that can be applied. `owner`: the run root, None for people's own use."""
    made = [server_tls(spec, run, certificates), daemon_config(spec, run)]
    if spec.cache.persistent:
        made.append(cache_claim(spec, run))
    made += [network_policy(spec, run), service(spec, run), deployment(spec, run, certificates)]
    return [owned(obj, owner) for obj in made] if owner is not None else made


def owned(obj: Object, owner: Object) -> Object:
    """The object as a dependent of `owner`: deleted with it, and before it where it is deleted in the foreground."""
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "blockOwnerDeletion": True,
    }
    return {**obj, "metadata": {**obj["metadata"], "ownerReferences": [reference]}}


def run_lease(spec: BuilderSpec, run: Run, duration_s: int, now: str) -> Object:
    """The run root: owns all that is made for the run; expired `duration_s` after its last renewal."""
    names = Names.of(spec, run)
    own = {**labels(spec, run), RUN: run.id}
    if spec.lifetime == "shared":
        own[USES] = names.builder
    return _lease(names.run, own, run, duration_s, now)


def shared_lease(spec: BuilderSpec, run: Run, now: str) -> Object:
    """A shared builder's root: each release that uses it renews it; expired when nobody did for its idle time."""
    return _lease(Names.of(spec, run).root, labels(spec, run), run, spec.idle_s, now)


def server_tls(spec: BuilderSpec, run: Run, certificates: BuilderCertificates) -> Object:
    """The daemon's certificate and the CA of its clients, without the client's key."""
    data = {"ca.crt": certificates.ca, "tls.crt": certificates.server_cert, "tls.key": certificates.server_key}
    return _secret(Names.of(spec, run).server_tls, "kubernetes.io/tls", data, spec, run)


def client_tls(spec: BuilderSpec, run: Run, certificates: BuilderCertificates) -> Object:
    """A shared builder's certificates, all of them, for the releases that share it: only they may read Secrets of
    this name (role.yaml). Whoever creates it has decided on the certificates.
    """
    data = {
        "ca.crt": certificates.ca,
        "tls.crt": certificates.client_cert,
        "tls.key": certificates.client_key,
        "server.crt": certificates.server_cert,
        "server.key": certificates.server_key,
    }
    return _secret(Names.of(spec, run).client_tls, "kubernetes.io/tls", data, spec, run)


def daemon_config(spec: BuilderSpec, run: Run) -> Object:
    data = {CONFIG_FILE: buildkitd_toml(spec)}
    data |= {ca_file(host): settings.ca for host, settings in spec.registries.items() if settings.ca is not None}
    return {**_object(CONFIG_MAP, f"{Names.of(spec, run).builder}-config", spec, run), "data": data}


def cache_claim(spec: BuilderSpec, run: Run) -> Object:
    claim: Object = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": spec.cache.size}},
    }
    if spec.cache.storage_class is not None:
        claim["storageClassName"] = spec.cache.storage_class
    return {**_object(CLAIM, f"{Names.of(spec, run).builder}-cache", spec, run), "spec": claim}


def network_policy(spec: BuilderSpec, run: Run) -> Object:
    """Only pods labelled `slipway.dev/client: NAME` reach it (port-forward comes from the node itself). NAME is without
    the run's id: a worker's pod is labelled before there is a run.
    """
    name = Names.of(spec, run).builder
    return {
        **_object(NETWORK_POLICY, name, spec, run),
        "spec": {
            "podSelector": {"matchLabels": _selected(spec, run)},
            "policyTypes": ["Ingress"],
            "ingress": [
                {
                    "from": [{"podSelector": {"matchLabels": {CLIENT: spec.name}}}],
                    "ports": [{"protocol": "TCP", "port": PORT}],
                }
            ],
        },
    }


def service(spec: BuilderSpec, run: Run) -> Object:
    return {
        **_object(SERVICE, Names.of(spec, run).builder, spec, run),
        "spec": {
            "selector": _selected(spec, run),
            "ports": [{"name": "buildkit", "port": PORT, "targetPort": PORT, "protocol": "TCP"}],
        },
    }


def deployment(spec: BuilderSpec, run: Run, certificates: BuilderCertificates) -> Object:
    """The daemons.

    A Deployment also for several: a source keeps to a pod by the pod's name as long as it lives, which needs no
    stable identity. `Recreate`: two daemons cannot share a cache on a volume. A daemon reads its configuration and
    certificate once, so a change of either has to change the pods.
    """
    deployed: Object = {
        **_object(DEPLOYMENT, Names.of(spec, run).builder, spec, run),
        "spec": {
            "replicas": spec.replicas,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": _selected(spec, run)},
            "template": {
                "metadata": {
                    "labels": labels(spec, run) | _selected(spec, run),
                    "annotations": dict(spec.annotations),
                },
                "spec": _pod(spec, run),
            },
        },
    }
    made_from = {SPEC_HASH: spec_hash(deployed, buildkitd_toml(spec), certificates.server_cert.decode("ascii"))}
    deployed["metadata"]["annotations"] = made_from
    deployed["spec"]["template"]["metadata"]["annotations"] |= made_from
    return deployed


def spec_hash(*parts: object) -> str:
    """A short name for plain values: equal for equal ones."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def registry_credentials(spec: BuilderSpec, run: Run, docker_config: str) -> Object:
    """The lab's Secret of type docker-registry."""
    data = {KEY: docker_config.encode()}
    return _secret(Names.of(spec, run).credentials, DOCKER_CONFIG, data, spec, run)


def build_config(spec: BuilderSpec, run: Run, registry: str, repository: str) -> Object:
    """The lab's ConfigMap: where images go to."""
    return {
        **_object(CONFIG_MAP, Names.of(spec, run).config, spec, run),
        "data": {"REGISTRY": registry, "REPOSITORY": repository},
    }


def _pod(spec: BuilderSpec, run: Run) -> Object:
    names = Names.of(spec, run)
    volumes: list[Object] = [
        {"name": "config", "configMap": {"name": f"{names.builder}-config"}},
        {"name": "tls", "secret": {"secretName": names.server_tls, "defaultMode": 0o440}},
        {"name": "cache", "persistentVolumeClaim": {"claimName": f"{names.builder}-cache"}}
        if spec.cache.persistent
        else {"name": "cache", "emptyDir": {"sizeLimit": spec.cache.size}},
    ]
    pod: Object = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 10,
        "containers": [_container(spec)],
        "volumes": volumes,
    }
    if not spec.privileged:
        # The group may read the mounted key and owns a volume that is new.
        pod["securityContext"] = {"fsGroup": _ROOTLESS_UID, "fsGroupChangePolicy": "OnRootMismatch"}
    if spec.pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in spec.pull_secrets]
    if spec.used_node_selector:
        pod["nodeSelector"] = dict(spec.used_node_selector)
    if spec.tolerations:
        pod["tolerations"] = [
            {"key": each.key, "operator": "Equal" if each.value is not None else "Exists"}
            | ({"value": each.value} if each.value is not None else {})
            | ({"effect": each.effect} if each.effect is not None else {})
            for each in spec.tolerations
        ]
    if spec.service_account is not None:
        pod["serviceAccountName"] = spec.service_account
    return pod


def _container(spec: BuilderSpec) -> Object:
    container: Object = {
        "name": "buildkitd",
        "image": spec.used_image,
        "args": ["--config", f"{CONFIG_DIR}/{CONFIG_FILE}"],
        "ports": [{"name": "buildkit", "containerPort": PORT, "protocol": "TCP"}],
        # The daemon opens the port when its workers are ready (cmd/buildkitd/main.go: serveGRPC comes last). There is
        # no liveness probe: a daemon that is busy must not be killed in the middle of a build.
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1, "timeoutSeconds": 2},
        "resources": _resources(spec),
        "volumeMounts": [
            {"name": "config", "mountPath": CONFIG_DIR, "readOnly": True},
            {"name": "tls", "mountPath": TLS_DIR, "readOnly": True},
            {"name": "cache", "mountPath": _STATE[spec.privileged]},
        ],
        "securityContext": {"privileged": True}
        if spec.privileged
        else {
            "runAsNonRoot": True,
            "runAsUser": _ROOTLESS_UID,
            "runAsGroup": _ROOTLESS_UID,
            "seccompProfile": {"type": "Unconfined"},
            "appArmorProfile": {"type": "Unconfined"},
        },
    }
    if spec.proxy is not None:
        # Go reads both cases (net/http, ProxyFromEnvironment), curl, by which git fetches, `http_proxy` in lower case.
        values = {"HTTP_PROXY": spec.proxy, "HTTPS_PROXY": spec.proxy, "NO_PROXY": ",".join(spec.no_proxy)}
        named = {case(name): value for name, value in values.items() if value for case in (str.upper, str.lower)}
        container["env"] = [{"name": name, "value": value} for name, value in named.items()]
    if spec.pull_policy is not None:
        container["imagePullPolicy"] = spec.pull_policy
    return container


def _resources(spec: BuilderSpec) -> Object:
    asked = spec.resources
    requests = {"cpu": asked.cpu, "memory": asked.memory}
    limits = {"cpu": asked.cpu_limit, "memory": asked.memory_limit}
    return {
        name: {resource: value for resource, value in values.items() if value is not None}
        for name, values in (("requests", requests), ("limits", limits))
    }


def _selected(spec: BuilderSpec, run: Run) -> dict[str, str]:
    return {"app": Names.of(spec, run).builder}


def _secret(name: str, kind: str, data: Mapping[str, bytes], spec: BuilderSpec, run: Run) -> Object:
    encoded = {key: base64.b64encode(value).decode("ascii") for key, value in data.items()}
    return {**_object(SECRET, name, spec, run), "type": kind, "data": encoded}


def _lease(name: str, own: Mapping[str, str], run: Run, duration_s: int, now: str) -> Object:
    return {
        "apiVersion": LEASE.api,
        "kind": LEASE.name,
        "metadata": {"name": name, "labels": dict(own)},
        "spec": {"holderIdentity": f"{SLIPWAY}-{run.id}", "leaseDurationSeconds": duration_s, "renewTime": now},
    }


def _object(kind: Kind, name: str, spec: BuilderSpec, run: Run) -> Object:
    return {"apiVersion": kind.api, "kind": kind.name, "metadata": {"name": name, "labels": labels(spec, run)}}
