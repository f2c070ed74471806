"""What `kubectl apply -k infra/kubernetes/install` would make, read without a cluster."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import prefect_slipway.deployments
import prefect_slipway.infra.kubernetes
import prefect_slipway.infra.kubernetes.install
from prefect_slipway.flows.registration.files import shipped_pools
from prefect_slipway.flows.relay.rulefile import RuleFile
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.kubernetes.access.labels import CLIENT
from prefect_slipway.infra.kubernetes.builders.spec import DEFAULT_NAME

ROOT = Path(__file__).parents[3]
INSTALL = Path(prefect_slipway.infra.kubernetes.install.__file__).parent
SAMPLE = Path(prefect_slipway.deployments.__file__).parent / "samples" / "cluster"
POOL = Path(prefect_slipway.deployments.__file__).parent / "pools" / "slipway-kubernetes.kubernetes.json"

# Made by the container `make-passwords` (prefect_slipway.infra.kubernetes.install.passwords).
SECRETS = {
    ("slipway", "postgres"),
    ("slipway", "webhooks"),
    ("slipway", "prefect-api"),
    ("slipway-runs", "prefect-api"),
}

KUSTOMIZATION = yaml.safe_load((INSTALL / "kustomization.yaml").read_text())
OBJECTS: list[dict[str, Any]] = [
    each for name in KUSTOMIZATION["resources"] for each in yaml.safe_load_all((INSTALL / name).read_text())
]
WORKLOADS = [each for each in OBJECTS if each["kind"] in {"Deployment", "StatefulSet"}]


def job_template() -> dict[str, Any]:
    template: dict[str, Any] = json.loads(POOL.read_text())
    return template


def pods() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each pod's name, namespace and spec: of the installation, and of the runs' jobs."""
    for each in WORKLOADS:
        yield each["metadata"]["name"], each["metadata"]["namespace"], each["spec"]["template"]["spec"]
    yield "run", "slipway-runs", job_template()["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]


def containers() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name, namespace, spec in pods():
        for container in (*spec.get("initContainers", []), *spec["containers"]):
            yield f"{name}/{container['name']}", namespace, container


def rules(namespace: str, name: str) -> list[dict[str, Any]]:
    role = next(
        each
        for each in OBJECTS
        if each["kind"] == "Role" and (each["metadata"]["namespace"], each["metadata"]["name"]) == (namespace, name)
    )
    found: list[dict[str, Any]] = role["rules"]
    return found


def test_every_file_is_part_of_it() -> None:
    """No manifest lies about that nobody applies."""
    listed = {*KUSTOMIZATION["resources"], "kustomization.yaml", "rules.yaml"}
    assert {path.name for path in INSTALL.glob("*.yaml")} == listed


def test_objects_are_in_their_two_namespaces_and_once() -> None:
    """Each names its namespace, which is made here too."""
    namespaces = {each["metadata"]["name"] for each in OBJECTS if each["kind"] == "Namespace"}
    assert namespaces == {"slipway", "slipway-runs"}
    keys = [(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in OBJECTS]
    assert len(keys) == len(set(keys))
    assert all(namespace in namespaces for kind, namespace, _ in keys if kind != "Namespace")


def test_images_are_named_once_and_never_latest() -> None:
    """Kustomize's `images:` changes two names: this version of Slipway, and PostgreSQL."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    images = {container["image"] for name, _, container in containers() if not name.startswith("run/")}
    assert images == {f"slipway:{version}", "docker.io/library/postgres:17"}


def test_service_accounts_exist_and_only_those_that_ask_the_cluster_have_a_token() -> None:
    """A pod without business with the API server cannot even try."""
    accounts = {
        (each["metadata"]["namespace"], each["metadata"]["name"])
        for each in OBJECTS
        if each["kind"] == "ServiceAccount"
    }
    asking = set()
    defaults = {name: field.get("default") for name, field in job_template()["variables"]["properties"].items()}
    for name, namespace, spec in pods():
        account = spec.get("serviceAccountName")
        if account == "{{ service_account_name }}":
            account = defaults["service_account_name"]
        assert account is None or (namespace, account) in accounts, name
        tokens = {volume["name"] for volume in spec.get("volumes", []) if "projected" in volume}
        if spec["automountServiceAccountToken"]:
            asking.add(name)
        for container in (*spec.get("initContainers", []), *spec["containers"]):
            if tokens & {mount["name"] for mount in container.get("volumeMounts", [])}:
                asking.add(f"{name}/{container['name']}")
    assert asking == {"prefect-server/make-passwords", "worker", "run"}
    for each in OBJECTS:
        for subject in each.get("subjects", []):
            assert (subject["namespace"], subject["name"]) in accounts


def test_what_pods_refer_to_is_there() -> None:
    """Secrets and ConfigMaps, in the pod's own namespace; a volume for each mount."""
    maps = {(each["namespace"], each["name"]) for each in KUSTOMIZATION["configMapGenerator"]}
    for name, namespace, container in containers():
        for source in container.get("envFrom", []):
            reference = source.get("configMapRef") or source["secretRef"]
            assert reference.get("optional") or (namespace, reference["name"]) in maps, name
        for variable in container["env"] if isinstance(container.get("env"), list) else []:
            if "valueFrom" in variable:
                assert (namespace, variable["valueFrom"]["secretKeyRef"]["name"]) in SECRETS, name
    for _, namespace, spec in pods():
        volumes = {volume["name"] for volume in spec.get("volumes", [])}
        for volume in spec.get("volumes", []):
            if "secret" in volume:
                assert (namespace, volume["secret"]["secretName"]) in SECRETS
            if "configMap" in volume:
                assert (namespace, volume["configMap"]["name"]) in maps
        mounts = {mount["name"] for container in spec["containers"] for mount in container.get("volumeMounts", [])}
        assert mounts - volumes <= {"data"}, "PostgreSQL's comes from its volumeClaimTemplate"


def test_a_mistake_can_be_mended_by_the_same_command() -> None:
    """`kubectl apply` changes every kind that is here (a Job's pods, once made, it could not), and a StatefulSet does
    not wait for a pod that can never get ready.
    """
    assert {each["kind"] for each in OBJECTS} <= {
        *("Namespace", "ServiceAccount", "Role", "RoleBinding", "NetworkPolicy"),
        *("Service", "Deployment", "StatefulSet"),
    }
    assert all(each["spec"]["podManagementPolicy"] == "Parallel" for each in OBJECTS if each["kind"] == "StatefulSet")


def test_everything_can_be_pulled_with_a_password() -> None:
    """By one Secret of either namespace: the installation's pods name it, the runs' jobs have it by their account."""
    accounts = {
        (each["metadata"]["namespace"], each["metadata"]["name"]): each.get("imagePullSecrets")
        for each in OBJECTS
        if each["kind"] == "ServiceAccount"
    }
    for name, namespace, spec in pods():
        secrets = spec.get("imagePullSecrets")
        if name == "run":
            default = job_template()["variables"]["properties"]["service_account_name"]["default"]
            assert secrets is None, "a pod that names some does not get those of its account"
            secrets = accounts[namespace, default]
        assert secrets == [{"name": "slipway-pull"}], name


def test_no_secret_is_in_a_file() -> None:
    """Not even as an example: they are made in the cluster."""
    assert not [each for each in OBJECTS if each["kind"] == "Secret"]
    assert "secretGenerator" not in KUSTOMIZATION


def test_every_pod_meets_the_level_restricted() -> None:
    """Pod Security's strictest one, and a root file system that cannot be written to."""
    for name, _, spec in pods():
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
    for name, _, container in containers():
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name


def test_every_container_says_what_it_needs_and_the_lasting_ones_are_probed() -> None:
    """Requests, and a limit for memory; a probe for start, readiness and life."""
    for name, _, container in containers():
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), name
        assert container["resources"]["limits"]["memory"], name
    for each in WORKLOADS:
        for container in each["spec"]["template"]["spec"]["containers"]:
            assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys(), container["name"]


def test_each_selector_finds_its_pods() -> None:
    """Workloads, Services and policies name labels that pods have; ports have the names they are asked for by."""
    labels = {each["metadata"]["name"]: each["spec"]["template"]["metadata"]["labels"] for each in WORKLOADS}
    ports = {port["name"] for _, _, container in containers() for port in container.get("ports", [])}
    for each in OBJECTS:
        if each["kind"] in {"Deployment", "StatefulSet"}:
            selector = each["spec"]["selector"]["matchLabels"]
        elif each["kind"] == "Service":
            selector = each["spec"]["selector"]
            assert all(port["targetPort"] in ports for port in each["spec"]["ports"])
        elif each["kind"] == "NetworkPolicy":
            selector = each["spec"]["podSelector"]["matchLabels"]
        else:
            continue
        assert any(selector.items() <= found.items() for found in labels.values()), each["metadata"]["name"]


def test_the_runs_may_what_the_builders_role_says() -> None:
    """The same rules in both files."""
    least = next(yaml.safe_load_all((INSTALL.parent / "role.yaml").read_text()))
    assert rules("slipway-runs", "slipway") == least["rules"]


def test_the_worker_may_no_more_than_it_does() -> None:
    """Prefect's worker makes and deletes Jobs and its observer looks at them; Secrets are not its business."""
    granted = {
        (resource, verb)
        for rule in rules("slipway-runs", "worker")
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    looking = {(resource, verb) for resource in ("jobs", "pods") for verb in ("get", "list", "watch")}
    assert granted == looking | {("jobs", "create"), ("jobs", "delete"), ("pods/log", "get")}
    assert rules("slipway", "worker") == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]


def test_the_runs_jobs_fit_the_installation() -> None:
    """Their account, namespace and labels: builders and Prefect let them in by those."""
    template = job_template()
    manifest = template["job_configuration"]["job_manifest"]["spec"]
    labels = manifest["template"]["metadata"]["labels"]
    assert labels[CLIENT] == DEFAULT_NAME
    policy = next(
        each for each in OBJECTS if each["kind"] == "NetworkPolicy" and each["metadata"]["name"] == "prefect-server"
    )
    for source in policy["spec"]["ingress"][0]["from"]:
        assert source["podSelector"]["matchLabels"].items() <= labels.items()
    defaults = {name: field.get("default") for name, field in template["variables"]["properties"].items()}
    assert defaults["namespace"] == "slipway-runs"
    assert defaults["backoff_limit"] == 0, "Prefect runs it again, not Kubernetes beside it"
    assert manifest["template"]["spec"]["terminationGracePeriodSeconds"] > 30, "Prefect's own grace is 30 s"


def test_an_installation_gives_the_jobs_its_image_and_namespace() -> None:
    """`deploy-flows --job-variable` changes defaults, and only those that there are."""
    pool = next(pool for pool in shipped_pools() if pool.name == "slipway-kubernetes")
    changed = pool.with_defaults({"image": "r.example/slipway:1", "namespace": "elsewhere"})
    variables = changed.template["variables"]["properties"]
    assert (variables["image"]["default"], variables["namespace"]["default"]) == ("r.example/slipway:1", "elsewhere")
    assert changed.template["job_configuration"] == pool.template["job_configuration"]
    with pytest.raises(InvalidOption, match="colour"):
        pool.with_defaults({"colour": "red"})


def test_programs_of_the_installation_exist() -> None:
    """Every `python3 -m MODULE` of a manifest can be found."""
    modules = set(
        re.findall(r"infra\.kubernetes\.install\.\w+", "".join(p.read_text() for p in INSTALL.glob("*.yaml")))
    )
    assert {name.rpartition(".")[2] for name in modules} == {"passwords", "own_image", "wait_for"}
    assert all((INSTALL / f"{name.rpartition('.')[2]}.py").is_file() for name in modules)


def test_the_relays_rule_files_are_good() -> None:
    """The one that ships, and the sample's."""
    assert RuleFile(INSTALL / "rules.yaml").rules.rules == ()
    assert len(RuleFile(SAMPLE / "rules.yaml").rules.rules) == 1


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl")
def test_kustomize_makes_the_sample_of_it() -> None:
    """The overlay changes images, settings, rules and storage, and what it refers to is there."""
    done = subprocess.run(["kubectl", "kustomize", str(SAMPLE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = list(yaml.safe_load_all(done.stdout))
    images = set(re.findall(r"^ +image: (\S+)$", done.stdout, re.MULTILINE))
    assert {image for image in images if "team/app" not in image} == {
        "registry.example.com/slipway:0.1.0",
        "registry.example.com/postgres:17",
    }
    maps = {each["metadata"]["name"]: each["data"] for each in made if each["kind"] == "ConfigMap"}
    assert maps["slipway-flows"]["VAULT_KUBERNETES_ROLE"] == "slipway"
    prefect = next(name for name in maps if name.startswith("prefect-"))
    assert maps[prefect]["PREFECT_UI_URL"].startswith("https://")
    assert "team/app" in maps["relay"]["rules.yaml"]
    server = next(
        each for each in made if each["kind"] == "Deployment" and each["metadata"]["name"] == "prefect-server"
    )
    container = server["spec"]["template"]["spec"]["containers"][0]
    assert container["envFrom"] == [{"configMapRef": {"name": prefect}}]
    database = next(each for each in made if each["kind"] == "StatefulSet")["spec"]
    assert "volumeClaimTemplates" not in database
    assert {"name": "data", "emptyDir": {}} in database["template"]["spec"]["volumes"]
