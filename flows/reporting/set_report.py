"""The report of a set's release: Markdown for the Prefect UI, plain text for the terminal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from prefect_slipway.flows.planning.image_set import MadeImage, SetImage, SetPlan, SetResult
from prefect_slipway.flows.reporting import dag, markdown, timeline
from prefect_slipway.flows.reporting.artifact_keys import key_of
from prefect_slipway.flows.reporting.links import registry_link
from prefect_slipway.flows.reporting.report import as_rows, describe, left_behind_as_markdown, left_behind_as_text
from prefect_slipway.infra.domain.outside import one_line
from prefect_slipway.infra.domain.plan import LeftBehind, StepTime
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.domain.text import aligned, human_size, with_rest


@dataclass(frozen=True)
class SetReport:
    """What is known of a set's release at its end. `made`: what was built and verified; `failed`: the target whose
    build failed, if one did; `pull`: the commands that get the images."""

    plan: SetPlan
    result: SetResult
    made: tuple[MadeImage, ...] = ()
    error: BaseException | None = None
    failed: str | None = None
    pull: tuple[str, ...] = ()

    def leaving(self, left_behind: tuple[LeftBehind, ...]) -> Self:
        """The same, with what the clean-up could not remove."""
        return replace(self, result=replace(self.result, left_behind=left_behind))

    @property
    def key(self) -> str:
        """Of the artifact: one for each source of a set."""
        return key_of("release", f"set {self.plan.source.name}")

    @property
    def title(self) -> str:
        name = f"{self.plan.source.name} {self.plan.version or ''}".strip()
        if self.error is not None:
            return f"{name} was not released"
        return f"{name}: {len(self.result.images)} images released" if self.result.released else f"{name}: {self.why}"

    @property
    def why(self) -> str:
        return self.result.reason

    def as_markdown(self) -> str:
        """For a Markdown artifact. Pictures are data URIs, so they show without a network."""
        lines = [f"# {markdown.text(self.title)}", ""]
        if self.error is not None:
            lines += [markdown.block(describe(self.error)), ""]
        lines += [*markdown.table(as_rows(self._facts())), ""]
        lines += markdown.table([["image", "tags", "digest", "size", "steps", "seconds"], *self._rows()])
        lines += ["", *markdown.items([f"WARN: {warning}" for warning in self._warnings()])]
        lines += ["", "## Images", "", f"![images]({timeline.as_data_uri(self._picture())})"]
        if self.made:
            lines += ["", "## Times", "", f"![timeline]({timeline.as_data_uri(timeline.as_svg(self._times()))})"]
        lines += left_behind_as_markdown(self.result.left_behind)
        if self.pull:
            lines += ["", "## Pull", "", markdown.block("\n".join(self.pull))]
        return "\n".join(lines) + "\n"

    def as_text(self) -> str:
        """For the terminal."""
        facts = self._facts()
        if self.result.ui_url:
            facts.append(("in the UI", self.result.ui_url))
        lines = [one_line(self.title), *aligned(facts)]
        lines += [f"  WARN: {one_line(warning)}" for warning in self._warnings()]
        if self.made:
            lines += ["", *(f"  {line}" for line in timeline.as_text(self._times()))]
        lines += ["", *(f"  {command}" for command in self.pull)]
        lines += left_behind_as_text(self.result.left_behind)
        return "\n".join(lines).rstrip()

    def _warnings(self) -> list[str]:
        return [*self.plan.warnings, *(warning for image in self.result.images for warning in image.warnings)]

    def _facts(self) -> list[tuple[str, str]]:
        plan, result = self.plan, self.result
        facts = [("version", plan.version or "none"), ("why", plan.why)]
        if plan.previous_version:
            facts.append(("previous version", plan.previous_version))
        if plan.source.revision:
            facts.append(("revision", plan.source.revision + (" (dirty)" if plan.source.dirty else "")))
        if plan.git_tag and result.released:
            facts.append(("git tag", plan.git_tag))
        if self.failed is not None:
            facts.append(("failed", self.failed))
        facts.append(("duration", f"{result.duration_s:.1f} s"))
        return facts

    def _rows(self) -> list[list[str]]:
        made = {one.image.target: one for one in self.made}
        tags = {image.image: ", ".join(image.tags) for image in self.result.images}
        rows = []
        for image in self.plan.images:
            one = made.get(image.target)
            named = tags.get(image.plan.image, "") if image.public else ""
            link = registry_link(ImageReference.parse(image.plan.image), image.plan.version or "")
            shown = markdown.link(image.target, link.url) if link is not None else markdown.text(image.target)
            row = [f"{shown}: {markdown.text(image.plan.image)}", markdown.text(named)]
            if one is not None:
                steps = f"{one.built.steps}, {one.built.cached_steps} cached" if one.built.steps else "found"
                size = human_size(one.verified.size)
                row += [one.built.digest, size, steps, f"{one.end_s - one.start_s:.1f}"]
            rows.append(row + [""] * (6 - len(row)))
        return rows

    def _picture(self) -> str:
        made = {one.image.target: one for one in self.made}
        states, notes = {}, {}
        for image in self.plan.images:
            one = made.get(image.target)
            states[image.target] = self._state(image, one)
            if one is not None:
                notes[image.target] = f"{one.built.digest[7:19]} {one.end_s - one.start_s:.1f} s"
        return dag.as_svg({image.target: image.bases for image in self.plan.images}, states, notes)

    def _state(self, image: SetImage, one: MadeImage | None) -> str:
        if one is None:
            return "failed" if image.target == self.failed else "not built"
        return "cached" if one.built.steps == one.built.cached_steps else "built"

    def _times(self) -> tuple[StepTime, ...]:
        return tuple(
            StepTime(
                one.image.target, one.start_s, one.end_s, cached=one.built.steps == one.built.cached_steps, failed=False
            )
            for one in self.made
        )


def plan_as_markdown(plan: SetPlan) -> str:
    """What a set's release will do: shown before it does any of it."""
    title = f"{plan.source.name} {plan.version or ''}".rstrip()
    lines = [f"# {markdown.text(title)}", "", markdown.text(plan.why), ""]
    lines += markdown.items([*plan.effects(), *(f"WARN: {warning}" for warning in plan.warnings)])
    if plan.deciding_commits:
        commits = with_rest(plan.deciding_commits, plan.deciding_commit_count)
        lines += ["", "## Commits that decided", "", *markdown.items(commits)]
    return "\n".join(lines) + "\n"


def plan_as_text(plan: SetPlan) -> str:
    """The same for the terminal."""
    if plan.nothing_to_release:
        return f"{plan.source.name}: nothing to release: {plan.why}"
    lines = [f"{plan.source.name} {plan.version}", f"  why  {plan.why}"]
    commits = [f"commit {commit}" for commit in plan.deciding_commits]
    lines += [f"  {line}" for line in with_rest(commits, plan.deciding_commit_count)]
    lines += [f"  WARN: {warning}" for warning in plan.warnings]
    return "\n".join([*lines, "  would:", *(f"    - {one_line(effect)}" for effect in plan.effects())])
