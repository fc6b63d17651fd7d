"""What a run shows while it works: the live view, plain lines, JSON lines."""

from __future__ import annotations

import io
import json
import math
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from bench_core.cli.live import view
from bench_core.cli.summary import summarize
from bench_core.cli.views import JsonView, PlainView, describe, duration
from bench_core.declarations import JobEvent
from bench_core.execute.happening import Happening
from bench_core.execute.progress import RunProgress
from bench_core.plan.expand import Plan
from bench_core.store.result import Failure
from tests.helpers.small_study import load


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """Three jobs of two epochs."""
    return load(tmp_path_factory.mktemp("spec"), epochs=2)[1]


def busy_board(plan: Plan) -> RunProgress:
    """A run with its first job done, the second at work, and the third failed."""
    board = RunProgress(plan.jobs, slots=2)
    first, second, third = plan.jobs
    board[first.digest].status = "done"
    board[second.digest].status, board[second.digest].device = "running", "cuda:1"
    for epoch in range(2):
        event = JobEvent(
            kind="epoch", digest=second.digest, epoch=epoch, epochs=2, loss=0.25, metrics={"miou": 0.75}
        )
        board[second.digest].advance(event, now=10.0 * epoch)
    board[third.digest].status = "failed"
    board[third.digest].failure = Failure(third.digest, third.name, "TrainingError", "loss is NaN")
    return board


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("width", [60, 120])
def test_the_live_view_shows_cells_and_jobs(plan: Plan, encoding: str, width: int) -> None:
    board = busy_board(plan)
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=file, width=width, height=30, force_terminal=True, color_system=None)
    console.print(view(board, console, "small"))
    file.flush()
    shown = file.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    assert ("●◐✗" if encoding == "utf-8" else "#>x") in shown
    assert "2/3 jobs" in shown and "dots-net" in shown and "2/2" in shown and "0.25" in shown
    assert "miou 0.750" in shown and "cuda:1" in shown
    assert max(len(line) for line in shown.splitlines()) <= width


def test_a_large_matrix_shows_the_rows_where_something_happens(plan: Plan) -> None:
    (job, *_) = plan.jobs
    jobs = [
        replace(job, digest=f"{number:032x}", model=replace(job.model, label=f"net-{number}"))
        for number in range(100)
    ]
    board = RunProgress(jobs)
    board[jobs[77].digest].status = "running"
    console = Console(file=io.StringIO(), width=80, height=24, force_terminal=True, color_system=None)
    console.print(view(board, console, "small"))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "net-77" in shown and "more" in shown and len(shown.splitlines()) <= 24


def test_plain_lines_and_json_lines(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    board = busy_board(plan)
    _, second, third = plan.jobs
    with PlainView() as plain:
        plain.watch(board, Happening("epoch", board[second.digest]))
        plain.watch(board, Happening("epoch", board[second.digest]))
        plain.watch(board, Happening("failed", board[third.digest]))
        plain.watch(board, None)
    epoch, failed = capsys.readouterr().out.splitlines()
    assert epoch == f"[2/3] {second.name}: epoch 2/2, loss 0.25, miou 0.7500"
    assert failed == f"[2/3] {third.name}: failed: loss is NaN"
    with JsonView() as as_json:
        as_json.watch(board, Happening("epoch", board[second.digest]))
        as_json.watch(board, Happening("failed", board[third.digest]))
    first, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["epoch"] == 1 and first["validation"] == {"miou": 0.75}
    assert last["failure"]["message"] == "loss is NaN"


def test_time_left_follows_the_pace_of_the_cell(plan: Plan) -> None:
    board = RunProgress(plan.jobs)
    assert board.seconds_left() is None
    first = plan.jobs[0]
    board[first.digest].status = "running"
    for epoch in range(2):
        event = JobEvent(kind="epoch", digest=first.digest, epoch=epoch, epochs=2)
        board[first.digest].advance(event, now=10.0 * epoch)
    assert board.seconds_left() == 10.0 * 2 * 2, "two jobs of two epochs are to do, ten seconds each"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.6, "1:00 min"), (185, "3:05 min"), (7800, "2:10:00 h"), (None, "?")],
)
def test_durations_are_short(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_a_narrow_screen_keeps_the_names_of_jobs(plan: Plan) -> None:
    progress = busy_board(plan)
    second = plan.jobs[1]
    console = Console(file=io.StringIO(), width=40, height=30, force_terminal=True, color_system=None)
    console.print(view(progress, console, "small"))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert second.name in shown and "2/2" in shown and "cuda:1" in shown
    assert max(len(line) for line in shown.splitlines()) <= 40


def test_a_fold_without_a_score_leaves_those_of_the_others(
    plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunProgress(plan.jobs)
    for progress, value in zip(run.jobs.values(), (math.nan, 0.5, 0.75), strict=True):
        progress.status = "done"
        progress.tested = {"mdsc": value, "miou": math.nan}
    summarize(run, Path("spec.yaml"), Path("results"), [], as_json=False)
    said = capsys.readouterr().out
    assert "dots-net on dots: mdsc 0.6250 (undefined in 1), miou undefined (mean of 3 jobs)" in said
    assert "nan" not in describe("done", replace(next(iter(run.jobs.values())), ran_here=True))


@pytest.mark.parametrize("width", [60, 120])
def test_more_jobs_at_work_elsewhere_than_lines_are_counted(plan: Plan, width: int) -> None:
    (job, *_) = plan.jobs
    board = RunProgress([replace(job, digest=f"{number:032x}") for number in range(300)], slots=300)
    board.workers = "Slurm job 1234: 300 worker(s) alive"
    for progress in board.jobs.values():
        progress.status, progress.device = "running", "node-7"
        progress.started = time.monotonic() - 120
    console = Console(file=io.StringIO(), width=width, height=24, force_terminal=True, color_system=None)
    console.print(view(board, console, "small"))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert len(shown.splitlines()) <= 24 and "Slurm job 1234: 300 worker(s) alive" in shown
    assert "node-7" in shown and "2:00 min" in shown and "more at work" in shown
