"""`slipway bake --call`: ask the frontends of a set's Dockerfiles, and build nothing."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect_slipway.infra.domain.errors import DockerfileInvalid

if TYPE_CHECKING:
    from prefect_slipway.flows.bake.targets import Target, TargetSet
    from prefect_slipway.flows.build_options.places import Places
    from prefect_slipway.flows.cli.build_results import ResultFile
    from prefect_slipway.flows.request.release import ReleaseRequest

Call = tuple[str, str, bool]
"""Method, format, and whether the status is ignored; as `values.call` reads it."""

Answers = Mapping[str, Mapping[str, bytes]]
"""Of the frontends, by target."""

# What a question needs none of.
_NOT_ASKED: dict[str, Any] = dict.fromkeys(("secrets", "ssh", "cache_from", "cache_to", "entitlements"), ())


async def call(request: ReleaseRequest, asked: Call, progress: str, metadata: ResultFile | None) -> int:
    """Print what each target's frontend answers; the first status that is not 0. `progress`: its form on standard
    error. `metadata`: a file for the answers by target. Raises DockerfileInvalid for the first that cannot be built,
    the SourceErrors and BuilderErrors."""
    from prefect_slipway.flows.build_options.places import Places
    from prefect_slipway.flows.cli.build_results import as_metadata
    from prefect_slipway.flows.cli.call import status_of
    from prefect_slipway.flows.planning.source import read_targets
    from prefect_slipway.flows.run.open_run import open_run
    from prefect_slipway.flows.run.sources import open_source

    assert request.bake is not None, "the command asks for several images"
    async with open_run(request) as run, await open_source(run) as checkout:
        places = Places.of(checkout.path, checkout.top, request.bake.allow)
        targets = read_targets(request.bake, places)
        answers = await _answers(run.request, asked[0], targets, places, progress)
    print(_text(asked, targets, answers))
    if metadata is not None:
        texts = {
            name: {key: value.decode(errors="replace") for key, value in answer.items()}
            for name, answer in answers.items()
        }
        metadata.write(json.dumps({name: json.loads(as_metadata(text)) for name, text in texts.items()}, indent=2))
    wrong: DockerfileInvalid | None = None
    code = 0
    for answer in answers.values():
        try:
            code = code or status_of(asked[0], answer, ignored=asked[2])
        except DockerfileInvalid as error:
            wrong = wrong or error
    if wrong is not None:
        raise wrong
    return code


async def _answers(
    request: ReleaseRequest, method: str, targets: TargetSet, places: Places, progress: str
) -> dict[str, Mapping[str, bytes]]:
    from prefect_slipway.flows.cli.build import open_credentials
    from prefect_slipway.flows.cli.builder_address import chosen_builder, embedded_stack
    from prefect_slipway.flows.cli.display.building import build_news
    from prefect_slipway.flows.cli.display.choice import display
    from prefect_slipway.infra.buildkit.client import BuildKit

    stack, at = embedded_stack(), request.builder
    named = argparse.Namespace(
        builder=at.address, builder_ca=at.ca, builder_cert=at.cert, builder_key=at.key, builder_name=at.name
    )
    builder, _ = chosen_builder(named, stack)
    answers: dict[str, Mapping[str, bytes]] = {}
    with display(progress) as shown, tempfile.TemporaryDirectory(prefix="slipway-base-") as base:
        async with open_credentials(request.credentials.registries, stack) as credentials, BuildKit(builder) as kit:
            with build_news(shown) as news:
                for name in sorted(targets.wanted):
                    question = _question(request, targets.targets[name], places, Path(base))
                    answers[name] = await kit.ask(method, question, credentials, news)
    return answers


def _question(request: ReleaseRequest, target: Target, places: Places, base: Path) -> Any:
    """The target's build. `base`: an empty directory in place of the targets that it is based on, which do not exist
    yet."""
    from prefect_slipway.flows.bake.builds import build_request
    from prefect_slipway.flows.build_options.attest import Attestations

    async def no_secret(_: object) -> bytes:
        raise AssertionError("a question has no secrets")

    found = build_request(
        target._replace(bases={}, **_NOT_ASKED),
        "",
        {},
        places,
        {},
        Attestations({}, ()),
        epoch=None,
        git_modes=False,
        network=request.build.network,
        no_cache=False,
        insecure=False,
        read_secret=no_secret,
        source_policy=request.build.policy(),
    )
    return found._replace(contexts={**found.contexts, **dict.fromkeys(target.bases, base)}, outputs=())


def _text(asked: Call, targets: TargetSet, answers: Answers) -> str:
    """As `docker buildx bake` prints it (commands/bake.go)."""
    from prefect_slipway.flows.bake.printed import as_bake
    from prefect_slipway.flows.cli.call import shown

    method, form, _ = asked
    if form != "json":
        parts = []
        for name, answer in answers.items():
            description = targets.targets[name].description
            parts.append("\n".join([name, *([description] if description else []), "", shown(method, form, answer)]))
        return "\n\n".join(parts)
    whole = as_bake(targets)
    called = "check" if method == "lint" else method
    found = {
        name: {"build": target, **({called: json.loads(shown(method, form, answers[name]))} if name in answers else {})}
        for name, target in whole["target"].items()
    }
    return json.dumps({**whole, "target": found}, indent=2)
