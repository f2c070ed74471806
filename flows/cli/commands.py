"""The commands: name, group, summary and examples of each; its module has its name, with underscores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple


class Command(NamedTuple):
    """`examples`: what to type, after `slipway NAME`."""

    summary: str
    examples: tuple[str, ...] = ()


GROUPS: Mapping[str, Mapping[str, Command]] = {
    "Release": {
        "release": Command(
            "release an image",
            (
                "",
                ". --bump auto",
                "https://git.example/team/app.git --ref main --image registry.example/team/app "
                "--credentials vault:secret/registry",
            ),
        ),
        "bake": Command(
            "release several images of bake or Compose files under one version",
            ("", "compose.yaml api worker", "--print"),
        ),
        "plan": Command("show what a release would do, without doing it", ("", ". --bump auto --format json")),
        "init": Command("write a slipway.toml for a source", ("", "services/api --print")),
        "config": Command(
            "show the values a release would use, and where each comes from", ("", ". --bump auto", "--trust")
        ),
        "inspect": Command(
            "show what a registry has of an image, and what changed since the version before",
            ("app", "registry.example/team/app:1.2.0 --format json"),
        ),
        "notes": Command(
            "show what is new between two versions, commits, images or deployments",
            (
                "",
                "1.2.0..1.3.0 --format markdown",
                "registry.example/team/app:1.2.0..HEAD",
                "--deployed deployment/app",
            ),
        ),
        "approve": Command("approve or reject a paused run", ("RUN", "RUN --refuse")),
        "verify": Command(
            "verify who signed an image, and its attestations",
            ("app --key vault:transit/release", "registry.example/team/app:1.2.0 --key release.pem --provenance"),
        ),
        "rebuild": Command(
            "build a released image again from its recorded inputs, and compare",
            ("app", "registry.example/team/app:1.2.0 --sign vault:transit/rebuild"),
        ),
        "key": Command(
            "print a signing key's public half, and what a cluster verifies with",
            ("vault:transit/release", "vault:transit/release --as policy --scope registry.example/team"),
        ),
        "history": Command("show the released versions of an image", ("app", "registry.example/team/app")),
        "check-bases": Command(
            "release applications again whose base images changed",
            ("release/app", "release/app release/api"),
        ),
    },
    "Deploy": {
        "deploy": Command(
            "roll an image out to a workload in Kubernetes, or write it to a git repository, by digest",
            (
                "registry.example/team/app:1.2.0 --workload deployment/app",
                "app --workload deployment/app --namespace prod --approval",
                "app --git https://git.example/team/config.git --git-path apps/app --git-credentials vault:secret/git",
            ),
        ),
        "rollback": Command(
            "return a workload to an earlier release",
            (
                "deployment/app",
                "deployment/app --to 1.1.0",
                "--git https://git.example/team/config.git --git-path apps/app",
            ),
        ),
        "promote": Command(
            "promote an image from one environment to the next",
            (
                "registry.example/team/app:1.2.0 --environment staging:workload=deployment/app,namespace=staging "
                "--environment prod:workload=deployment/app,namespace=prod",
            ),
        ),
    },
    "Build": {
        "build": Command(
            "build with BuildKit only, like docker buildx",
            (". -t registry.example/team/app:test --push", ". --output type=oci,dest=app.tar"),
        ),
        "builder": Command(
            "show a builder's workers, disk usage and history, or prune its cache", ("info", "prune --all")
        ),
        "shell": Command(
            "open a shell with buildctl next to a shared builder in Kubernetes", (". --namespace builds",)
        ),
        "manifests": Command(
            "print the Kubernetes objects of a shared builder", ("--namespace builds | kubectl apply -f -",)
        ),
    },
    "Operate": {
        "deploy-flows": Command("register deployments, work pools, blocks and automations with Prefect", ("",)),
        "worker": Command("run scheduled, pushed and UI-started releases on this machine", ("",)),
        "relay": Command(
            "receive webhooks from git forges and start runs by rules",
            ("--rules rules.yaml", "--rules rules.yaml --check"),
        ),
        "trigger": Command("start a run of a deployment or emit an event, from any CI", ("release/any-source",)),
        "dashboard": Command("write each team's dashboard in Prefect", ("", "--days 90")),
        "metrics": Command("serve Prometheus metrics of releases", ("",)),
        "sweep": Command("remove resources left behind by expired runs", ("",)),
    },
    "This machine": {
        "up": Command("start the embedded stack: builder, registry, Vault, Prefect", ("",)),
        "status": Command("show which parts of the embedded stack are running", ("",)),
        "down": Command("stop the embedded stack", ("",)),
        "login": Command(
            "let docker, podman and other tools use a registry credential in Vault",
            ("", "registry.example --credentials vault:secret/registry"),
        ),
        "logout": Command("undo `slipway login`", ("registry.example",)),
        "completion": Command(
            "complete commands, options and values in your shell",
            ("bash > ~/.local/share/bash-completion/completions/slipway", "zsh >> ~/.zshrc", "fish | source"),
        ),
        "doctor": Command("show what this machine is missing and how to fix it", ("",)),
    },
}

COMMANDS: dict[str, Command] = {name: command for group in GROUPS.values() for name, command in group.items()}


def examples(name: str) -> Iterator[str]:
    """What to type, whole."""
    for text in COMMANDS[name].examples:
        yield f"slipway {name} {text}".rstrip()
