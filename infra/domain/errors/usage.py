"""Invalid requests."""

from __future__ import annotations

from prefect_slipway.infra.domain.errors.base import SlipwayError


class UsageError(SlipwayError):
    exit_code = 2


class InvalidReference(UsageError):
    default_action = "name the image as REGISTRY/REPOSITORY, e.g. registry.example.com/team/app"


class InvalidVersion(UsageError):
    default_action = "use MAJOR.MINOR.PATCH[-PRERELEASE][+BUILD], e.g. 1.4.0 or 2.0.0-rc.1 (semver.org)"


class InvalidTag(UsageError):
    default_action = "use at most 128 of the characters A-Z a-z 0-9 _ . - and do not start with . or -"


class InvalidOption(UsageError):
    default_action = "see the command's --help"


class RequestOutdated(UsageError):
    default_action = "write the new names in the deployment, the rule or the call"


class ReleaseFileInvalid(UsageError):
    default_action = "fix the release file; `slipway config --schema` prints what it may contain"


class ReleaseFileRefused(UsageError):
    default_action = "allow it with --config-allow KEY=PATTERN, or remove it from the release file"


class NotesTemplateInvalid(UsageError):
    default_action = "fix the template of the notes, or remove `notes.template`"


class InvalidKey(UsageError):
    default_action = "use a PEM file with a public key (ECDSA P-256 or P-384, Ed25519, RSA of 2048 bits or more)"


class DeploymentUnknown(UsageError):
    default_action = (
        "see the names on the UI's Deployments page; `slipway deploy-flows` registers Slipway's own deployments"
    )


class ParametersRefused(UsageError):
    default_action = "see the parameters on the deployment's page in the UI"
