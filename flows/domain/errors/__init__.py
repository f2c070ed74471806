"""Causes, not tracebacks: every failure that Slipway names.

::

    SlipwayError
    ├── UsageError                     exit code 2: what was asked for is not possible as asked
    │   ├── InvalidReference           an image reference the OCI grammar forbids
    │   ├── InvalidVersion             not SemVer 2.0
    │   ├── InvalidTag                 not an OCI tag
    │   ├── InvalidOption              a bump, address, checksum, credential reference ... that cannot be read
    │   ├── DeploymentUnknown          Prefect has no deployment of that name
    │   └── ParametersRefused          not what the deployment's schema says
    ├── SourceError
    │   ├── SourceMissing              the directory, repository or archive is not there
    │   ├── RefUnknown                 the repository has no such ref
    │   ├── HistoryIncomplete          a shallow clone that nothing can complete
    │   ├── DirtyTree                  uncommitted changes (refused unless allowed)
    │   ├── ChecksumMismatch           the archive is not the one that was named
    │   ├── SourceDenied               the git server or the archive's server refuses the credentials
    │   ├── SourceTlsError             the server's certificate is not trusted
    │   ├── SourceDiskFull             no space left where the source is put
    │   └── SourceUnreachable          network trouble on the way to the source        (retry)
    ├── VersionError
    │   ├── VersionTaken               the version exists with another digest
    │   └── VersionReserved            another release holds the version right now
    ├── ApprovalError
    │   ├── ApprovalRefused            somebody said no, or cancelled the waiting run
    │   ├── ApprovalTimedOut           nobody answered in time
    │   └── ApprovalOutdated           the source changed while the answer was waited for
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
    │   ├── BaseImageUnavailable       a FROM image that cannot be pulled
    │   ├── BuildSecretMissing         a secret or an SSH agent that the Dockerfile wants was not given
    │   └── OutputError                the result cannot be written on this machine
    ├── RolloutError                   an image on its way into a workload
    │   ├── RolloutCrashed             a container ends by itself, with its last lines
    │   ├── RolloutOutOfMemory         the kernel killed it at its memory limit
    │   ├── RolloutImagePull           the node cannot pull the image
    │   ├── RolloutProbeFailed         a probe fails
    │   ├── RolloutUnschedulable       no node takes a pod
    │   ├── RolloutRefused             a policy, a quota or the kubelet forbids a pod
    │   ├── RolloutDeadline            not complete in time, for no reason that shows
    │   ├── RolloutSuperseded          somebody else changed the image meanwhile
    │   ├── RolloutImpossible          a paused workload, one that never rolls by itself, no such container
    │   ├── NotPromoted                not rolled out in the environment before
    │   └── ReleaseUnknown             no earlier release of that name
    ├── PrefectError                   the Prefect server, where a command talks to it alone
    │   ├── PrefectUnreachable         refused, no such host, timed out, 5xx           (retry)
    │   └── PrefectRefused             any other answer: who asks may not, or what is asked for is not possible
    ├── StackError                     the embedded stack on this machine
    │   ├── PartMissing                a program that has to be installed first
    │   ├── PortTaken
    │   ├── DaemonFailed               a part started and died, with its last lines
    │   └── StackDown                  nothing is running and nothing else was named
    └── Interrupted                    Ctrl-C or SIGTERM, exit code 130

Each class answers `retryable` ("would the same again help?"); tasks retry on that alone. Messages are composed by
Slipway from allow-listed fields (host, path, step, HTTP status, server's error code); where a server's free text has
to be shown (BuildKit's), what could be a credential in it is taken out first (`infra.buildkit.scrub`).
"""

from flows.domain.errors.approval import (
    ApprovalError,
    ApprovalOutdated,
    ApprovalRefused,
    ApprovalTimedOut,
)
from flows.domain.errors.base import (
    Interrupted,
    SlipwayError,
)
from flows.domain.errors.build import (
    BaseImageUnavailable,
    BuildError,
    BuildSecretMissing,
    ContextError,
    DockerfileInvalid,
    DockerfileMissing,
    OutputError,
    StepFailed,
)
from flows.domain.errors.builder import (
    BuilderCrashed,
    BuilderDeleted,
    BuilderDiskFull,
    BuilderError,
    BuilderEvicted,
    BuilderImagePull,
    BuilderLost,
    BuilderNodeLost,
    BuilderNotReady,
    BuilderOutOfMemory,
    BuilderProtocolError,
    BuilderRefused,
    BuilderTlsError,
    BuilderTooOld,
    BuilderUnreachable,
    BuilderUnschedulable,
)
from flows.domain.errors.cluster import (
    ClusterError,
    ClusterForbidden,
    ClusterProtocolError,
    ClusterRefused,
    ClusterThrottled,
    ClusterTlsError,
    ClusterUnauthorized,
    ClusterUnavailable,
    ClusterUnreachable,
    KubeconfigInvalid,
    Leftovers,
    NamespaceMissing,
    NamespaceTerminating,
    NotOurs,
    ObjectConflict,
    ObjectMissing,
    WatchExpired,
)
from flows.domain.errors.prefect import (
    PrefectError,
    PrefectRefused,
    PrefectUnreachable,
)
from flows.domain.errors.registry import (
    DigestMismatch,
    ManifestUnknown,
    RegistryError,
    RegistryForbidden,
    RegistryProtocolError,
    RegistryThrottled,
    RegistryTlsError,
    RegistryUnauthorized,
    RegistryUnavailable,
    RegistryUnreachable,
    RepositoryUnknown,
    TagImmutable,
    UploadBroken,
)
from flows.domain.errors.rollout import (
    NotPromoted,
    ReleaseUnknown,
    RolloutCrashed,
    RolloutDeadline,
    RolloutError,
    RolloutImagePull,
    RolloutImpossible,
    RolloutOutOfMemory,
    RolloutProbeFailed,
    RolloutRefused,
    RolloutSuperseded,
    RolloutUnschedulable,
)
from flows.domain.errors.source import (
    ChecksumMismatch,
    DirtyTree,
    HistoryIncomplete,
    RefUnknown,
    SourceDenied,
    SourceDiskFull,
    SourceError,
    SourceMissing,
    SourceTlsError,
    SourceUnreachable,
)
from flows.domain.errors.stack import (
    DaemonFailed,
    PartMissing,
    PortTaken,
    StackDown,
    StackError,
)
from flows.domain.errors.usage import (
    DeploymentUnknown,
    InvalidOption,
    InvalidReference,
    InvalidTag,
    InvalidVersion,
    ParametersRefused,
    UsageError,
)
from flows.domain.errors.vault import (
    KvVersionMismatch,
    SecretFieldMissing,
    SecretMissing,
    VaultDenied,
    VaultError,
    VaultLoginRefused,
    VaultProtocolError,
    VaultSealed,
    VaultThrottled,
    VaultTlsError,
    VaultTokenExpired,
    VaultUnreachable,
)
from flows.domain.errors.version import (
    VersionError,
    VersionReserved,
    VersionTaken,
)

__all__ = [
    "ApprovalError",
    "ApprovalOutdated",
    "ApprovalRefused",
    "ApprovalTimedOut",
    "BaseImageUnavailable",
    "BuildError",
    "BuildSecretMissing",
    "BuilderCrashed",
    "BuilderDeleted",
    "BuilderDiskFull",
    "BuilderError",
    "BuilderEvicted",
    "BuilderImagePull",
    "BuilderLost",
    "BuilderNodeLost",
    "BuilderNotReady",
    "BuilderOutOfMemory",
    "BuilderProtocolError",
    "BuilderRefused",
    "BuilderTlsError",
    "BuilderTooOld",
    "BuilderUnreachable",
    "BuilderUnschedulable",
    "ChecksumMismatch",
    "ClusterError",
    "ClusterForbidden",
    "ClusterProtocolError",
    "ClusterRefused",
    "ClusterThrottled",
    "ClusterTlsError",
    "ClusterUnauthorized",
    "ClusterUnavailable",
    "ClusterUnreachable",
    "ContextError",
    "DaemonFailed",
    "DeploymentUnknown",
    "DigestMismatch",
    "DirtyTree",
    "DockerfileInvalid",
    "DockerfileMissing",
    "HistoryIncomplete",
    "Interrupted",
    "InvalidOption",
    "InvalidReference",
    "InvalidTag",
    "InvalidVersion",
    "KubeconfigInvalid",
    "KvVersionMismatch",
    "Leftovers",
    "ManifestUnknown",
    "NamespaceMissing",
    "NamespaceTerminating",
    "NotOurs",
    "NotPromoted",
    "ObjectConflict",
    "ObjectMissing",
    "OutputError",
    "ParametersRefused",
    "PartMissing",
    "PortTaken",
    "PrefectError",
    "PrefectRefused",
    "PrefectUnreachable",
    "RefUnknown",
    "RegistryError",
    "RegistryForbidden",
    "RegistryProtocolError",
    "RegistryThrottled",
    "RegistryTlsError",
    "RegistryUnauthorized",
    "RegistryUnavailable",
    "RegistryUnreachable",
    "ReleaseUnknown",
    "RepositoryUnknown",
    "RolloutCrashed",
    "RolloutDeadline",
    "RolloutError",
    "RolloutImagePull",
    "RolloutImpossible",
    "RolloutOutOfMemory",
    "RolloutProbeFailed",
    "RolloutRefused",
    "RolloutSuperseded",
    "RolloutUnschedulable",
    "SecretFieldMissing",
    "SecretMissing",
    "SlipwayError",
    "SourceDenied",
    "SourceDiskFull",
    "SourceError",
    "SourceMissing",
    "SourceTlsError",
    "SourceUnreachable",
    "StackDown",
    "StackError",
    "StepFailed",
    "TagImmutable",
    "UploadBroken",
    "UsageError",
    "VaultDenied",
    "VaultError",
    "VaultLoginRefused",
    "VaultProtocolError",
    "VaultSealed",
    "VaultThrottled",
    "VaultTlsError",
    "VaultTokenExpired",
    "VaultUnreachable",
    "VersionError",
    "VersionReserved",
    "VersionTaken",
    "WatchExpired",
]
