"""What a build offers to the daemon through its session."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from prefect_slipway.infra.buildkit.build.contexts import DOCKERFILE_DIR
from prefect_slipway.infra.buildkit.build.outputs import ImagePush, ImageStore
from prefect_slipway.infra.buildkit.build.request import BuildRequest
from prefect_slipway.infra.buildkit.http2.grpc import Handler, ServerCall
from prefect_slipway.infra.buildkit.session.auth import Auth
from prefect_slipway.infra.buildkit.session.filesync import FileSync, decoded
from prefect_slipway.infra.buildkit.session.tunnel import Attachable
from prefect_slipway.infra.domain.credentials import CredentialSource

if TYPE_CHECKING:
    from prefect_slipway.infra.buildkit.build.masking import Masking

# Only what this build needs is imported: `slipway build` is to start fast.


def attachables(request: BuildRequest, credentials: CredentialSource) -> list[Attachable]:
    """Raises errors in the request's directories, secrets, agents and outputs before anything is sent."""
    directories = request.directories()
    offered: list[Attachable] = [Auth(credentials)]
    modes, time = request.git_modes, request.source_date_epoch if request.git_modes else None
    if request.dockerfile_content is not None:
        offered.append(_WithDockerfile(directories, request.dockerfile_content, git_modes=modes, clamped_to=time))
    elif directories:
        offered.append(FileSync(directories, git_modes=modes, clamped_to=time))
    if not isinstance(request.context, Path | str):
        from prefect_slipway.infra.buildkit.session.upload import Upload

        offered.append(Upload(request.context))
    if request.secrets:
        from prefect_slipway.infra.buildkit.session.secrets import Secrets

        offered.append(Secrets(request.secrets))
    if request.ssh:
        from prefect_slipway.infra.buildkit.session.ssh_agent import SshAgents

        offered.append(SshAgents(request.ssh))
    if request.source_check is not None:
        from prefect_slipway.infra.buildkit.session.source_policy import SourcePolicySession

        offered.append(SourcePolicySession(request.source_check))
    if layouts := request.layouts():
        from prefect_slipway.infra.buildkit.session.content import Content

        offered.append(Content(layouts))
    if request.outputs:
        from prefect_slipway.infra.buildkit.build.filesend import FileSend

        offered.append(FileSend(request.outputs))
    return offered


def unanswered(offered: Iterable[Attachable]) -> set[str]:
    """The registries for which the daemon requested a credential without success."""
    return {host for attachable in offered if isinstance(attachable, Auth) for host in attachable.unanswered}


def masking(request: BuildRequest, offered: Iterable[Attachable]) -> Masking | None:
    """For what the daemon reports; None for a build without secrets."""
    if not request.secrets:
        return None
    from prefect_slipway.infra.buildkit.build.masking import Masking
    from prefect_slipway.infra.buildkit.session.secrets import Secrets

    return next(Masking(one.served) for one in offered if isinstance(one, Secrets))


def all_delivered(request: BuildRequest, offered: Iterable[Attachable], response: Mapping[str, str]) -> bool:
    """Whether the daemon handled every kind of output: before v0.13 it only handles the first.
    `response`: Solve's ExporterResponse."""
    if not request.outputs:
        return True
    from prefect_slipway.infra.buildkit.build.filesend import FileSend

    wants_image = any(isinstance(output, ImagePush | ImageStore) for output in request.outputs)
    files = all(attachable.complete for attachable in offered if isinstance(attachable, FileSend))
    return files and (not wants_image or "containerimage.digest" in response)


def was_asked(offered: Iterable[Attachable]) -> bool:
    """Whether the daemon asked the policy of a build that has one; each build has sources."""
    from prefect_slipway.infra.buildkit.session.source_policy import SourcePolicySession

    return any(attachable.asked for attachable in offered if isinstance(attachable, SourcePolicySession))


def finish_outputs(offered: Iterable[Attachable]) -> None:
    """Finish the outputs of a successful build. Raises OutputError."""
    from prefect_slipway.infra.buildkit.build.filesend import FileSend

    for attachable in offered:
        if isinstance(attachable, FileSend):
            attachable.remove_the_rest()


class _WithDockerfile(FileSync):
    """Directories, and a Dockerfile that is in none of them."""

    def __init__(
        self, directories: Mapping[str, Path], dockerfile: bytes, *, git_modes: bool, clamped_to: int | None
    ) -> None:
        super().__init__(directories, git_modes=git_modes, clamped_to=clamped_to)
        self._dockerfile = dockerfile

    def handlers(self) -> dict[str, Handler]:
        return dict.fromkeys(super().handlers(), self._serve)

    async def _serve(self, call: ServerCall) -> None:
        if decoded(call.metadata, "dir-name") == [DOCKERFILE_DIR]:
            from prefect_slipway.infra.buildkit.session.memory_dir import send_file

            await send_file(call, "Dockerfile", self._dockerfile)
        else:
            await self.diff_copy(call)
