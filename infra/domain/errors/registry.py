"""Registries."""

from __future__ import annotations

from prefect_slipway.infra.domain.errors.base import SlipwayError


class RegistryError(SlipwayError):
    pass


class RegistryUnreachable(RegistryError):
    retryable = True
    default_action = "check the registry's host name and port, and that it is running"


class RegistryTlsError(RegistryError):
    default_action = "pass the registry's CA with --registry-ca FILE; for plain HTTP use --insecure-registry"


class RegistryUnauthorized(RegistryError):
    default_action = "check the username and password at the place named by --credentials"


class RegistryForbidden(RegistryError):
    default_action = "give the account permission for this repository: to push for a release, to pull otherwise"


class RepositoryUnknown(RegistryError):
    default_action = "check the repository's name; some registries require you to create it first"


class ManifestUnknown(RegistryError):
    default_action = "check the tag or digest"


class RegistryThrottled(RegistryError):
    retryable = True
    default_action = "wait as long as the registry asks, then run the same command again"


class RegistryUnavailable(RegistryError):
    retryable = True
    default_action = "the registry failed; run the same command again later"


class UploadBroken(RegistryError):
    retryable = True
    default_action = "run the same command again; finished uploads are kept"


class TagImmutable(RegistryError):
    default_action = "choose another version, or allow the registry to overwrite this tag"


class DigestMismatch(RegistryError):
    default_action = "do not use this image; find out what changes content between this machine and the registry"


class ReferrersRefused(RegistryError):
    default_action = (
        "sign in cosign's older format only (--sign-format cosign), or use a registry that stores OCI artifacts"
    )


class AnswerTooLarge(RegistryError):
    default_action = "find out what wrote it; objects of this kind are never that large"


class WritesCollide(RegistryError):
    retryable = True
    default_action = "run the same command again; nothing is written twice"


class RegistryProtocolError(RegistryError):
    default_action = "check that the address belongs to an OCI registry"
