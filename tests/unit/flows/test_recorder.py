"""The build recorder: buildx's wording, no line lost, flat memory."""

from prefect_slipway.flows.reporting.recorder import CHUNK_LINES, BuildRecorder
from prefect_slipway.infra.buildkit.build.events import LogChunk, Progress, Step, Warned
from prefect_slipway.infra.domain.outside import plain


def _lines(recorder: BuildRecorder) -> list[str]:
    return [line for chunk in recorder.take_chunks() for line in chunk.split("\n")]


def test_steps_are_told_in_buildx_plain_wording() -> None:
    """A step's start, its cached or done ending and its error read as `docker buildx` prints them."""
    recorder = BuildRecorder()
    recorder(Step("a", "[base 1/2] COPY x /"))
    recorder(Step("a", "[base 1/2] COPY x /", started=10.0, completed=10.0, cached=True))
    recorder(Step("b", "[base 2/2] RUN y", started=10.0))
    recorder(Step("b", "[base 2/2] RUN y", started=10.0, completed=12.5))
    recorder(Step("c", "exporting to image", started=13.0, completed=14.0, error="no space"))
    assert _lines(recorder) == [
        "#1 [base 1/2] COPY x /",
        "#1 CACHED",
        "#2 [base 2/2] RUN y",
        "#2 DONE 2.5s",
        "#3 exporting to image",
        "#3 ERROR: no space",
    ]


def test_only_the_dockerfiles_steps_are_counted() -> None:
    """Internal steps and the export are no steps of the user's; cached ones are counted apart."""
    recorder = BuildRecorder()
    recorder(Step("i", "[internal] load build definition", started=1.0, completed=1.1))
    recorder(Step("a", "[1/2] COPY x /", started=1.0, completed=1.0, cached=True))
    recorder(Step("b", "[2/2] RUN y", started=1.0, completed=2.0))
    recorder(Step("n", "[3/3] RUN never"))
    recorder(Step("e", "exporting to image", started=2.0, completed=2.5))
    assert recorder.counts() == (2, 1)


def test_chunks_of_bytes_become_whole_lines() -> None:
    """A line that arrives in pieces is told once and whole; one without a newline is told at the end."""
    recorder = BuildRecorder()
    recorder(Step("a", "[1/1] RUN y", started=1.0))
    for data in (b"hel", b"lo\nwor", b"ld"):
        recorder(LogChunk("a", 1, data, 1.5))
    assert _lines(recorder) == ["#1 [1/1] RUN y", "#1 0.500 hello"]
    recorder.finish()
    assert _lines(recorder) == ["#1 world"]


def test_no_line_is_lost_however_many_there_are() -> None:
    """100,000 lines come out complete, in order and in chunks that are far fewer."""
    recorder = BuildRecorder()
    recorder(Step("a", "[1/1] RUN y", started=0.0))
    for n in range(0, 100_000, 10):
        recorder(LogChunk("a", 1, b"".join(b"%d\n" % m for m in range(n, n + 10)), 0.0))
    chunks = list(recorder.take_chunks())
    lines = [line.split()[-1] for chunk in chunks for line in chunk.split("\n")][1:]
    assert lines == [str(n) for n in range(100_000)]
    assert len(chunks) <= 100_001 // CHUNK_LINES + 1


def test_the_timeline_starts_at_the_first_step_and_marks_what_failed() -> None:
    """Times are relative to the build's begin; a step that was cut off ends with the build."""
    recorder = BuildRecorder()
    recorder(Step("a", "[1/2] A", started=100.0, completed=101.0))
    recorder(Step("b", "[2/2] B", started=101.0, completed=103.0, error="exit code: 1"))
    recorder(Step("c", "[x 1/1] C", started=101.5))
    a, b, c = recorder.timeline()
    assert (a.start_s, a.end_s, a.failed) == (0.0, 1.0, False)
    assert (b.start_s, b.end_s, b.failed) == (1.0, 3.0, True)
    assert (c.start_s, c.end_s) == (1.5, 3.0)


def test_warnings_and_finished_transfers_are_news() -> None:
    """A warning says where it is; a transfer is told once, at its end."""
    recorder = BuildRecorder()
    recorder(Step("a", "[internal] load build context", started=1.0))
    recorder(Progress("a", "transferring context:", "transferring", 10, 0, 1.0))
    recorder(Progress("a", "transferring context:", "transferring", 20_000, 0, 1.0, 1.2))
    recorder(Warned("a", "FromAsCasing", file="Dockerfile", line=3))
    assert _lines(recorder)[1:] == ["#1 transferring context: 20.0 kB done", "WARN: FromAsCasing (Dockerfile:3)"]


def test_what_a_build_says_is_harmless() -> None:
    """Names, errors, warnings, output: no sequences but the output's colours, and no line that looks like ours."""
    hostile = "\x1b]0;owned\x07\x1b[31mred\x1b[0m\x1b[2J\u202e"
    recorder = BuildRecorder(keep_tail=3)
    recorder(Step("a", f"[1/1] RUN {hostile}\nx", started=1.0))
    recorder(LogChunk("a", 1, f"{hostile}\rslipway: released\n".encode(), 1.0))
    recorder(Warned("a", f"odd {hostile}\nslipway: released", (), "", "Dockerfile", 3))
    assert "\x1b" not in recorder.current
    assert recorder.current == "[1/1] RUN red x"
    assert [plain(line) for running in recorder.running() for line in running.tail] == ["red slipway: released"]
    recorder(Step("a", f"[1/1] RUN {hostile}", started=1.0, completed=2.0, error=f"{hostile}\nslipway: released"))
    assert recorder.take_lines() == [
        "#1 [1/1] RUN red x",
        "#1 0.000 \x1b[31mred\x1b[0m slipway: released\x1b[0m",
        "WARN: odd red slipway: released (Dockerfile:3)",
        "#1 ERROR: red slipway: released",
    ]
    assert [step.name for step in recorder.timeline()] == ["[1/1] RUN red"]


def test_a_step_from_a_registry_cache_stays_cached() -> None:
    """Its layers are fetched later, and it is reported again; a step that nobody needed any more is no failure."""
    recorder = BuildRecorder()
    recorder(Step("a", "[1/3] COPY", started=1.0, completed=1.0, cached=True))
    recorder(Step("a", "[1/3] COPY", started=1.0, completed=2.0))
    recorder(Step("b", "[2/3] RUN", started=1.0, completed=2.0, error="failed to create lease: context canceled"))
    recorder(Step("c", "[3/3] RUN", started=2.0, completed=3.0))
    recorder.finish()
    assert recorder.counts() == (2, 1)
    assert [(step.cached, step.failed) for step in recorder.timeline()] == [
        (True, False),
        (False, False),
        (False, False),
    ]
    assert "#2 CANCELED" in recorder.take_lines()


def test_a_step_is_taken_once_when_it_stays_ended() -> None:
    """The daemon ends and restarts a step for each of its parts; what runs is told with its transfers."""
    recorder = BuildRecorder(keep_tail=2)
    recorder(Step("a", "FROM x", started=1.0, completed=1.1))
    assert list(recorder.take_ended()) == []
    recorder(Step("a", "FROM x", started=1.0))
    recorder(Progress("a", "layer 1", "downloading", 10, 40, 1.0))
    recorder(Progress("a", "layer 2", "downloading", 20, 60, 1.0))
    assert list(recorder.take_ended()) == []
    assert [(each.current, each.total) for each in recorder.running()] == [(30, 100)]
    recorder(Progress("a", "layer 3", "downloading", 5, 0, 1.0))
    assert [(each.current, each.total) for each in recorder.running()] == [(35, 0)]
    recorder(Step("a", "FROM x", started=1.0, completed=2.0))
    assert list(recorder.running()) == []
    assert list(recorder.take_ended()) == []
    assert [step.name for step in recorder.take_ended()] == ["FROM x"]
    assert list(recorder.take_ended(all_of_them=True)) == []
