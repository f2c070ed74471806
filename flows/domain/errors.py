"""Causes, not tracebacks: every failure that Slipway names.

::

    SlipwayError
    ├── UsageError                     exit code 2: what was asked for is not possible as asked
    │   ├── InvalidReference           an image reference the OCI grammar forbids
    │   ├── InvalidVersion             not SemVer 2.0
    │   ├── InvalidTag                 not an OCI tag
    │   └── InvalidOption              a bump, address, checksum, credential reference ... that cannot be read
    ├── SourceError
    │   ├── SourceMissing              the directory, repository or archive is not there
    │   ├── RefUnknown                 the repository has no such ref
    │   ├── DirtyTree                  uncommitted changes (refused unless allowed)
    │   ├── ChecksumMismatch           the archive is not the one that was named
    │   ├── SourceDenied               the git server or the archive's server refuses the credentials
    │   ├── SourceTlsError             the server's certificate is not trusted
    │   ├── SourceDiskFull             no space left where the source is put
    │   └── SourceUnreachable          network trouble on the way to the source        (retry)
    ├── VersionError
    │   ├── VersionTaken               the version exists with another digest
    │   └── VersionReserved            another release holds the version right now
    ├── VaultError
    │   ├── VaultUnreachable           nobody answers, or with a 500                   (retry)
    │   ├── VaultTlsError              the certificate is not trusted
    │   ├── VaultSealed                sealed or a standby without a leader            (retry)
    │   ├── VaultDenied                policy or role does not allow it
    │   ├── VaultTokenExpired          the token is no longer valid and cannot be renewed
    │   ├── VaultLoginRefused          wrong role, secret id or service account token
    │   ├── SecretMissing              nothing at that mount and path
    │   ├── SecretFieldMissing         the secret lacks a field
    │   ├── KvVersionMismatch          a KV v1 mount addressed as v2, or the other way round
    │   ├── VaultThrottled             429                                             (retry)
    │   └── VaultProtocolError         an answer outside Vault's API
    ├── RegistryError
    │   ├── RegistryUnreachable        refused, no such host, timed out                (retry)
    │   ├── RegistryTlsError           the certificate is not trusted, or plain HTTP answered
    │   ├── RegistryUnauthorized       401: no or wrong credentials
    │   ├── RegistryForbidden          403: the credentials lack a scope
    │   ├── RepositoryUnknown          404 NAME_UNKNOWN
    │   ├── ManifestUnknown            404 MANIFEST_UNKNOWN
    │   ├── RegistryThrottled          429, with the server's Retry-After              (retry)
    │   ├── RegistryUnavailable        5xx                                             (retry)
    │   ├── UploadBroken               a blob upload that broke off                    (retry)
    │   ├── TagImmutable               the registry forbids moving that tag
    │   ├── DigestMismatch             what the registry holds is not what was built
    │   └── RegistryProtocolError      an answer outside the OCI distribution specification
    ├── BuilderError
    │   ├── BuilderUnreachable         nobody listens at the address                   (retry)
    │   ├── BuilderTlsError            wrong CA, certificate or name
    │   ├── BuilderLost                the daemon went away mid-build                  (retry)
    │   ├── BuilderTooOld              the daemon lacks a feature that was asked for
    │   ├── BuilderDiskFull            no space left on the daemon's disk
    │   ├── BuilderImagePull           its pod's image cannot be pulled
    │   ├── BuilderUnschedulable       no node takes its pod
    │   ├── BuilderRefused             a policy, a quota or the kubelet forbids its pod
    │   ├── BuilderCrashed             the daemon ends by itself, with its last lines
    │   ├── BuilderOutOfMemory         the kernel killed it at its memory limit
    │   ├── BuilderEvicted             its node or the scheduler put its pod out        (retry)
    │   ├── BuilderDeleted             somebody deleted its pod                         (retry)
    │   ├── BuilderNodeLost            its node does not answer                         (retry)
    │   ├── BuilderNotReady            not ready in time, for no reason that shows
    │   └── BuilderProtocolError       an answer outside BuildKit's API
    ├── ClusterError                   Kubernetes' API
    │   ├── KubeconfigInvalid          no kubeconfig, no such context, or one that cannot be read
    │   ├── ClusterUnreachable         refused, no such host, timed out, broken off     (retry)
    │   ├── ClusterTlsError            the certificate is not trusted
    │   ├── ClusterUnauthorized        401: who asks is not known
    │   ├── ClusterForbidden           403: a verb on a resource is missing in the Role
    │   ├── ClusterRefused             403, 422: admission, a quota or validation refuses the object
    │   ├── NamespaceMissing           404 of the namespace itself
    │   ├── NamespaceTerminating       it is being deleted
    │   ├── ObjectMissing              404 of an object
    │   ├── ObjectConflict             409: somebody changed it at the same time        (retry)
    │   ├── NotOurs                    an object of that name is there and was not made by Slipway
    │   ├── WatchExpired               410: the watch is too old to go on               (retry)
    │   ├── ClusterThrottled           429, with the server's Retry-After               (retry)
    │   ├── ClusterUnavailable         5xx                                              (retry)
    │   ├── ClusterProtocolError       an answer outside Kubernetes' API
    │   └── Leftovers                  objects that would not go at the end
    ├── BuildError
    │   ├── DockerfileMissing
    │   ├── DockerfileInvalid          syntax error, with the excerpt
    │   ├── StepFailed                 a RUN (or other step) failed: step, exit code, last lines
    │   ├── ContextError               a file of the context changed or vanished while it was read
    │   └── BaseImageUnavailable       a FROM image that cannot be pulled
    ├── StackError                     the embedded stack on this machine
    │   ├── PartMissing                a program that has to be installed first
    │   ├── PortTaken
    │   ├── DaemonFailed               a part started and died, with its last lines
    │   └── StackDown                  nothing is running and nothing else was named
    └── Interrupted                    Ctrl-C or SIGTERM, exit code 130

Each class answers `retryable` ("would the same again help?"); tasks retry on that alone. Messages are composed by
Slipway from allow-listed fields (host, path, step, HTTP status, server's error code): a server's free text goes
through `redact` first, so no message can carry a credential.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self


class SlipwayError(Exception):
    """A named cause. `str()` is "what happened" and, on a second line, the next action.

    `cause`: one sentence, no secret in it. `action`: what to do next; None takes the class's default.
    `retry_after`: seconds the other side asked to wait, None when it did not say. `details`: further lines to show
    below (an excerpt of a Dockerfile, a daemon's last lines).
    """

    retryable: ClassVar[bool] = False
    default_action: ClassVar[str] = ""
    exit_code: ClassVar[int] = 1

    def __init__(
        self, cause: str, *, action: str | None = None, retry_after: float | None = None, details: str = ""
    ) -> None:
        super().__init__(cause)
        self.cause = cause
        self.action = self.default_action if action is None else action
        self.retry_after = retry_after
        self.details = details

    @property
    def name(self) -> str:
        """The cause's name, as metrics and states show it."""
        return type(self).__name__

    def __str__(self) -> str:
        parts = [self.cause]
        if self.details:
            parts.append(self.details.rstrip("\n"))
        if self.action:
            parts.append(f"Next: {self.action}")
        return "\n".join(parts)

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword-only arguments: the default reduction would lose them, and a task runner may pickle errors.
        return _rebuild, (type(self), self.__dict__.copy())

    @classmethod
    def _restore(cls, state: dict[str, Any]) -> Self:
        error = cls.__new__(cls)
        error.__dict__.update(state)
        error.args = (state["cause"],)
        return error


def _rebuild(cls: type[SlipwayError], state: dict[str, Any]) -> SlipwayError:
    return cls._restore(state)


# What was asked for -------------------------------------------------------------------------------------------


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


# Source -------------------------------------------------------------------------------------------------------


class SourceError(SlipwayError):
    pass


class SourceMissing(SourceError):
    default_action = "check the path or URL of the source"


class RefUnknown(SourceError):
    default_action = "check the ref with `git ls-remote`; a branch, a tag or a full commit id will do"


class DirtyTree(SourceError):
    default_action = "commit or stash the changes, or say --allow-dirty"


class ChecksumMismatch(SourceError):
    default_action = "compare the checksum with the publisher's; do not release what you did not mean to"


class SourceDenied(SourceError):
    default_action = "check the credentials named by --git-credentials"


class SourceTlsError(SourceError):
    default_action = "add the server's CA to this machine's trusted ones (git: http.sslCAInfo)"


class SourceDiskFull(SourceError):
    default_action = "free space below SLIPWAY_HOME, or put it on a larger disk"


class SourceUnreachable(SourceError):
    retryable = True
    default_action = "check the network and the host's name, then run the same command again"


# Version ------------------------------------------------------------------------------------------------------


class VersionError(SlipwayError):
    pass


class VersionTaken(VersionError):
    default_action = "choose another --version or --bump; a released version is never overwritten"


class VersionReserved(VersionError):
    default_action = "wait for the other release to end, or let Slipway choose the version (--bump)"


# Vault --------------------------------------------------------------------------------------------------------


class VaultError(SlipwayError):
    pass


class VaultUnreachable(VaultError):
    retryable = True
    default_action = "check VAULT_ADDR and VAULT_CACERT; `slipway doctor` tries the connection"


class VaultTlsError(VaultError):
    default_action = "name its CA with VAULT_CACERT"


class VaultSealed(VaultError):
    retryable = True
    default_action = "unseal it (`bao operator unseal`); the embedded one: `slipway up`"


class VaultDenied(VaultError):
    default_action = "give the role a policy with the capability `read` on that path"


class VaultTokenExpired(VaultError):
    default_action = "set a fresh VAULT_TOKEN, or let Slipway log in by itself (VAULT_ROLE_ID, VAULT_SECRET_ID)"


class VaultLoginRefused(VaultError):
    default_action = "check role and secret id (or the Kubernetes role and its bound service account)"


class SecretMissing(VaultError):
    default_action = "check mount and path of vault:MOUNT/PATH, and that a value was written there"


class SecretFieldMissing(VaultError):
    default_action = "write the fields `username` and `password` (optionally `registry`) there"


class KvVersionMismatch(VaultError):
    default_action = "use a KV version 2 mount (`bao secrets enable -version=2 kv`)"


class VaultThrottled(VaultError):
    retryable = True
    default_action = "wait; the server limits requests"


class VaultProtocolError(VaultError):
    default_action = "is VAULT_ADDR the address of a Vault server?"


# Registry -----------------------------------------------------------------------------------------------------


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


class RegistryProtocolError(RegistryError):
    default_action = "is this the address of an OCI registry?"


# Builder ------------------------------------------------------------------------------------------------------


class BuilderError(SlipwayError):
    pass


class BuilderUnreachable(BuilderError):
    retryable = True
    default_action = "check the address given by --builder; `slipway doctor` tries it, `slipway up` starts one"


class BuilderTlsError(BuilderError):
    default_action = "check the CA, the client certificate and the server name of the builder"


class BuilderLost(BuilderError):
    retryable = True
    default_action = "look at the daemon's log; running the same command again is safe"


class BuilderTooOld(BuilderError):
    default_action = "use BuildKit 0.12 or newer"


class BuilderDiskFull(BuilderError):
    default_action = "free space on the builder (`buildctl prune`), or give it a larger disk"


class BuilderProtocolError(BuilderError):
    default_action = "is this the address of a BuildKit daemon?"


class BuilderImagePull(BuilderError):
    default_action = "check the builder's image, and the pull secrets for its registry"


class BuilderUnschedulable(BuilderError):
    default_action = "free or add a node, or ask for less (requests, node selector, tolerations)"


class BuilderRefused(BuilderError):
    default_action = "the reason stands above; change the namespace's policy or quota, or what the builder asks for"


class BuilderCrashed(BuilderError):
    default_action = "its last lines stand above; rootless BuildKit needs user namespaces on the node"


class BuilderOutOfMemory(BuilderError):
    default_action = "give the builder a higher memory limit, or the build fewer parallel steps"


class BuilderEvicted(BuilderError):
    retryable = True
    default_action = "running the same command again is safe; a request for what it needs keeps a pod on its node"


class BuilderDeleted(BuilderError):
    retryable = True
    default_action = "running the same command again is safe"


class BuilderNodeLost(BuilderError):
    retryable = True
    default_action = "running the same command again is safe; look at the node"


class BuilderNotReady(BuilderError):
    default_action = "look at it with `kubectl describe pod`; give it more time if nothing is wrong"


# Kubernetes ---------------------------------------------------------------------------------------------------


class ClusterError(SlipwayError):
    pass


class KubeconfigInvalid(ClusterError):
    default_action = "check KUBECONFIG and --context (`kubectl config get-contexts`)"


class ClusterUnreachable(ClusterError):
    retryable = True
    default_action = "check the network and the API server's address in the kubeconfig"


class ClusterTlsError(ClusterError):
    default_action = "check `certificate-authority` in the kubeconfig"


class ClusterUnauthorized(ClusterError):
    default_action = "log in to the cluster again (`kubectl auth whoami`)"


class ClusterForbidden(ClusterError):
    default_action = "give this user the Role in infra/kubernetes/role.yaml"


class ClusterRefused(ClusterError):
    default_action = "the reason stands above; change the options, or the namespace's policy or quota"


class NamespaceMissing(ClusterError):
    default_action = "create it (`kubectl create namespace`), or name another with --namespace"


class NamespaceTerminating(ClusterError):
    default_action = "wait until it is gone and create it again, or name another with --namespace"


class ObjectMissing(ClusterError):
    default_action = "somebody removed it; run the same command again"


class ObjectConflict(ClusterError):
    retryable = True
    default_action = "run the same command again"


class NotOurs(ClusterError):
    default_action = "remove or rename the object, or choose another namespace or builder name"


class WatchExpired(ClusterError):
    retryable = True
    default_action = "run the same command again"


class ClusterThrottled(ClusterError):
    retryable = True
    default_action = "wait; the API server limits requests"


class ClusterUnavailable(ClusterError):
    retryable = True
    default_action = "the API server has trouble of its own; run the same command again later"


class ClusterProtocolError(ClusterError):
    default_action = "is this the address of a Kubernetes API server?"


class Leftovers(ClusterError):
    default_action = "see what holds them (finalizers); `slipway sweep` tries again"


# Build --------------------------------------------------------------------------------------------------------


class BuildError(SlipwayError):
    pass


class DockerfileMissing(BuildError):
    default_action = "name the Dockerfile with --file, relative to the source"


class DockerfileInvalid(BuildError):
    default_action = "mend the line that is marked above"


class StepFailed(BuildError):
    """`step`: the step's name as BuildKit shows it; `status`: the process's exit code, None if there was none."""

    default_action = "the step's last lines stand above; the complete log is in the run"

    def __init__(
        self,
        cause: str,
        *,
        step: str = "",
        status: int | None = None,
        action: str | None = None,
        retry_after: float | None = None,
        details: str = "",
    ) -> None:
        super().__init__(cause, action=action, retry_after=retry_after, details=details)
        self.step = step
        self.status = status


class ContextError(BuildError):
    default_action = "keep the source still while it is read, or exclude the file in .dockerignore"


class BaseImageUnavailable(BuildError):
    default_action = "check the image's name; a private one needs credentials for its registry"


# The embedded stack -------------------------------------------------------------------------------------------


class StackError(SlipwayError):
    pass


class PartMissing(StackError):
    default_action = "run `make setup`, or install it by hand; `slipway doctor` names the command"


class PortTaken(StackError):
    default_action = "stop what listens there, or choose another port"


class DaemonFailed(StackError):
    default_action = "its last lines stand above; `slipway doctor` checks all parts"


class StackDown(StackError):
    default_action = "run `slipway up`"


class Interrupted(SlipwayError):
    exit_code = 130
    default_action = "nothing was left behind; the same command may be run again"
