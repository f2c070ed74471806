"""What a build has reported so far: its steps and the last lines of each."""

from __future__ import annotations

from collections.abc import Callable

from prefect_slipway.infra.buildkit.build.events import BuildEvent, LogChunk, Step

_TAIL_LINES = 20
_TAIL_BYTES = 8192


class BuildRecord:
    """Passes events on to `on_event` and keeps what the outcome and the errors need. `events`: how many came."""

    def __init__(self, on_event: Callable[[BuildEvent], None]) -> None:
        self._on_event = on_event
        self._tails: dict[str, bytes] = {}
        self.steps: dict[str, Step] = {}
        self.events = 0

    def add(self, event: BuildEvent) -> None:
        self.events += 1
        if isinstance(event, Step):
            self.steps[event.digest] = event
        elif isinstance(event, LogChunk):
            self._tails[event.step] = (self._tails.get(event.step, b"") + event.data)[-_TAIL_BYTES:]
        self._on_event(event)

    @property
    def total_steps(self) -> int:
        return len(self._counted())

    @property
    def cached_steps(self) -> int:
        return sum(step.cached for step in self._counted())

    def failed_step(self, digest: str | None) -> Step | None:
        """The step with `digest`; without one the first that reported an error which is not just the cancelling."""
        if digest is not None and digest in self.steps:
            return self.steps[digest]
        failed = [step for step in self.steps.values() if step.error and "context canceled" not in step.error]
        return failed[0] if failed else None

    def last_lines(self, step: Step) -> str:
        """The end of the step's output."""
        text = self._tails.get(step.digest, b"").decode(errors="replace")
        return "\n".join(text.splitlines()[-_TAIL_LINES:])

    def _counted(self) -> list[Step]:
        # The Dockerfile's own steps are named "[stage 1/2] ..."; reading contexts, asking for tokens and exporting are
        # BuildKit's.
        return [
            step
            for step in self.steps.values()
            if step.name.startswith("[") and not step.name.startswith(("[internal]", "[auth]", "[context "))
        ]
