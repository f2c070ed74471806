"""Places in git as people type them, and as the release file has them."""

from __future__ import annotations

import argparse

import pytest

from prefect_slipway.flows.cli.options import add_request_options, request_of
from prefect_slipway.flows.cli.tables import git_target, typed_table
from prefect_slipway.flows.request.git_target import GitTarget
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.request.release_file import ReleaseFile
from prefect_slipway.flows.request.release_schema import release_schema
from prefect_slipway.infra.domain.errors import InvalidOption, ReleaseFileInvalid, ReleaseFileRefused

URL = "https://git.example/config.git"
FILE = f'[deploy.live]\nrepository = "{URL}"\npath = "app"\n'


def test_typed() -> None:
    """On the command line a target is NAME:KEY=VALUE,…, with a chart's values among its keys."""
    parser = argparse.ArgumentParser()
    add_request_options(parser)
    text = f"live:git={URL},path=app,kind=helm,values.web.tag=tag,pull_request=true"
    request = request_of(parser.parse_args(["--deploy", text]))
    assert request.deploy == {
        "live": GitTarget(repository=URL, path="app", kind="helm", values={"web.tag": "tag"}, pull_request=True)
    }
    assert git_target(typed_table("--x", f"a:repository={URL}")[1]) == {"repository": URL}
    for wrong in ("live", "live:", "live:path", ":path=x"):
        with pytest.raises(InvalidOption, match="--deploy"):
            request_of(parser.parse_args(["--deploy", wrong]))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[deploy.live]\npath = "app"\n', "line 1: deploy.live.repository is missing"),
        (FILE + 'brnach = "x"\n', "line 4: `deploy.live.brnach` is not a key; did you mean"),
        (FILE + 'kind = "jsonnet"\n', "deploy.live.kind"),
        (FILE + 'kind = "marker"\n', "policy belong together"),
        ('deploy = "live"\n', r"write \[deploy.NAME\]"),
        ('[deploy]\nlive = "x"\n', r"write \[deploy.live\]"),
        (FILE.replace("https://", "https://robot:secret@"), "repository"),
    ],
)
def test_what_the_file_gets_wrong(text: str, said: str) -> None:
    """With its line where that is known, and never with a secret."""
    with pytest.raises(ReleaseFileInvalid, match=said) as caught:
        ReleaseFile.read(text, "slipway.toml").applied(ReleaseRequest(), ["*"])
    assert "secret" not in str(caught.value)


def test_each_key_needs_permission() -> None:
    """By target and key, with patterns for values."""
    file = ReleaseFile.read(FILE, "slipway.toml")
    for allow in (["deploy"], ["deploy.live"], ["deploy.live.repository=https://git.example/*", "deploy.live.path"]):
        assert file.applied(ReleaseRequest(), allow).deploy["live"].path == "app"
    for allow in ([], ["deploy.other"], ["deploy.live.repository=https://other.example/*", "deploy.live.path"]):
        with pytest.raises(ReleaseFileRefused, match=r"`deploy\.live\.repository`"):
            file.applied(ReleaseRequest(), allow)


def test_editors_complete_targets() -> None:
    """The schema of the release file has their keys, and nothing that it does not define."""
    schema = release_schema()["properties"]["deploy"]
    assert {"repository", "branch", "path", "sign"} <= set(schema["additionalProperties"]["properties"])
    assert "$ref" not in str(schema)
