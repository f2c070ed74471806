"""Vault."""

from __future__ import annotations

from prefect_slipway.infra.domain.errors.base import SlipwayError


class VaultError(SlipwayError):
    pass


class VaultUnreachable(VaultError):
    retryable = True
    default_action = "check VAULT_ADDR and VAULT_CACERT; `slipway doctor` tests the connection"


class VaultTlsError(VaultError):
    default_action = "set VAULT_CACERT to the file with Vault's CA"


class VaultSealed(VaultError):
    retryable = True
    default_action = "unseal Vault (`bao operator unseal`); for the embedded Vault run `slipway up`"


class VaultInactive(VaultError):
    default_action = "set VAULT_ADDR to a cluster that serves requests"


class VaultDenied(VaultError):
    default_action = "give the role a policy with the `read` capability on that path"


class VaultTokenExpired(VaultError):
    default_action = (
        "set a new VAULT_TOKEN, log in again with `vault login`, or let Slipway log in (VAULT_ROLE_ID, VAULT_SECRET_ID)"
    )


class VaultLoginRefused(VaultError):
    default_action = "check the role id and secret id, or the role and whom it is bound to (service account, job)"


class SecretMissing(VaultError):
    default_action = "check the mount and the path in vault:MOUNT/PATH, and that a secret was written there"


class SecretFieldMissing(VaultError):
    default_action = "write this field to the secret"


class KvVersionMismatch(VaultError):
    default_action = "use a KV version 2 mount (`bao secrets enable -version=2 kv`)"


class TransitMissing(VaultError):
    default_action = "check the mount in vault:MOUNT/KEY, or enable the engine (`bao secrets enable transit`)"


class SigningKeyMissing(VaultError):
    default_action = "check the key in vault:MOUNT/KEY, or create it (`bao write -f MOUNT/keys/KEY type=ecdsa-p256`)"


class SigningKeyUnsuitable(VaultError):
    default_action = "use a key of the type ecdsa-p256, ecdsa-p384, ed25519, rsa-2048, rsa-3072 or rsa-4096"


class KeyVersionRefused(VaultError):
    default_action = "sign with the key's newest version, or lower its min_encryption_version"


class VaultThrottled(VaultError):
    retryable = True
    # As often as Vault's own client tries (api/client.go: two retries, a second or so apart).
    most_tries = 3
    default_action = "wait, then run the same command again: Vault limits requests"


class VaultProtocolError(VaultError):
    default_action = "check that VAULT_ADDR is the address of a Vault server"
