"""The live view of a run: overall progress, the matrix, and the jobs at work."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bench_core.cli.flow import fits, flow
from bench_core.cli.matrix import legend, matrix, rows_of
from bench_core.cli.views import Reasons, describe, duration, facts_of

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

    from bench_core.execute.happening import Happening
    from bench_core.execute.progress import JobProgress, RunProgress

_BAR = 16
"""Columns for the bar beside the headline's texts, gaps included."""
_FEW = 4
"""Jobs at work that are shown on the smallest screen."""
_SHARE = 0.1
"""Of its time that a run draws at most: a matrix of many thousand jobs is drawn seldom."""
_LINES_AROUND = 11
"""Lines of the view that are neither the matrix nor the jobs at work."""


class LiveView:
    """Redraws in place; failures stay above as lines."""

    def __init__(self, console: Console, title: str) -> None:
        from rich.live import Live

        self._console = console
        self._title = title
        self._live = Live(console=console, refresh_per_second=4, transient=True, auto_refresh=False)
        self._due = 0.0
        self._reasons = Reasons()

    def __enter__(self) -> LiveView:
        self._live.__enter__()
        return self

    def __exit__(self, *details: object) -> None:
        self._live.__exit__(None, None, None)

    def watch(self, run: RunProgress, happening: Happening | None) -> None:
        """Redraw, at most a few times a second."""
        if happening is not None:
            self._say(happening)
        begun = time.monotonic()
        if begun >= self._due:
            self._live.update(view(run, self._console, self._title), refresh=True)
            self._due = begun + max(0.2, (time.monotonic() - begun) / _SHARE)

    def _say(self, happening: Happening) -> None:
        """Print what stays above the picture: what failed, or can not run."""
        from rich.text import Text

        progress, kind = happening.progress, happening.kind
        if kind == "workers":
            return
        if progress is None:
            self._console.print(Text(f"a listener failed and is not told again: {happening.text}", "yellow"))
        elif kind in ("failed", "blocked"):
            said = self._reasons.once(progress) if kind == "failed" else describe(kind, progress)
            self._console.print(Text.assemble((progress.job.name, "red"), f" {said}"))


def view(run: RunProgress, console: Console, title: str) -> RenderableType:
    """Return the whole picture of a run."""
    from rich.console import Group
    from rich.text import Text

    running = run.with_status("running")
    statuses: Mapping[str, str] = {digest: item.status for digest, item in run.jobs.items()}
    rows = rows_of((item.job for item in run.jobs.values()), statuses)
    # Workers elsewhere can be more than a screen has lines.
    shown = running[: max(_FEW, (console.height - _LINES_AROUND) // 2)]
    elapsed = bool(run.workers)
    at_work = _jobs_table(shown, console, elapsed=elapsed)
    whole = fits(at_work, console)
    lines = len(shown) * (1 if whole else 2) + (len(running) > len(shown)) + elapsed
    room = max(3, console.height - _LINES_AROUND - lines)
    families = len({row.family for row in rows})
    enough = len(rows) + (families if families > 1 else 0) <= room
    parts: list[RenderableType] = [
        _headline(run, title, console),
        *([Text(run.workers, "dim", overflow="fold")] if run.workers else []),
        "",
        matrix(rows, console, None if enough else room),
        legend(rows, console),
    ]
    if running:
        parts += ["", at_work if whole else _jobs_lines(shown, console, elapsed=elapsed)]
    if len(running) > len(shown):
        parts.append(Text(f"and {len(running) - len(shown)} more at work", "dim"))
    # An empty last line: the terminal's own ^C would otherwise break the picture.
    return Group(*parts, "")


def _headline(run: RunProgress, title: str, console: Console) -> RenderableType:
    """Return title, progress, jobs and time in one line, or in several where the title is long."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    jobs, times = _jobs(run), _times(run)
    if len(title) + len(jobs) + len(times) + _BAR > console.width:
        return _narrow_headline(run, title, console)
    done, total = run.units()
    line = Table.grid(padding=(0, 2, 0, 0), expand=True)
    line.add_column(no_wrap=True)
    line.add_column(ratio=1)
    line.add_column(no_wrap=True)
    line.add_column(no_wrap=True)
    line.add_row(
        f"[bold]{title}[/bold]",
        ProgressBar(total=total or 1, completed=done, complete_style="green"),
        jobs,
        f"[{'yellow' if run.stopping else 'dim'}]{times}[/]",
    )
    return line


def _narrow_headline(run: RunProgress, title: str, console: Console) -> RenderableType:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    done, total = run.units()
    bar = Table.grid(expand=True)
    bar.add_row(ProgressBar(total=total or 1, completed=done, complete_style="green"))
    times = Text(_times(run), "yellow" if run.stopping else "dim")
    return Group(Text(title, "bold", overflow="fold"), bar, flow([_jobs(run), times], console.width))


def _jobs(run: RunProgress) -> str:
    counts = run.counts()
    finished = counts["done"] + counts["failed"] + counts["blocked"] + counts["waiting"]
    return f"{finished}/{len(run.jobs)} jobs"


def _times(run: RunProgress) -> str:
    if run.stopping:
        return "stopping, Ctrl-C again kills"
    left = run.seconds_left()
    times = duration(time.monotonic() - run.begun)
    return times if left is None else f"{times}, <= {duration(left)} left"


def _elapsed(progress: JobProgress) -> str:
    return duration(time.monotonic() - progress.started)


def _jobs_lines(running: list[JobProgress], console: Console, *, elapsed: bool) -> Text:
    """Return each job's name and, below it, its numbers: for screens on which one line does not hold both."""
    from rich.text import Text

    lines: list[Text] = []
    for progress in running:
        left = "" if progress.seconds_left is None else f"{duration(progress.seconds_left)} left"
        epoch = f"{progress.done}/{progress.total}" if progress.total else ""
        since = f"for {_elapsed(progress)}" if elapsed else ""
        facts = [
            progress.device,
            since,
            epoch,
            left,
            *([progress.note] if progress.note else facts_of(progress)),
        ]
        said = flow(filter(None, facts), console.width - 2, indent="  ")
        lines += [Text(progress.job.name, "bold"), Text("  ").append_text(said)]
    text = Text("\n").join(lines)
    text.overflow = "fold"
    return text


def _jobs_table(running: list[JobProgress], console: Console, *, elapsed: bool) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold", expand=True)
    longest = max((len(progress.job.name) for progress in running), default=0)
    table.add_column("at work", ratio=1, min_width=longest, no_wrap=True, overflow="crop")
    for name in ("on", *(["for"] if elapsed else []), "epoch", "loss"):
        table.add_column(name, justify="right", no_wrap=True, overflow="crop")
    table.add_column("validation", min_width=11, justify="right", no_wrap=True, overflow="crop")
    table.add_column("left", justify="right", no_wrap=True, overflow="crop")
    for progress in running:
        monitor = progress.job.search_monitor
        value = progress.metrics.get(monitor)
        table.add_row(
            progress.job.name,
            progress.device,
            *([_elapsed(progress)] if elapsed else []),
            f"{progress.done}/{progress.total}" if progress.total else "",
            "" if progress.loss is None else f"{progress.loss:.4g}",
            _italic(progress.note) if progress.note else "" if value is None else f"{monitor} {value:.3f}",
            "" if progress.seconds_left is None else duration(progress.seconds_left),
        )
    return table


def _italic(text: str) -> Text:
    from rich.text import Text

    return Text(text, style="italic dim")
