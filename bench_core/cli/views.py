"""What a run says while it is at work: plain lines for pipes, JSON lines for programs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from bench_core.cli.common import print_json_line, say

if TYPE_CHECKING:
    from bench_core.execute.happening import Happening
    from bench_core.execute.progress import JobProgress, RunProgress
    from bench_core.store.result import Failure

_GONE = (OSError, ValueError)
"""What printing raises without a screen: ValueError for a closed file."""
QUIET_SECONDS = 10.0
"""A job's epochs are told no more often than this in plain lines."""


class View(Protocol):
    """Watches a run."""

    def __enter__(self) -> View:
        """Begin."""

    def __exit__(self, *details: object) -> None:
        """End, also after an error."""

    def watch(self, run: RunProgress, happening: Happening | None) -> None:
        """Hear of a change, or (None) that time has passed."""


class Steady:
    """Another view, whose screen may vanish: its reader may end, its disk fill up, its terminal close.

    The run is not for the screen: it continues, and says on stderr (if there is one) that it does.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self.broken = False

    def __enter__(self) -> Steady:
        try:
            self._view.__enter__()
        except _GONE as error:
            self.gone(error)
        return self

    def __exit__(self, *details: object) -> None:
        try:
            self._view.__exit__(*details)
        except _GONE as error:
            self.gone(error)

    def watch(self, run: RunProgress, happening: Happening | None) -> None:
        """Pass it on as long as there is a screen."""
        self.let(lambda: self._view.watch(run, happening))

    def let(self, tell: Callable[[], object]) -> None:
        """Let something else be told as long as there is a screen."""
        if self.broken:
            return
        try:
            tell()
        except _GONE as error:
            self.gone(error)

    def gone(self, error: BaseException) -> None:
        """Note that nothing can be printed, and say so once where that can be read."""
        if not self.broken:
            self.broken = True
            why = "its reader is gone" if isinstance(error, BrokenPipeError) else error
            with suppress(OSError, ValueError):
                say(f"nothing more can be printed ({why}); the run continues", err=True)


class PlainView:
    """One line for each thing that happens."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}
        self._stopping = False
        self._reasons = Reasons()

    def __enter__(self) -> PlainView:
        return self

    def __exit__(self, *details: object) -> None:
        pass

    def watch(self, run: RunProgress, happening: Happening | None) -> None:
        """Print the change."""
        if run.stopping and not self._stopping:
            self._stopping = True
            say("stopping; a second Ctrl-C kills the workers", err=True)
        if happening is None:
            return
        progress, kind = happening.progress, happening.kind
        if kind in ("workers", "stalled"):
            say(happening.text)
            return
        if progress is None:
            say(f"a listener failed and is not told again: {happening.text}", err=True)
            return
        digest = progress.job.digest
        if kind in ("epoch", "progress", "testing"):
            now = time.monotonic()
            if kind == "testing" or now - self._told.get(digest, 0.0) < QUIET_SECONDS:
                return
            self._told[digest] = now
        if kind == "started":
            self._told[digest] = time.monotonic()
        done = sum(count for status, count in run.counts().items() if status in ("done", "failed"))
        said = self._reasons.once(progress) if kind == "failed" else describe(kind, progress)
        say(f"[{done}/{len(run.jobs)}] {progress.job.name}: {said}")


class JsonView:
    """One JSON object per line."""

    def __enter__(self) -> JsonView:
        return self

    def __exit__(self, *details: object) -> None:
        pass

    def watch(self, run: RunProgress, happening: Happening | None) -> None:
        """Print the change as JSON."""
        from bench_core.store.result import finite

        if happening is None:
            return
        progress = happening.progress
        data: dict[str, Any] = {"event": happening.kind}
        if progress is None:
            data["message"] = happening.text
        else:
            data |= {"job": progress.job.name, "digest": progress.job.digest} | _facts(
                happening.kind, progress
            )
        print_json_line(finite(data))


class Reasons:
    """Why jobs failed, each reason in full once: damaged data are one mistake, not one per job."""

    def __init__(self) -> None:
        self._first: dict[tuple[str | None, ...], str] = {}

    def once(self, progress: JobProgress) -> str:
        """Return in words that the job failed and, the first time, why."""
        failure = progress.failure
        if failure is None:
            return "failed in another process"
        first = self._first.setdefault(reason_of(failure), progress.job.name)
        if first != progress.job.name:
            return f"failed for the same reason as {first}"
        return f"failed: {failure.message}"


def reason_of(failure: Failure) -> tuple[str | None, ...]:
    """Return what is equal for jobs that failed for the same reason."""
    return failure.kind, failure.message, failure.place, failure.cause


def describe(kind: str, progress: JobProgress) -> str:
    """Return a change in words."""
    if kind == "started":
        return f"started on {progress.device}"
    if kind == "anew":
        return progress.note
    if kind == "resumed":
        return f"resumes after epoch {progress.done}/{progress.total}"
    if kind in ("epoch", "progress"):
        unit = "epoch " if kind == "epoch" else ""
        of = f"/{progress.total}" if progress.total else ""
        left = f", {duration(progress.seconds_left)} left" if progress.seconds_left else ""
        said = numbers(progress) if kind == "epoch" else progress.note
        return f"{unit}{progress.done}{of}{', ' if said else ''}{said}{left}"
    if kind == "done":
        said = numbers(progress)
        return f"done{', ' if said else ''}{said}" if progress.ran_here else "done by another process"
    if kind == "failed":
        return f"failed: {progress.failure.message if progress.failure else 'in another process'}"
    if kind == "given back":
        return f"given back after epoch {progress.done}/{progress.total}; another worker resumes it"
    if kind == "again":
        return "its worker or machine failed; it is tried again from its last whole epoch"
    if kind == "elsewhere":
        return "left to another process"
    if kind == "returned":
        return "given back by its worker, to be taken by another"
    return f"{kind}: {progress.because}" if progress.because else kind


def numbers(progress: JobProgress) -> str:
    """Return `facts_of` a job as one text, or that no epoch is left to run."""
    return ", ".join(facts_of(progress)) or ("no epoch left to run" if progress.job.epochs else "")


def facts_of(progress: JobProgress) -> list[str]:
    """Return the last epoch's loss and monitored validation metric, and the test's where it is over."""
    name = progress.job.search_monitor
    value, tested = progress.metrics.get(name), progress.tested.get(name)
    parts = [] if progress.loss is None else [f"loss {progress.loss:.4g}"]
    parts += [] if value is None else [f"{name} {score(value)}"]
    return parts if tested is None else [*parts, f"tested {name} {score(tested)}"]


def score(value: float) -> str:
    """Return a metric's value, which is undefined where an image set holds nothing to score."""
    return "undefined" if math.isnan(value) else f"{value:.4f}"


def duration(seconds: float | None) -> str:
    """Return a time as 12 s, 3:05 min or 2:10:00 h."""
    if seconds is None:
        return "?"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d} h"


def _facts(kind: str, progress: JobProgress) -> dict[str, Any]:
    data: dict[str, Any] = {}
    if kind == "epoch":
        data |= {"epoch": progress.done - 1, "epochs": progress.total}
        data |= {"loss": progress.loss, "validation": dict(progress.metrics)}
    if kind == "resumed":
        data |= {"epochs_kept": progress.done, "epochs": progress.total}
    if kind == "anew":
        data["because"] = progress.note
    if kind == "progress":
        data |= {"done": progress.done, "total": progress.total, "note": progress.note}
    if kind == "done" and progress.tested:
        data["tested"] = dict(progress.tested)
    if kind == "failed" and progress.failure is not None:
        data["failure"] = progress.failure.to_json()
    if progress.because:
        data["because"] = progress.because
    return data
