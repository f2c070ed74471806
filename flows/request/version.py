"""The section of a request on which version is released, and where versions are kept."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from prefect_slipway.blocks.fields import GitRemote, SemanticVersion
from prefect_slipway.flows.request.model import Option, Request
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.version import parse_version

# An identifier of SemVer that is a tag as well, and none of those that registries, caches or reservations have.
_CHANNEL = re.compile(r"(?!latest$|sha256-|buildcache|slipway-)[A-Za-z][0-9A-Za-z-]{0,63}")

# What the * of a branch's pattern matched.
_MATCHED = "{branch}"


class VersionChoice(Request, title="Version"):
    """Which version a release gets, and where versions are kept."""

    exact: Annotated[SemanticVersion | None, Option("version")] = Field(
        default=None, description="Release exactly this version. Leave empty for the next one."
    )
    reason: str | None = Field(
        default=None, description="Why it is this version, for the report. Default: that you named it."
    )
    prerelease: bool = Field(
        default=False,
        description="Release a prerelease of the next version: 1.3.0-rc.1 instead of 1.3.0.",
    )
    prerelease_token: str = Field(
        default="rc", description="Name of the prerelease series. Default: rc, as in 1.3.0-rc.1."
    )
    channels: Annotated[dict[str, str], Option("channel")] = Field(
        default_factory=dict,
        description=(
            "Prerelease channels by branch, `beta=beta`: releases of the branch are prereleases of the channel "
            "(2.0.0-beta.1). Moving tags then include the channel's, on the highest one. In `feature/*={branch}`, "
            "`*` matches the rest of a branch's name, which `{branch}` stands for."
        ),
    )
    again: bool = Field(
        default=False,
        description=(
            "Release even if nothing is new: a commit that already has a version gets another one, and a "
            "bump by commits (`auto`) releases a patch if no commit asks for more."
        ),
    )
    only_new: bool = Field(
        default=False,
        description=(
            "Release only if something changed since the last version, and check this before a builder starts. Made "
            "for schedules: a run without changes succeeds."
        ),
    )
    tag_prefix: str | None = Field(
        default=None,
        description=(
            "Prefix of the git tags with the versions, such as `v` or `app/v`; use `-` for no prefix. Leave empty for "
            "`v` if the source is a git repository's root, or else the registry's tags."
        ),
    )
    git_remote: GitRemote | None = Field(
        default=None,
        description=(
            "Git remote of a local repository that keeps the tags; use `-` for no remote. Leave empty for origin, if "
            "it exists."
        ),
    )
    paths: Annotated[list[str], Option("version-path", "PATTERN")] = Field(
        default_factory=list,
        description=(
            "Files whose commits count for the version, from the repository's top, such as `services/api/**` or "
            "`!docs/**`. Leave empty for the build context."
        ),
    )
    moving_tags: bool = Field(
        default=False, description="Also move the tags MAJOR, MAJOR.MINOR and latest; of a channel, its tag."
    )

    @field_validator("prerelease_token")
    @classmethod
    def _token_is_an_identifier(cls, value: str) -> str:
        parse_version(f"0.0.0-{value}.1")
        return value

    @field_validator("paths")
    @classmethod
    def _paths_can_match(cls, values: list[str]) -> list[str]:
        for value in values:
            parts = value.removeprefix("!").split("/")
            if not {"", ".", ".."}.isdisjoint(parts):
                raise InvalidOption(
                    f"no file has a path like {value!r}",
                    action="write the pattern from the repository's top, such as services/api/**",
                )
        return values

    @field_validator("channels")
    @classmethod
    def _channels_can_be_tags(cls, values: dict[str, str]) -> dict[str, str]:
        patterns: dict[str, str] = {}
        for branch, channel in values.items():
            if branch.count("*") > 1 or (branch.count("*"), channel.count(_MATCHED)) not in {(0, 0), (1, 1)}:
                raise InvalidOption(
                    f"the channel {channel!r} of the branch {branch!r} is not one for each branch",
                    action=f"use one * in the branch and {_MATCHED} in the channel, such as feature/*={_MATCHED}, or "
                    "neither",
                )
            _check_channel(branch, channel.replace(_MATCHED, "x"))
            if "*" in branch:
                other = next((each for each in patterns if _may_be_equal(patterns[each], channel)), None)
                if other is not None:
                    raise InvalidOption(
                        f"branches of {other!r} and of {branch!r} may have the same channel",
                        action=f"begin their channels differently, such as fix-{_MATCHED}",
                    )
                patterns[branch] = channel
        return values

    def channel_of(self, branch: str) -> str | None:
        """The channel of a branch: by its name, or else by the first pattern that matches it; None without one. Raises
        InvalidOption if what matched cannot be a channel, or is another branch's."""
        if branch in self.channels and "*" not in branch:
            return self.channels[branch]
        for pattern, form in self.channels.items():
            before, star, after = pattern.partition("*")
            inner = branch[len(before) : len(branch) - len(after)]
            if not (star and inner and branch.startswith(before) and branch.endswith(after)):
                continue
            channel = form.replace(_MATCHED, inner)
            _check_channel(branch, channel)
            if channel in self.channels.values():
                raise InvalidOption(
                    f"the channel {channel!r} of the branch {branch!r} is another branch's",
                    action="name this branch's channel with --channel, or rename the branch",
                )
            return channel
        return None

    @model_validator(mode="after")
    def _options_agree(self) -> Self:
        if self.only_new and self.again:
            raise InvalidOption("--only-new and --again cannot be used together", action="remove one of them")
        if self.prerelease and self.exact is not None:
            raise InvalidOption(
                "--prerelease has no effect with --version, which names the whole version",
                action="use the prerelease itself, e.g. --version 2.0.0-rc.1, or remove --version",
            )
        return self


def _check_channel(branch: str, channel: str) -> None:
    if not _CHANNEL.fullmatch(channel):
        raise InvalidOption(
            f"the channel {channel!r} of the branch {branch!r} cannot be both a prerelease's name and a tag",
            action="use letters, digits and hyphens, such as beta or next; not latest, nor a tag of Slipway's",
        )


def _may_be_equal(one: str, other: str) -> bool:
    """Whether two forms of channels can make the same one of different branches."""
    (before, _, after), (begin, _, end) = one.partition(_MATCHED), other.partition(_MATCHED)
    return (before.startswith(begin) or begin.startswith(before)) and (after.endswith(end) or end.endswith(after))
