"""What a run says while it goes on: plain lines for pipes, JSON lines for programs, and the end's summary."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Protocol

import click

from bench_core.store.result import finite

if TYPE_CHECKING:
    from bench_core.execute.board import Board, Progress
    from bench_core.execute.local import Happening

QUIET_SECONDS = 10.0
"""A job's epochs are told no more often than this in plain lines."""


class View(Protocol):
    """Watches a run."""

    def __enter__(self) -> View:
        """Begin."""

    def __exit__(self, *details: object) -> None:
        """End, also after an error."""

    def watch(self, board: Board, happening: Happening | None) -> None:
        """Hear of a change, or (None) that time has passed."""


class PlainView:
    """One line for each thing that happens."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}
        self._stopping = False

    def __enter__(self) -> PlainView:
        return self

    def __exit__(self, *details: object) -> None:
        pass

    def watch(self, board: Board, happening: Happening | None) -> None:
        """Print the change."""
        if board.stopping and not self._stopping:
            self._stopping = True
            click.echo("stopping; a second Ctrl-C kills the workers", err=True)
        if happening is None:
            return
        progress, kind = happening.progress, happening.kind
        digest = progress.job.digest
        if kind in ("epoch", "testing"):
            now = time.monotonic()
            if kind == "testing" or now - self._told.get(digest, 0.0) < QUIET_SECONDS:
                return
            self._told[digest] = now
        if kind == "started":
            self._told[digest] = time.monotonic()
        done = sum(count for status, count in board.counts().items() if status in ("done", "failed"))
        click.echo(f"[{done}/{len(board.progress)}] {progress.job.name}: {describe(happening)}")


class JsonView:
    """One JSON object a line."""

    def __enter__(self) -> JsonView:
        return self

    def __exit__(self, *details: object) -> None:
        pass

    def watch(self, board: Board, happening: Happening | None) -> None:
        """Print the change as JSON."""
        if happening is None:
            return
        progress = happening.progress
        data: dict[str, Any] = {
            "event": happening.kind,
            "job": progress.job.name,
            "digest": progress.job.digest,
        }
        if happening.kind == "epoch":
            data |= {"epoch": progress.epochs_done - 1, "epochs": progress.job.training.epochs}
            data |= {"loss": progress.loss, "validation": dict(progress.metrics)}
        if happening.kind == "failed" and progress.failure is not None:
            data["failure"] = progress.failure.to_json()
        if progress.because:
            data["because"] = progress.because
        click.echo(json.dumps(finite(data), sort_keys=True))


def describe(happening: Happening) -> str:
    """Return a change in words."""
    progress, kind = happening.progress, happening.kind
    if kind == "started":
        return f"started on {progress.device}"
    if kind == "epoch":
        left = f", {duration(progress.seconds_left)} left" if progress.seconds_left else ""
        return f"epoch {progress.epochs_done}/{progress.job.training.epochs}, {numbers(progress)}{left}"
    if kind == "done":
        return f"done, {numbers(progress)}" if progress.ran_here else "done by another process"
    if kind == "failed":
        return f"failed: {progress.failure.message if progress.failure else 'in another process'}"
    if kind == "elsewhere":
        return "left to another process"
    return f"{kind}: {progress.because}" if progress.because else kind


def numbers(progress: Progress) -> str:
    """Return the last epoch's loss and monitored validation metric."""
    name = progress.job.search_monitor
    value = progress.metrics.get(name)
    parts = [] if progress.loss is None else [f"loss {progress.loss:.4g}"]
    if value is not None:
        parts.append(f"{name} {value:.4f}")
    return ", ".join(parts) or "no epoch left to run"


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
