"""Causes, not tracebacks: every failure that Slipway names.

::

    SlipwayError
    ├── UsageError                     exit code 2: the request is not possible
    │   ├── InvalidReference           an image reference the OCI grammar forbids
    │   ├── InvalidVersion             not SemVer 2.0
    │   ├── InvalidTag                 not an OCI tag
    │   ├── InvalidOption              a bump, address, checksum, credential reference ... that cannot be read
    │   ├── RequestOutdated            the fields of a request of before it had sections
    │   ├── NotesTemplateInvalid       a template of release notes that cannot be filled in
    │   ├── ReleaseFileInvalid         a slipway.toml that cannot be read
    │   ├── ReleaseFileRefused         a slipway.toml that chooses what whoever runs the release has not allowed
    │   ├── InvalidKey                 not a public key that signatures can be verified with
    │   ├── DeploymentUnknown          Prefect has no deployment of that name
    │   └── ParametersRefused          not what the deployment's schema says
    ├── SourceError
    │   ├── SourceMissing              the directory, repository or archive does not exist
    │   ├── RefUnknown                 the repository has no such ref
    │   ├── HistoryIncomplete          a shallow clone that nothing can complete
    │   ├── BranchUnknown              prerelease channels are by branch, and it is not known which one this is
    │   ├── DirtyTree                  uncommitted changes (refused unless allowed)
    │   ├── LfsFilesMissing            the source has pointers in place of its files in Git LFS
    │   ├── ChecksumMismatch           the archive is not the one that was named
    │   ├── SourceDenied               the git server or the archive's server refuses the credentials
    │   ├── SourceTlsError             the server's certificate is not trusted
    │   ├── SourceDiskFull             no space left where the source is put
    │   └── SourceUnreachable          the network fails on the way to the source      (retry)
    ├── VersionError
    │   ├── VersionTaken               the version exists with another digest
    │   ├── VersionReserved            another release holds the version right now
    │   ├── ReleaseAsRefused           a commit names a version that cannot be the next one
    │   └── VersionOutOfLine           a maintenance branch does not take versions of another line
    ├── ApprovalError
    │   ├── ApprovalRefused            somebody rejected it, or cancelled the waiting run
    │   ├── ApprovalTimedOut           nobody answered in time
    │   └── ApprovalOutdated           the source changed while the answer was waited for
    ├── VaultError
    │   ├── VaultUnreachable           nobody answers, or with a 500                   (retry)
    │   ├── VaultTlsError              the certificate is not trusted
    │   ├── VaultSealed                sealed or a standby without a leader            (retry)
    │   ├── VaultInactive              a node that serves nothing: a DR secondary, or removed from its cluster
    │   ├── VaultDenied                policy or role does not allow it
    │   ├── VaultTokenExpired          the token is no longer valid and cannot be renewed
    │   ├── VaultLoginRefused          wrong role, secret id or service account token
    │   ├── SecretMissing              nothing at that mount and path
    │   ├── SecretFieldMissing         the secret lacks a field
    │   ├── KvVersionMismatch          a KV v1 mount addressed as v2, or the other way round
    │   ├── TransitMissing             no Transit engine at the mount
    │   ├── SigningKeyMissing          the Transit engine has no such key
    │   ├── SigningKeyUnsuitable       a key of a type that signatures of images cannot be made with
    │   ├── KeyVersionRefused          a version that does not exist, or is below the minimum for signing
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
    │   ├── ReferrersRefused           the registry does not store manifests that refer to an image
    │   ├── AnswerTooLarge             more bytes than what was requested can have
    │   ├── WritesCollide              others keep overwriting the same tag             (retry)
    │   └── RegistryProtocolError      an answer outside the OCI distribution specification
    ├── BuilderError
    │   ├── BuilderUnreachable         nobody listens at the address                   (retry)
    │   ├── BuilderTlsError            wrong CA, certificate or name
    │   ├── BuilderLost                the daemon went away mid-build                  (retry)
    │   ├── BuilderConflict            a snapshot of the daemon's cache is gone         (retry)
    │   ├── BuilderTooOld              the daemon lacks a feature that was requested
    │   ├── BuilderDiskFull            no space left on the daemon's disk
    │   ├── BuilderImagePull           its pod's image cannot be pulled
    │   ├── BuilderUnschedulable       no node takes its pod
    │   ├── BuilderVolumeMissing       its pod's volume claim is not bound: no StorageClass
    │   ├── BuilderRefused             a policy, a quota or the kubelet forbids its pod
    │   ├── BuilderCrashed             the daemon ends by itself, with its last lines
    │   ├── BuilderDied                the daemon ended while it was used               (retry)
    │   ├── BuilderOutOfMemory         the kernel killed it at its memory limit
    │   ├── BuilderEvicted             its node or the scheduler put its pod out        (retry)
    │   ├── BuilderDeleted             somebody deleted its pod                         (retry)
    │   ├── BuilderNodeLost            its node does not answer                         (retry)
    │   ├── BuilderNotReady            not ready in time, for no reason that shows
    │   ├── PlatformUnavailable        no node runs the platform natively, and emulation was not allowed
    │   └── BuilderProtocolError       an answer outside BuildKit's API
    ├── ClusterError                   Kubernetes' API
    │   ├── KubeconfigInvalid          no kubeconfig, no such context, or one that cannot be read
    │   ├── ClusterUnreachable         refused, no such host, timed out, broken off     (retry)
    │   ├── ClusterTlsError            the certificate is not trusted
    │   ├── ClusterUnauthorized        401: the user is not known
    │   ├── ClusterForbidden           403: a verb on a resource is missing in the Role
    │   ├── ClusterRefused             403, 422: admission, a quota or validation refuses the object
    │   ├── NamespaceMissing           404 of the namespace itself
    │   ├── NamespaceTerminating       it is being deleted
    │   ├── ObjectMissing              404 of an object
    │   ├── ObjectConflict             409: somebody changed it at the same time        (retry)
    │   ├── NotOurs                    an object of that name exists and was not made by Slipway
    │   ├── WatchExpired               410: the watch is too old to go on               (retry)
    │   ├── ClusterThrottled           429, with the server's Retry-After               (retry)
    │   ├── ClusterUnavailable         5xx                                              (retry)
    │   ├── ClusterProtocolError       an answer outside Kubernetes' API
    │   └── Leftovers                  objects that would not go at the end
    ├── BuildError
    │   ├── DockerfileMissing
    │   ├── DockerfileInvalid          syntax error, with the excerpt
    │   ├── StepFailed                 a RUN (or other step) failed: step, exit code, last lines
    │   │   └── StepOutOfMemory        its process was killed as memory ran out
    │   ├── ContextError               a file of the context changed or vanished while it was read
    │   ├── BaseImageUnavailable       a FROM image that cannot be pulled
    │   ├── BuildSourceDenied          the source policy forbids an image, repository or file that the build uses
    │   ├── BuildSecretMissing         a secret or an SSH agent that the Dockerfile wants was not given
    │   └── OutputError                the result cannot be written on this machine
    ├── ComponentsFailed               some components of a monorepo were not released
    ├── GateError                      an image that does not get its tag
    │   ├── GateFailed                 the image did not pass a gate
    │   ├── GateTimedOut               a gate did not answer in time
    │   ├── GateMissing                its program, deployment or policy does not exist
    │   ├── GateForbidden              a deployment's run may not start this program
    │   └── WaiverInvalid              a file of waivers that cannot be read
    ├── RolloutError                   an image on its way into a workload
    │   ├── RolloutCrashed             a container ends by itself, with its last lines
    │   ├── RolloutOutOfMemory         the kernel killed it at its memory limit
    │   ├── RolloutImagePull           the node cannot pull the image
    │   ├── RolloutProbeFailed         a probe fails
    │   ├── RolloutUnschedulable       no node takes a pod
    │   ├── RolloutVolumeMissing       a pod's volume claim is not bound
    │   ├── RolloutRefused             a policy, a quota or the kubelet forbids a pod
    │   ├── RolloutDeadline            not complete in time, for no reason that shows
    │   │   └── NotFollowed            the workload does not get the image that git has
    │   ├── RolloutSuperseded          somebody else changed the image meanwhile
    │   ├── RolloutImpossible          a paused workload, one that never rolls by itself, no such container
    │   ├── NotPromoted                not rolled out in the environment before
    │   └── ReleaseUnknown             no earlier release of that name
    ├── GitOpsError                    an image on its way into a git repository that a cluster follows
    │   ├── ManifestInvalid            a file that cannot be read, or not be changed in place
    │   ├── ImagePlaceMissing          no file names the image
    │   ├── BranchRefused              the server refuses the push
    │   └── BranchBusy                 others pushed each time                          (retry)
    ├── TrustError                     signatures and attestations
    │   ├── NotSigned                  the registry has no signature of the image
    │   ├── NotAttested                the registry has no attestation of that type about the image
    │   ├── UntrustedKey               signed, but by none of the trusted keys
    │   ├── SignatureInvalid           names a trusted key that did not make it
    │   ├── SignatureMalformed         cut, too large, or not of the format it claims to be
    │   ├── OtherImageSigned           a signature of another digest
    │   ├── OtherRepositorySigned      a signature of this digest in another repository
    │   ├── OtherPayloadType           signed, but not an in-toto statement
    │   ├── OtherPredicateType         a statement about the image, of another type
    │   ├── OtherSource                built from another source, or from one with changes
    │   ├── OtherRef                   built from another branch or tag
    │   ├── TooOld                     built longer ago than is allowed
    │   ├── BuildTimeUnknown           no time of the build, or one in the future
    │   ├── GateNotPassed              the newest result of the gate is a failure
    │   ├── NotRebuilt                 not rebuilt to the same digest, or no statement that says so
    │   └── NotRebuildable             what is known of its build is not enough to repeat it
    ├── ForgeError                     a release on GitHub, GitLab, Gitea or Forgejo
    │   ├── ForgeUnreachable           refused, no such host, timed out                (retry)
    │   ├── ForgeTlsError              the certificate is not trusted
    │   ├── ForgeUnauthorized          401: the token is wrong or has expired
    │   ├── ForgeForbidden             403: the token lacks a permission
    │   ├── ForgeRepositoryUnknown     404: no such repository, or the token may not see it
    │   ├── ForgeThrottled             429, or 403 by a rate limit                     (retry)
    │   ├── ForgeUnavailable           5xx                                             (retry)
    │   ├── ForgeConflict              409, 422: somebody else made it at the same time (retry)
    │   ├── ForgeRefused               400, 422: the forge does not take it
    │   └── ForgeProtocolError         an answer outside the forge's API, or a redirect to another server
    ├── PolicyError                    policies in Rego
    │   ├── PolicyInvalid              it does not compile, or a function in it fails
    │   └── PolicyTimedOut             no answer in time
    ├── PrefectError                   the Prefect server, where a command talks to it alone
    │   ├── PrefectUnreachable         refused, no such host, timed out                (retry)
    │   ├── PrefectUnavailable         5xx, 408, 429: the server failed                (retry)
    │   ├── PrefectUnauthorized        401, 403: the server wants another key
    │   ├── PrefectNotFound            404: what was named is gone
    │   ├── PrefectRefused             any other status
    │   └── PrefectProtocolError       not a Prefect API, or one of another major version
    ├── StackError                     the embedded stack on this machine
    │   ├── PartMissing                a program that has to be installed first
    │   ├── PortTaken
    │   ├── DaemonFailed               a part started and died, with its last lines
    │   ├── StackInUse                 runs use the stack that `slipway down` is to stop
    │   ├── DiskFull                   no space left on a disk of this machine
    │   ├── StateFolderUnusable        another user's, or one that cannot be written
    │   ├── TemporaryFolderUnusable    there is none, or none with space
    │   ├── OutputUnwritable           what a command prints cannot be written
    │   ├── StateFolderTooNew          written by a newer Slipway
    │   └── StackDown                  nothing is running and nothing else was named
    └── Interrupted                    Ctrl-C or SIGTERM, exit code 130

Each class answers `retryable` ("would the same again help?"); tasks retry on that alone, as often as `most_tries`
says. Messages are composed by Slipway from allow-listed fields (host, path, step, HTTP status, server's error code);
where a server's free text has to be shown (BuildKit's), what could be a credential in it is taken out first
(`buildkit.build.scrub`).
"""

from prefect_slipway.infra.domain.errors.approval import *
from prefect_slipway.infra.domain.errors.base import *
from prefect_slipway.infra.domain.errors.build import *
from prefect_slipway.infra.domain.errors.builder import *
from prefect_slipway.infra.domain.errors.cluster import *
from prefect_slipway.infra.domain.errors.components import *
from prefect_slipway.infra.domain.errors.forge import *
from prefect_slipway.infra.domain.errors.gate import *
from prefect_slipway.infra.domain.errors.gitops import *
from prefect_slipway.infra.domain.errors.policy import *
from prefect_slipway.infra.domain.errors.prefect import *
from prefect_slipway.infra.domain.errors.registry import *
from prefect_slipway.infra.domain.errors.rollout import *
from prefect_slipway.infra.domain.errors.source import *
from prefect_slipway.infra.domain.errors.stack import *
from prefect_slipway.infra.domain.errors.trust import *
from prefect_slipway.infra.domain.errors.usage import *
from prefect_slipway.infra.domain.errors.vault import *
from prefect_slipway.infra.domain.errors.version import *
