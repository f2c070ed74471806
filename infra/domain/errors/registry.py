"""Registries."""

from __future__ import annotations

from prefect_slipway.infra.domain.errors.base import SlipwayError


class RegistryError(SlipwayError):
    pass


class RegistryUnreachable(RegistryError):
    retryable = True
    default_action = "check the registry's host name and port, and that it runs"


class RegistryTlsError(RegistryError):
    default_action = "name its CA with --registry-ca FILE; for plain HTTP say --insecure-registry"


class RegistryUnauthorized(RegistryError):
    default_action = "check the user and password at --credentials vault:MOUNT/PATH"


class RegistryForbidden(RegistryError):
    default_action = "give the account the right to push to this repository"


class RepositoryUnknown(RegistryError):
    default_action = "check the repository's name; some registries want it created first"


class ManifestUnknown(RegistryError):
    default_action = "check the tag or digest"


class RegistryThrottled(RegistryError):
    retryable = True
    default_action = "wait as long as the registry asked, then run the same command again"


class RegistryUnavailable(RegistryError):
    retryable = True
    default_action = "the registry has trouble of its own; run the same command again later"


class UploadBroken(RegistryError):
    retryable = True
    default_action = "run the same command again; what was uploaded is not lost"


class TagImmutable(RegistryError):
    default_action = "the registry forbids moving this tag; choose another version or allow it there"


class DigestMismatch(RegistryError):
    default_action = "do not use this image; find out what stands between here and the registry"


class ReferrersRefused(RegistryError):
    default_action = "sign in cosign's older format only (--sign-format cosign), or use a registry for OCI artifacts"


class AnswerTooLarge(RegistryError):
    default_action = "find out what put it there; nothing of this kind needs that many bytes"


class WritesCollide(RegistryError):
    retryable = True
    default_action = "run the same command again; what is there already is not written twice"


class RegistryProtocolError(RegistryError):
    default_action = "is this the address of an OCI registry?"
