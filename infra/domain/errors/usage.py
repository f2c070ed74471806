"""What was asked for is not possible as asked."""

from __future__ import annotations

from prefect_slipway.infra.domain.errors.base import SlipwayError


class UsageError(SlipwayError):
    exit_code = 2


class InvalidReference(UsageError):
    default_action = "name the image as REGISTRY/REPOSITORY, e.g. registry.example.com/team/app"


class InvalidVersion(UsageError):
    default_action = "use MAJOR.MINOR.PATCH[-PRERELEASE][+BUILD], e.g. 1.4.0 or 2.0.0-rc.1 (semver.org)"


class InvalidTag(UsageError):
    default_action = "a tag has at most 128 characters of A-Z a-z 0-9 _ . - and starts with none of . -"


class InvalidOption(UsageError):
    default_action = "see the command's --help"


class InvalidKey(UsageError):
    default_action = "name a file with a public key in PEM (ECDSA P-256 or P-384, Ed25519, RSA from 2048 bits)"


class DeploymentUnknown(UsageError):
    default_action = "the UI's Deployments page has their names; `slipway deploy-flows` registers Slipway's own"


class ParametersRefused(UsageError):
    default_action = "the deployment's page in the UI shows what it takes"
