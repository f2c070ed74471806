"""The models of deploys, rollbacks and promotions, and the options made from them."""

from __future__ import annotations

import argparse
from typing import Any

import pytest

from prefect_slipway.flows.cli.options import add_request_options, read_request
from prefect_slipway.flows.cli.promote import environment
from prefect_slipway.flows.request.model import Request
from prefect_slipway.flows.request.rollout import DeployRequest, PromoteRequest, RollbackRequest
from prefect_slipway.infra.domain.errors import InvalidOption, UsageError

DIGEST = f"sha256:{'0' * 64}"
STAGES = [{"name": name, "workload": "deployment/app", "namespace": name} for name in ("dev", "production")]


@pytest.mark.parametrize("model", [DeployRequest, RollbackRequest, PromoteRequest])
def test_every_field_is_an_option_with_its_description(model: type[Request]) -> None:
    """What the form offers, the command line offers, with the same words."""
    parser = argparse.ArgumentParser(prog="x")
    add_request_options(parser, model, positional=None)
    options = {action.dest: action.help or "" for action in parser._actions}
    for name, field in model.model_fields.items():
        assert field.description, f"{name} has no description"
        described = "Do not restore" if field.default is True else field.description.replace("%", "%%")
        assert described in options[name]


def test_a_flag_that_is_on_by_itself_can_be_turned_off() -> None:
    """--no-rollback; and what is not typed is the model's default."""
    parser = argparse.ArgumentParser(prog="x")
    add_request_options(parser, DeployRequest, positional="reference")
    typed = parser.parse_args(["r.example/app:1.0.0", "--workload", "deploy/app", "--no-rollback", "--approval"])
    request = read_request(typed, DeployRequest)
    assert (request.rollback, request.approval, request.workload) == (False, True, "deployment/app")
    assert request.timeout_s == DeployRequest(reference="r.example/app:1", workload="ds/app").timeout_s == 600.0


@pytest.mark.parametrize(
    ("values", "accepted"),
    [
        ({"reference": f"r.example/app@{DIGEST}"}, True),
        ({"reference": f"r.example/app:1.0.0@{DIGEST}", "version": "1.0.0"}, True),
        ({"reference": "r.example/app", "version": "1.0.0+build.1"}, True),
        ({"reference": "r.example/app"}, False),
        ({"reference": "r.example/app:1.0.0", "version": "1.0.1"}, False),
        ({"reference": "r.example/app", "version": "one"}, False),
        ({"reference": "r.example/app:1", "timeout_s": 0}, False),
        ({"reference": "r.example/app:1", "workload": "pod/app"}, False),
    ],
)
def test_an_image_is_named_in_one_way(values: dict[str, Any], accepted: bool) -> None:
    """By digest, tag or version; what contradicts itself is a usage error."""
    values = {"workload": "deployment/app", **values}
    if accepted:
        assert DeployRequest.read(values)
    else:
        with pytest.raises(UsageError) as raised:
            DeployRequest.read(values)
        assert raised.value.exit_code == 2


@pytest.mark.parametrize("to", ["previous", "1.2.3", DIGEST])
def test_a_rollback_goes_to_a_release(to: str) -> None:
    """The one before, a version or a digest; nothing else."""
    assert RollbackRequest.read({"workload": "deployment/app", "to": to}).to == to
    with pytest.raises(UsageError):
        RollbackRequest.read({"workload": "deployment/app", "to": "yesterday"})


def test_a_promotion_has_two_environments_or_more() -> None:
    """Each with a name of its own, and with an approval unless that is turned off."""
    request = PromoteRequest.read({"environments": STAGES})
    assert [each.approval for each in request.environments] == [True, True]
    refused: tuple[dict[str, object], ...] = (
        {"environments": STAGES[:1]},
        {"environments": STAGES[:1] * 2},
        {"environments": STAGES, "version": "1.0.0"},
    )
    for values in refused:
        with pytest.raises(InvalidOption):
            PromoteRequest.read(values)


def test_an_environment_is_typed_in_one_option() -> None:
    """NAME:KEY=VALUE,…; the values may hold colons and equal signs."""
    typed = environment("staging:workload=deployment/app,pull_credentials=vault:kv/a=b,approval=false")
    request = PromoteRequest.read({"environments": [STAGES[0], typed]})
    assert request.environments[1].pull_credentials == "vault:kv/a=b"
    assert not request.environments[1].approval
    for text in ("staging", "staging:", "staging:workload", ":workload=deployment/app"):
        with pytest.raises(InvalidOption, match="NAME:KEY=VALUE"):
            environment(text)
