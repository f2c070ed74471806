"""`--builder-option`: text that becomes a BuilderSpec, or an error that says which key."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.cluster import _OPTIONS, builder_spec, registry_settings, run_name
from flows.domain.errors import InvalidOption
from flows.request import ReleaseRequest
from infra.kubernetes.model import BuilderSpec, Run, Toleration


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
        },
        {},
    )
    assert (spec.lifetime, spec.privileged, spec.replicas) == ("shared", True, 2)
    assert spec.resources.memory_limit == "4Gi"
    assert spec.cache.size == "10Gi"
    assert spec.pull_secrets == ("a", "b")
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
    ],
)
def test_what_cannot_be_meant_is_said(options: dict[str, str]) -> None:
    """A usage error, before anything is made."""
    with pytest.raises(InvalidOption):
        builder_spec(options, {})


def test_the_form_names_every_option() -> None:
    """What can be said is listed where people look for it."""
    description = ReleaseRequest.model_fields["builder_options"].description or ""
    assert not [key for key in _OPTIONS if key not in description]


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
