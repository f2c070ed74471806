"""The report of a set's release: Markdown for the Prefect UI, plain text for the terminal."""

from __future__ import annotations

from dataclasses import dataclass

from flows.domain.image_set import MadeImage, SetImage, SetPlan, SetResult
from flows.domain.plan import StepTime
from flows.domain.reference import ImageReference
from flows.domain.text import aligned, human_size, table_cell, with_rest
from flows.sets import dag
from flows.watched import timeline
from flows.watched.links import registry_link
from flows.watched.report import describe


@dataclass(frozen=True)
class SetReport:
    """What is known of a set's release at its end. `made`: what was built and verified; `failed`: the target whose
    build failed, if one did."""

    plan: SetPlan
    result: SetResult
    made: tuple[MadeImage, ...] = ()
    error: BaseException | None = None
    failed: str | None = None

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
        lines = [f"# {self.title}", ""]
        if self.error is not None:
            lines += ["```", describe(self.error), "```", ""]
        lines += ["| | |", "|---|---|", *(f"| {label} | {table_cell(value)} |" for label, value in self._facts()), ""]
        lines += ["| image | tags | digest | size | steps | seconds |", "|---|---|---|---|---|---|"]
        lines += ["| " + " | ".join(map(table_cell, row)) + " |" for row in self._rows()]
        lines += ["", *(f"- {table_cell(warning)}" for warning in self.plan.warnings)]
        lines += ["", "## Images", "", f"![images]({timeline.as_data_uri(self._picture())})"]
        if self.made:
            lines += ["", "## Times", "", f"![timeline]({timeline.as_data_uri(timeline.as_svg(self._times()))})"]
        if self.result.images:
            lines += ["", "## Pull", "", "```", *(f"docker pull {i.reference}" for i in self.result.images), "```"]
        return "\n".join(lines) + "\n"

    def as_text(self) -> str:
        """For the terminal."""
        facts = self._facts()
        if self.result.ui_url:
            facts.append(("in the UI", self.result.ui_url))
        lines = [self.title, *aligned(facts)]
        lines += [f"  WARN: {warning}" for warning in self.plan.warnings]
        if self.made:
            lines += ["", *(f"  {line}" for line in timeline.as_text(self._times()))]
        lines += ["", *(f"  docker pull {image.reference}" for image in self.result.images)]
        return "\n".join(lines).rstrip()

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
            row = [f"[{image.target}]({link.url}): {image.plan.image}", named]
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
    lines = [f"# {plan.source.name} {plan.version or ''}".rstrip(), "", plan.why, ""]
    lines += [f"- {effect}" for effect in plan.effects()]
    lines += [f"- WARN: {warning}" for warning in plan.warnings]
    if plan.deciding_commits:
        commits = with_rest(plan.deciding_commits, plan.deciding_commit_count)
        lines += ["", "## Commits that decided", "", *(f"- {commit}" for commit in commits)]
    return "\n".join(lines) + "\n"


def plan_as_text(plan: SetPlan) -> str:
    """The same for the terminal."""
    if plan.nothing_to_release:
        return f"{plan.source.name}: nothing to release: {plan.why}"
    lines = [f"{plan.source.name} {plan.version}", f"  why  {plan.why}"]
    commits = [f"commit {commit}" for commit in plan.deciding_commits]
    lines += [f"  {line}" for line in with_rest(commits, plan.deciding_commit_count)]
    return "\n".join([*lines, "  would:", *(f"    - {effect}" for effect in plan.effects())])
