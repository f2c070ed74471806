"""The request model and the options made from it."""

import argparse
import json
import re
from pathlib import Path

import pytest
from fastapi.encoders import jsonable_encoder

from prefect_slipway.flows.cli.options import add_request_options, request_of
from prefect_slipway.flows.release import release
from prefect_slipway.flows.request.base_check import BaseCheck
from prefect_slipway.flows.request.cache import Cache
from prefect_slipway.flows.request.checkout import Checkout
from prefect_slipway.flows.request.model import Request
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.request.rollout import DeployRequest, PromoteRequest, RollbackRequest
from prefect_slipway.flows.request.sweep import SweepRequest
from prefect_slipway.infra.domain.errors import (
    InvalidOption,
    InvalidReference,
    InvalidVersion,
    RequestOutdated,
    UsageError,
)
from prefect_slipway.infra.domain.version import Bump


def _request(*arguments: str) -> ReleaseRequest:
    parser = argparse.ArgumentParser()
    add_request_options(parser)
    return request_of(parser.parse_args(arguments))


def test_every_field_is_an_option_with_its_description() -> None:
    """What the form offers, the command line offers, with the same words."""
    parser = argparse.ArgumentParser(prog="x")
    add_request_options(parser)
    options = {action.dest: action.help for action in parser._actions}
    groups = {group.title: group.description for group in parser._action_groups}
    for name, field in ReleaseRequest.model_fields.items():
        assert field.description, f"{name} has no description"
        section = ReleaseRequest.section(name)
        if section is not None:
            assert groups[name.capitalize()] == field.description
            for inner, each in section.model_fields.items():
                assert each.description and options[f"{name}.{inner}"] == each.description.replace("%", "%%")
        elif name != "bake":  # a command of its own
            assert options[name] == field.description.replace("%", "%%")


def test_nothing_typed_is_the_models_default() -> None:
    """No option has a default of its own."""
    assert _request() == ReleaseRequest()


def test_options_of_the_build_are_a_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is typed is relative to here, and allowed by that; what is in Vault needs no permission."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOKEN", "x")
    request = _request(
        "--secret", "id=a,vault=secret/a#b", "--secret", "id=f,src=file", "--secret", "id=TOKEN",
        "--ssh", "deploy=vault:ssh/deploy#key", "--build-context", "more=dir",
        "--build-context", "base=docker-image://alpine", "--compression", "zstd", "--compression-level", "3",
        "--cache-from", "type=local,src=old", "--cache-to", "type=local,mode=max,dest=new", "--cache-to", "r.example/c",
        "--output", "type=oci,dest=app.tar", "--network", "host",
    )  # fmt: skip
    assert request.build.secrets == ["id=a,vault=secret/a#b", f"id=f,src={tmp_path}/file", "id=TOKEN,env=TOKEN"]
    assert request.build.ssh == ["deploy=vault:ssh/deploy#key"]
    assert request.build.contexts == {"more": f"{tmp_path}/dir", "base": "docker-image://alpine"}
    assert request.build.cache_from == [f"type=local,src={tmp_path}/old"]
    assert request.build.cache_to == [f"type=local,mode=max,dest={tmp_path}/new", "r.example/c"]
    assert request.build.outputs == [f"type=oci,dest={tmp_path}/app.tar"]
    read, written = (
        [f"fs.{how}={tmp_path}/{name}" for name in names]
        for how, names in (("read", ("file", "old", "dir")), ("write", ("new", "app.tar")))
    )
    assert sorted(request.build.allow) == sorted([*read, *written, "env=TOKEN", "network.host"])
    assert request.build.output == {"compression": "zstd", "compression-level": "3"}
    assert "ssh" in _request("--ssh", "default").build.allow


def test_options_of_the_cache_are_a_section() -> None:
    """One word turns it on or off; its repository has no tag, and its limit is a number."""
    request = _request("--cache", "off", "--cache-repository", "r.example/cache", "--cache-timeout-s", "9")
    assert request.cache == Cache(mode="off", repository="r.example/cache", timeout_s=9)
    with pytest.raises(InvalidOption, match="tag or digest"):
        _request("--cache-repository", "r.example/cache:1")
    with pytest.raises(InvalidReference):
        _request("--cache-repository", "r.example/UPPER")


def test_options_become_fields() -> None:
    """Flags, choices, repeated options and pairs arrive as their types."""
    request = _request(
        "app", "--bump", "auto", "--allow-dirty", "--build-arg", "A=1", "--build-arg", "B=x=y",
        "--platform", "linux/amd64", "--platform", "linux/arm64", "--image", "r.example/app",
        "--credentials", "vault:kv/a", "--credentials", "docker.io=vault:kv/b",
    )  # fmt: skip
    assert request.source == "app"
    assert request.bump is Bump.AUTO
    assert request.checkout.allow_dirty
    assert request.build_args == {"A": "1", "B": "x=y"}
    assert request.platforms == ["linux/amd64", "linux/arm64"]
    assert request.credentials.registries == ["vault:kv/a", "docker.io=vault:kv/b"]


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"image": "registry.example/Upper"}, InvalidReference),
        ({"image": "registry.example/app:1.0.0"}, InvalidOption),
        ({"version": {"exact": "1.2"}}, InvalidVersion),
        ({"version": {"exact": "v1.2.3"}}, InvalidVersion),
        ({"version": {"prerelease_token": "r c"}}, InvalidVersion),
        *(
            ({"version": {"channels": {"beta": name}}}, InvalidOption)
            for name in ("latest", "1", "", "a.b", "a_b", "sha256-" + "a" * 57, "buildcache", "slipway-reservation-1")
        ),
        *(
            ({"version": {"channels": channels}}, InvalidOption)
            for channels in (
                {"feature/*": "next"},
                {"beta": "{branch}"},
                {"*/*": "{branch}"},
                {"feature/*": "{branch}-{branch}"},
                {"feature/*": "{branch}.x"},
                {"feature/*": "1-{branch}"},
                {"feature/*": "{branch}", "fix/*": "{branch}"},
                {"feature/*": "{branch}", "fix/*": "fix-{branch}"},
                {"feature/*": "a-{branch}", "fix/*": "{branch}-b"},
            )
        ),
        *(({"version": {"paths": [path]}}, InvalidOption) for path in ("./a/**", "/a", "!a/", "a//b", "../a", "")),
        ({"bump": "huge"}, InvalidOption),
        ({"version": {"only_new": True, "again": True}}, InvalidOption),
        ({"version": {"exact": "1.0.0", "prerelease": True}}, InvalidOption),
        ({"builder": {"cert": "c.pem"}}, InvalidOption),
        ({"unheard_of": 1}, InvalidOption),
    ],
)
def test_bad_input_is_a_usage_error_that_says_what(values: dict[str, object], error: type[UsageError]) -> None:
    """Each refusal is a named cause with exit code 2, not a validation dump."""
    with pytest.raises(error) as raised:
        ReleaseRequest.read(values)
    assert raised.value.exit_code == 2
    assert str(raised.value)


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"source": "a\udcff"}, "source"),
        ({"source": "a", "build_args": {"\udcff": ""}}, "a name in build_args"),
        ({"source": "a", "checkout": {"branch": "\udcff"}}, "checkout.branch"),
    ],
)
def test_what_is_not_utf_8_is_named(values: dict[str, object], place: str) -> None:
    """An argument may be any bytes; a run is recorded as JSON."""
    with pytest.raises(InvalidOption, match=f"^{re.escape(place)} is not a text in UTF-8"):
        ReleaseRequest.read(values)


def test_an_unknown_field_is_named() -> None:
    """By its place in the request."""
    with pytest.raises(InvalidOption, match=r"the request has no field 'checkout\.rev'"):
        ReleaseRequest.read({"checkout": {"rev": "main"}})


def test_a_build_arg_without_a_value_is_refused() -> None:
    """`--build-arg KEY` would silently take a value from somewhere else."""
    with pytest.raises(InvalidOption, match="--build-arg"):
        _request("--build-arg", "KEY")


@pytest.mark.parametrize(
    ("flat", "place"),
    [
        ({"ref": "main"}, "`ref` is now `checkout.ref`"),
        ({"version": "1.0.0"}, "`version` is now `version.exact`"),
        ({"builder": "kubernetes"}, "`builder` is now `builder.address`"),
        ({"credentials": ["vault:kv/a"]}, "`credentials` is now `credentials.registries`"),
        (
            {"approval": True, "no_cache": True},
            "`no_cache` is now `build.no_cache`, `approval` is now `approval.required`",
        ),
    ],
)
def test_the_fields_of_before_there_were_sections_are_told_their_place(flat: dict[str, object], place: str) -> None:
    """A saved deployment of an earlier version fails with what to write instead."""
    with pytest.raises(RequestOutdated) as raised:
        ReleaseRequest.read({"source": ".", **flat})
    assert place in raised.value.cause


def test_every_text_says_what_it_is_when_it_is_empty() -> None:
    """In one sentence for the form and the command line."""
    fields = [*ReleaseRequest.model_fields.items()]
    for section in filter(None, map(ReleaseRequest.section, ReleaseRequest.model_fields)):
        fields += section.model_fields.items()
    for name, field in fields:
        if field.default is None or isinstance(field.default, str):
            assert re.search("Leave empty|Default:", field.description or ""), name


def test_an_empty_text_is_nothing() -> None:
    """A form sends it for a text that somebody has cleared."""
    request = ReleaseRequest.read(
        {"image": "", "checkout": {"ref": "", "credentials": ""}, "version": {"exact": None}, "build": {"network": ""}}
    )
    assert request == ReleaseRequest()


def test_a_request_is_stored_without_nulls_and_read_again() -> None:
    """Prefect's server has one type for each field; sections say what is set in them alone."""
    request = ReleaseRequest.read(
        {"source": "app", "build": {"secrets": ["id=a,vault=kv/a#b"], "compression_level": 3}, "bake": None}
    )
    stored = request.model_dump(mode="json")
    assert "null" not in json.dumps(stored)
    assert ReleaseRequest.read(stored) == request
    assert request.model_dump(exclude_defaults=True) == {
        "source": "app",
        "build": {"secrets": ["id=a,vault=kv/a#b"], "compression_level": 3},
    }


def test_a_run_is_recorded_as_prefect_records_it() -> None:
    """What FastAPI makes of a request, without FastAPI."""
    values = {"source": ".", "bump": "auto", "build_args": {"A": "1"}, "checkout": {"ref": "main"}, "cache": {}}
    for request in (ReleaseRequest.read(values), ReleaseRequest.read({"bake": {"files": ["a.json"]}})):
        assert release.serialize_parameters({"request": request}) == {"request": jsonable_encoder(request)}


def test_what_is_changed_in_a_section_leaves_the_rest_of_it() -> None:
    """As a saved block fills in a request; a mapping that is not a section is replaced."""
    request = ReleaseRequest.read({"build_args": {"A": "1"}, "checkout": {"ref": "main", "allow_dirty": True}})
    changed = request.changed({"build_args": {"B": "2"}, "checkout": {"ref": None, "path": "app"}})
    assert (changed.build_args, changed.checkout) == ({"B": "2"}, Checkout(path="app", allow_dirty=True))


@pytest.mark.parametrize(
    "model", [ReleaseRequest, DeployRequest, PromoteRequest, RollbackRequest, SweepRequest, BaseCheck]
)
def test_a_form_has_plain_fields(model: type[Request]) -> None:
    """No field is a choice between a text and nothing; each has a place, and takes no text where that is allowed."""
    schema = model.model_json_schema()
    for each in (schema, *schema.get("$defs", {}).values()):
        fields = each.get("properties", {})
        assert sorted(field["position"] for field in fields.values()) == list(range(len(fields)))
        for name, field in fields.items():
            assert field["title"] and not field["title"].endswith(" S"), name
            assert field.get("description") and ("`" not in field["description"] or "*" in field["description"]), name
            assert "anyOf" not in field or name == "bake", name
            if "pattern" in field and name not in each.get("required", ()) and "default" not in field:
                assert re.search(field["pattern"], ""), name


def test_the_form_begins_with_what_everybody_sets() -> None:
    """The rest is in sections."""
    names = [*ReleaseRequest.model_json_schema()["properties"]]
    assert names[:6] == ["source", "image", "bump", "file", "build_args", "platforms"]
    assert all(ReleaseRequest.section(name) or ReleaseRequest.table(name) for name in names[6:-1])


@pytest.mark.parametrize(
    ("model", "first"),
    [
        (DeployRequest, ["Reference", "Workload", "Version", "Container"]),
        (RollbackRequest, ["Workload", "To", "Image", "Container"]),
        (PromoteRequest, ["Environments", "Reference", "Version", "Timeout (seconds)"]),
    ],
)
def test_a_form_asks_first_what_the_run_is_about(model: type[Request], first: list[str]) -> None:
    """What is required, then what is special about it; how the registry is reached comes last."""
    fields = sorted(model.model_json_schema()["properties"].values(), key=lambda field: field["position"])
    titles = [field["title"] for field in fields]
    assert titles[:4] == first
    assert titles[-4:] == ["Credentials", "Registry CA", "Insecure registry", "Vault"]


@pytest.mark.parametrize("platform", ["linux/arm65", "linux/amd64,linux/arm65", " "])
def test_a_platform_that_there_is_not_is_refused(platform: str) -> None:
    """Before anything is begun, by name."""
    with pytest.raises(InvalidOption, match="there is no platform"):
        ReleaseRequest.read({"platforms": [platform]})


def test_platforms_may_share_an_option() -> None:
    """As docker's --platform takes them."""
    request = ReleaseRequest.read({"platforms": ["linux/amd64, linux/arm64", "linux/arm/v7"]})
    assert request.platforms == ["linux/amd64", "linux/arm64", "linux/arm/v7"]
