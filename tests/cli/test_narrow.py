"""Narrow terminals: no line is wider than the screen, and nothing is cut off or left out."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest

from bench_core.cli import plan_view
from bench_core.cli.live import view
from bench_core.cli.matrix import legend, matrix, rows_of
from bench_core.cli.screen import SafeConsole
from bench_core.execute.progress import RunProgress
from bench_core.plan.expand import Plan, make_plan
from bench_core.spec.model import Spec
from tests.helpers.plans import architecture, dataset, registry, small_protocol

MODELS = ("swin-umamba", "a-network-of-quite-a-long-name", "u-net")
DATASETS = ("dermoscopy", "neopolyp", "ultrasound")
WIDTHS = (30, 40, 60, 80)


def plan(**changes: Any) -> Plan:
    table = registry([architecture(name) for name in MODELS], [dataset(name) for name in DATASETS])
    data: dict[str, Any] = {
        "version": 1,
        "name": "a-study-of-many-models-and-three-datasets",
        "models": [{"name": name} for name in MODELS],
        "datasets": [{"name": name} for name in DATASETS],
        "protocol": small_protocol(),
        "exclude": [{"model": "u-net", "dataset": "neopolyp", "because": "too slow for its many images"}],
    }
    return make_plan(Spec.model_validate(data | changes), table)


def at_work(planned: Plan) -> RunProgress:
    run = RunProgress(planned.jobs, slots=2)
    for number, progress in enumerate(run.jobs.values()):
        if number in (3, 4):
            progress.status = "running"
            progress.device, progress.done, progress.total = "cuda:0", 3, 100
            progress.loss, progress.metrics = 0.51234, {"miou": 0.4567}
        elif number % 7 == 0:
            progress.status = "failed" if number == 7 else "done"
    return run


def drawn(width: int, *parts: Any) -> list[str]:
    screen = SafeConsole(file=io.StringIO(), width=width, height=50, force_terminal=True, color_system=None)
    for part in parts:
        screen.print(part(screen))
    assert isinstance(screen.file, io.StringIO)
    return [re.sub(r"\x1b\[[0-9;?]*[a-z]", "", line) for line in screen.file.getvalue().splitlines()]


def words(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())


def fits(lines: list[str], width: int) -> None:
    assert [line for line in lines if len(line) > width] == []


@pytest.mark.parametrize("width", WIDTHS)
def test_the_live_view(width: int) -> None:
    planned = plan()
    run = at_work(planned)
    lines = drawn(width, lambda screen: view(run, screen, planned.name))
    fits(lines, width)
    text = words(lines)
    counted = f"{sum(run.counts()[status] for status in ('done', 'failed'))}/{len(planned.jobs)} jobs"
    assert counted in text
    for label in MODELS:
        assert label in "".join(text.split())
    for progress in run.with_status("running"):
        assert progress.job.name in "".join(text.split())
    assert text.count("3/100") == 2 and text.count("0.5123") == 2
    assert not re.search(r"0\.\d{1,2}( |$)", text), "a number is cut"
    run.stopping = True
    lines = drawn(width, lambda screen: view(run, screen, planned.name))
    fits(lines, width)
    assert "stopping, Ctrl-C again kills" in words(lines)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_matrix_counts_what_it_cannot_draw(width: int) -> None:
    planned = plan()
    statuses = {job.digest: "done" if index % 3 else "todo" for index, job in enumerate(planned.jobs)}
    rows = rows_of(planned.jobs, statuses)
    lines = drawn(width, lambda screen: matrix(rows, screen), lambda screen: legend(rows, screen))
    fits(lines, width)
    text = words(lines)
    assert "● done" in text and "○ to do" in text
    if width < 80:
        mine = [statuses[job.digest] for job in planned.jobs if job.model.label == "u-net"]
        assert f"u-net ● {mine.count('done')} ○ {mine.count('todo')}" in text
        assert sum(line.strip() == "" for line in lines) <= 1
    else:
        assert all(name in text for name in DATASETS)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_plan(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = plan()
    screens: list[SafeConsole] = []

    def screen() -> SafeConsole:
        screens.append(SafeConsole(file=io.StringIO(), width=width, force_terminal=True, color_system=None))
        return screens[-1]

    monkeypatch.setattr(plan_view, "console", screen)
    plan_view.print_plan(planned, None)
    lines = screens[0].file.getvalue().splitlines()  # type: ignore[attr-defined]
    fits(lines, width)
    text = words(lines)
    assert f"{len(planned.jobs)} jobs, at most" in text
    assert "too slow for its many images" in text
    for label in (*MODELS, *DATASETS):
        assert label in "".join(text.split())
    for count in re.findall(r"neopolyp (\S+)", text):
        assert re.match(r"8|excluded|on|is", count) or width >= 60


def test_a_pipe_gets_lines_in_one_piece(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    out = SafeConsole(file=io.StringIO(), width=30, force_terminal=False)
    monkeypatch.setattr(plan_view, "console", lambda: out)
    plan_view.print_plan(plan(), None)
    assert isinstance(out.file, io.StringIO)
    assert "  u-net on neopolyp: too slow for its many images\n" in out.file.getvalue()
