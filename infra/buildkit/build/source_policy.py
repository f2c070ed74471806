"""A source policy on its way to the daemon, and what the daemon says about a source that it denies."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from prefect_slipway.infra.buildkit.build.error_details import SolveDetails, excerpt
from prefect_slipway.infra.buildkit.build.request import BuildRequest
from prefect_slipway.infra.buildkit.build.scrub import scrub
from prefect_slipway.infra.buildkit.wire.source_policy_pb2 import (
    AttrConstraint,
    Policy,
    Rule,
    Selector,
    Update,
)
from prefect_slipway.infra.domain.errors import BuildSourceDenied
from prefect_slipway.infra.domain.source_policy import SourcePolicy

# sourcepolicy/engine.go in moby/buildkit; the source is quoted as Go's %q does.
_DENIED = re.compile(r'source (?P<source>"(?:[^"\\]|\\.)*") (?:denied|not allowed) by policy')
_MOST_DOCKERFILE = 1 << 20
_IMAGE = "docker-image://"


def policy_message(policy: SourcePolicy) -> Policy:
    """As the daemon reads it."""
    message = Policy(version=1)
    for rule in policy.rules:
        updates = Update(identifier=rule.to or "", attrs=rule.attrs) if rule.action == "CONVERT" else None
        selector = Selector(identifier=rule.identifier, match_type=rule.match_type)
        selector.constraints.extend(
            AttrConstraint(key=each.key, value=each.value, condition=each.condition) for each in rule.constraints
        )
        message.rules.append(Rule(action=rule.action, selector=selector, updates=updates))
    return message


def source_denied(message: str, request: BuildRequest, details: SolveDetails) -> BuildSourceDenied | None:
    """The cause of a build that failed with this message of the daemon; None if no source was denied."""
    if (request.source_policy or request.source_check) is None or (match := _DENIED.search(message)) is None:
        return None
    try:
        source = str(json.loads(match["source"]))
    except ValueError:
        # Go's \x and \U, which JSON does not have.
        source = match["source"][1:-1]
    reason = "; ".join(map(scrub, details.denied)) or _rule(request.source_policy, source)
    return BuildSourceDenied(
        f"the source policy denies {scrub(source)} ({reason})",
        source=source,
        details=details.excerpt or _lines(request, source),
        action="allow local://*, which is the build's own directory" if source.startswith("local://") else None,
    )


def _rule(policy: SourcePolicy | None, source: str) -> str:
    if policy is None or policy.is_rego:
        return "its decision gives no reason"
    # The BuildKit of Docker 26 denies an image by its name in the Dockerfile, too, although another rule converts it.
    rule = policy.denied_by(source) or policy.denied_by(source, convert=False)
    return str(rule) if rule is not None else "one of its rules"


def _lines(request: BuildRequest, source: str) -> str:
    """The lines of the Dockerfile that name a source literally, where it can be read here."""
    if not request.dockerfile_is_here:
        return ""
    try:
        data = request.dockerfile_content or _head(request.dockerfile_path())
    except OSError:
        return ""
    text = data.decode(errors="replace")
    names = "|".join(re.escape(name) for name in _names(source))
    named = re.compile(rf"""(?:^|[\s"'=,\[])(?:{names})(?=$|[\s"',#?\]])""")
    found = [
        number
        for number, line in enumerate(text.split("\n"), 1)
        if named.search(line) and (not line.lstrip().startswith("#") or re.match(r"#\s*syntax\s*=", line))
    ]
    return excerpt(request.dockerfile.name, text, [(found[0], found[0])]) if found else ""


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MOST_DOCKERFILE)


def _names(source: str) -> Iterator[str]:
    """How a Dockerfile may write it: an image by its short names as well, a repository with another scheme."""
    if not source.startswith(_IMAGE):
        yield source.partition("#")[0]
        if source.startswith("git://"):
            yield f"https://{source.removeprefix('git://').partition('#')[0]}"
        return
    name = source.removeprefix(_IMAGE)
    for each in (name, name.removeprefix("docker.io/"), name.removeprefix("docker.io/library/")):
        yield each
        yield each.removesuffix(":latest")
