"""`--builder-option`: text that becomes a BuilderSpec, or an error that says which key."""

from __future__ import annotations

import argparse
import dataclasses
import re
from pathlib import Path

import pytest

from prefect_slipway.blocks import KubernetesBuilder
from prefect_slipway.flows.cli.cluster_options import add_builder_options
from prefect_slipway.flows.request.builder import BuilderChoice
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.run.cluster import run_name
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.kubernetes.builders.options import OPTIONS, builder_spec, registry_settings
from prefect_slipway.infra.kubernetes.builders.spec import (
    BuilderSpec,
    Cache,
    Names,
    RegistrySettings,
    Resources,
    Run,
    Toleration,
)


def test_no_options_are_the_models_defaults() -> None:
    """No option has a default of its own."""
    assert builder_spec({}, {}) == BuilderSpec()


def test_options_become_fields() -> None:
    """Numbers, flags, lists, pairs and taints."""
    spec = builder_spec(
        {
            "lifetime": "shared",
            "privileged": "true",
            "replicas": "2",
            "memory_limit": "4Gi",
            "cache_size": "10Gi",
            "pull_secrets": "a,b",
            "node_selector": "disk=ssd,arch=amd64",
            "tolerations": "ci=yes:NoSchedule,spot",
            "proxy": "http://proxy.example:3128/",
            "no_proxy": "r.example,10.0.0.0/8",
        },
        {},
    )
    assert (spec.lifetime, spec.privileged, spec.replicas) == ("shared", True, 2)
    assert spec.resources.memory_limit == "4Gi"
    assert spec.cache.size == "10Gi"
    assert spec.pull_secrets == ("a", "b")
    assert (spec.proxy, spec.no_proxy) == ("http://proxy.example:3128/", ("r.example", "10.0.0.0/8"))
    assert spec.node_selector == {"disk": "ssd", "arch": "amd64"}
    assert spec.tolerations == (Toleration("ci", "yes", "NoSchedule"), Toleration("spot"))


@pytest.mark.parametrize(
    "options",
    [
        {"colour": "red"},
        {"replicas": "many"},
        {"privileged": "perhaps"},
        {"lifetime": "eternal"},
        {"memory": "much"},
        {"node_selector": "ssd"},
        {"tolerations": "a:Never"},
        {"node_selector": "disk=ssd,arch"},
        {"mirrors": "docker.io"},
        {"registry_ca": "reg.example=/no/such/file"},
        {"ready_s": "soon"},
        {"proxy": "proxy.example"},
        {"proxy": "http://ci:hidden@proxy.example:3128"},
        {"architectures": "x86_64"},
        {"architectures": "arm65"},
        {"architectures": "amd64,amd64"},
    ],
)
def test_what_cannot_be_meant_is_said(options: dict[str, str]) -> None:
    """A usage error, before anything is made."""
    with pytest.raises(InvalidOption):
        builder_spec(options, {})


def test_every_option_is_named_where_people_look_for_it() -> None:
    """The request's form and `--help`, `slipway manifests --help`, and the block's form."""
    manifests = argparse.ArgumentParser()
    add_builder_options(manifests)
    for text in (
        BuilderChoice.model_fields["options"].description or "",
        manifests.format_help(),
        KubernetesBuilder.model_fields["options"].description or "",
    ):
        words = set(re.findall(r"[a-z_]+", text.replace("\n", " ")))
        assert not set(OPTIONS) - words


def test_every_field_of_the_model_can_be_said() -> None:
    """No property of a builder is out of the options' reach."""
    fields = {
        "spec": {field.name for field in dataclasses.fields(BuilderSpec)} - {"resources", "cache", "registries"},
        "resources": {field.name for field in dataclasses.fields(Resources)},
        "cache": {field.name for field in dataclasses.fields(Cache)},
        "registries": {field.name for field in dataclasses.fields(RegistrySettings)},
    }
    said: dict[str, set[str]] = {group: set() for group in fields}
    for option in OPTIONS.values():
        said[option.group].add(option.field)
    assert said == fields


def test_a_saved_builders_options_are_a_requests() -> None:
    """The block says what the command line says."""
    block = KubernetesBuilder(context="c", namespace="n", options={"cpu": "2"}, labels={"team": "web"})
    choice = ReleaseRequest().changed(block.request_fields()).builder
    assert (choice.address, choice.context, choice.namespace) == ("kubernetes", "c", "n")
    assert builder_spec(choice.options, {}).resources.cpu == "2"
    assert choice.run_labels == {"team": "web"}


def test_registries_are_told_by_options_too(tmp_path: Path) -> None:
    """Mirrors in their order, plain HTTP, a CA's text; what is known of the image's registry stays."""
    ca = tmp_path / "ca.pem"
    ca.write_text("PEM")
    known = registry_settings("reg.example", insecure=False, ca_file=str(ca))
    spec = builder_spec(
        {
            "mirrors": "docker.io=one.example,docker.io=two.example:5000,reg.example=one.example",
            "plain_http": "two.example:5000",
            "registry_ca": f"one.example={ca}",
        },
        known,
    )
    assert spec.registries == {
        "docker.io": RegistrySettings(mirrors=("one.example", "two.example:5000")),
        "two.example:5000": RegistrySettings(plain_http=True),
        "one.example": RegistrySettings(ca="PEM"),
        "reg.example": RegistrySettings(mirrors=("one.example",), ca="PEM"),
    }


def test_the_registrys_ca_reaches_the_daemon(tmp_path: Path) -> None:
    """As text in its configuration; plain HTTP only when it is said."""
    ca = tmp_path / "ca.pem"
    ca.write_text("PEM")
    assert registry_settings("r.example", insecure=False, ca_file=None) == {}
    assert registry_settings("r.example", insecure=False, ca_file=str(ca))["r.example"].ca == "PEM"
    assert registry_settings("r.example", insecure=True, ca_file=None)["r.example"].plain_http
    with pytest.raises(InvalidOption):
        registry_settings("r.example", insecure=False, ca_file=str(tmp_path / "absent"))


def test_a_runs_name_fits_kubernetes() -> None:
    """Short enough for the names of its objects, and another one each time the run is run."""
    names = [run_name("0123abcd-ef45-6789-abcd-ef0123456789", attempt) for attempt in (0, 1, 999)]
    assert len({Run(name).id for name in names}) == 3


def test_each_architecture_is_a_builder_of_its_own() -> None:
    """With names of its own, on nodes that say they have it; what a run shares has the run's name alone."""
    options = {"architectures": "amd64,arm64", "node_selector": "disk=ssd"}
    for lifetime in ("run", "shared"):
        specs = builder_spec({**options, "lifetime": lifetime}, {}).for_each_architecture()
        names = [Names.of(spec, Run("r1")) for spec in specs]
        assert [spec.used_node_selector["kubernetes.io/arch"] for spec in specs] == ["amd64", "arm64"]
        assert all(spec.used_node_selector["disk"] == "ssd" for spec in specs)
        assert len({each.builder for each in names}) == len({each.server_tls for each in names}) == 2
        assert len({each.credentials for each in names}) == 1
        # Of a shared builder the run's Lease says which one it uses.
        assert len({each.run for each in names}) == (1 if lifetime == "run" else 2)
    assert BuilderSpec().for_each_architecture() == [BuilderSpec()]


def test_the_longest_name_fits_a_service() -> None:
    """A DNS label has 63 characters."""
    spec = BuilderSpec(name="n" * 40, architectures=("mips64le",))
    assert len(Names.of(spec, Run("r" * 12)).builder) <= 63
