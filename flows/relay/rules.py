"""The content of a rule file: the known senders, and which push starts which deployment with which parameters."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from prefect_slipway.flows.relay.push import RESERVATIONS, Push
from prefect_slipway.flows.relay.template import NAMES, filled, names_in
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.patterns import matches
from prefect_slipway.infra.domain.secret_path import SecretPath
from prefect_slipway.infra.domain.urls import check_texts

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_DEPLOYMENT = re.compile(r"[^/\s][^/]*/[^/\s][^/]*")


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


Patterns = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_as_tuple), Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class Source(_Strict):
    """A sender, which posts to `/hooks/NAME`."""

    name: str
    forge: Literal["github", "gitlab", "gitea", "forgejo", "generic"]
    secret: str = Field(description="`vault:MOUNT/PATH` (fields `secret` and `previous`) or `file:PATH` (one a line).")

    @field_validator("name")
    @classmethod
    def _name_fits_a_path(cls, value: str) -> str:
        return _checked_name(value)

    @field_validator("secret")
    @classmethod
    def _secret_is_a_place(cls, value: str) -> str:
        if value.startswith("vault:"):
            try:
                SecretPath.parse(value)
            except InvalidOption as error:
                raise ValueError(error.cause) from None
        elif not value.startswith("file:/"):
            # Not repeated: it may be the secret itself.
            raise ValueError("is neither vault:MOUNT/PATH nor file:/PATH; do not write the secret itself here")
        return value


class Rule(_Strict):
    """A push that matches all conditions starts a run of `deployment`.

    `branch` and `tag`: what is not named is not matched, but for a rule that names neither, which takes every branch.
    """

    name: str
    repository: Patterns
    deployment: str
    source: Patterns | None = None
    branch: Patterns | None = None
    tag: Patterns | None = None
    path: Patterns | None = None
    version_tags: bool = False
    parameters: dict[str, Any] = Field(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _name_is_short(cls, value: str) -> str:
        return _checked_name(value)

    @field_validator("deployment")
    @classmethod
    def _deployment_has_two_parts(cls, value: str) -> str:
        if not _DEPLOYMENT.fullmatch(value):
            raise ValueError("a deployment has the form FLOW/NAME")
        return value

    @field_validator("parameters")
    @classmethod
    def _parameters_can_be_recorded(cls, value: dict[str, Any]) -> dict[str, Any]:
        try:
            check_texts("", value)
        except InvalidOption as error:
            raise ValueError(error.cause) from None
        for name in names_in(value):
            if name not in NAMES:
                raise ValueError(f"{{{{ {name} }}}} is unknown; known names are {', '.join(NAMES)}")
        return value

    @model_validator(mode="after")
    def _placeholders_can_have_a_value(self) -> Rule:
        used = set(names_in(self.parameters))
        if "tag" in used and self.tag is None:
            raise ValueError("{{ tag }} is always empty in a rule that matches no tag")
        if "branch" in used and self.tag is not None and self.branch is None:
            raise ValueError("{{ branch }} is always empty in a rule that matches no branch")
        if self.version_tags and self.tag is None:
            raise ValueError("version_tags has no effect in a rule that matches no tags")
        return self

    def misses(self, push: Push, source: str) -> str | None:
        """Why the rule does not apply, None if it does."""
        if self.source is not None and not matches(self.source, source):
            return "another source"
        if not matches(self.repository, push.repository):
            return "another repository"
        if push.deleted:
            return "the ref was deleted"
        if push.ref.startswith(RESERVATIONS):
            return "a release's reservation"
        if push.tag is not None:
            if self.tag is None or not matches(self.tag, push.tag):
                return "another tag"
            if push.is_version_tag and not self.version_tags:
                return "a version tag, as releases create them; version_tags: true includes these"
        elif push.skipped:
            return "its newest commit asks to be skipped: [skip ci]"
        elif push.branch is None:
            return "neither a branch nor a tag"
        elif (self.branch is None and self.tag is not None) or (self.branch and not matches(self.branch, push.branch)):
            return "another branch"
        # If a forge does not list all paths, one that counts is assumed to have changed, so that no release is lost.
        if self.path is not None and push.paths is not None:
            patterns = self.path
            if not any(matches(patterns, path) for path in push.paths):
                return "other paths"
        return None

    def parameters_for(self, push: Push) -> dict[str, Any]:
        """The run's parameters."""
        return {key: filled(value, push) for key, value in self.parameters.items()}


class RuleBook(_Strict):
    """A whole rule file."""

    sources: Annotated[tuple[Source, ...], BeforeValidator(_as_tuple), Field(min_length=1)]
    rules: Annotated[tuple[Rule, ...], BeforeValidator(_as_tuple)] = ()

    @model_validator(mode="after")
    def _names_are_unique(self) -> RuleBook:
        for kind, names in (("source", [one.name for one in self.sources]), ("rule", [one.name for one in self.rules])):
            for name in names:
                if names.count(name) > 1:
                    raise ValueError(f"two {kind}s have the name {name!r}")
        for rule in self.rules:
            if rule.source is not None and not any(matches(rule.source, one.name) for one in self.sources):
                raise ValueError(f"rule {rule.name} does not use any existing source")
        return self

    def source(self, name: str) -> Source | None:
        return next((source for source in self.sources if source.name == name), None)


def _checked_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("a name has at most 63 of the characters a-z, 0-9 and -, and does not begin with -")
    return value
