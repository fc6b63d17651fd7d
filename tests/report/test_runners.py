"""One network under two runners: visible in the tables, and a difference of exactly zero reads as one."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bench_core.analysis.twins import twins
from bench_core.plan.job import Job
from bench_core.records import Counts
from bench_core.report.compose import Report, compose
from bench_core.report.delimited import to_csv
from bench_core.report.dotplot import DotRow, dot_plot
from bench_core.report.latex.render import to_latex
from bench_core.report.markdown import to_markdown
from bench_core.report.page import to_html
from bench_core.report.tables import Table
from bench_core.store.result import Result
from tests.helpers.fake_study import Study, fake_counts, fake_result, write_study
from tests.helpers.page import Page

MODELS = "[broad, {name: broad, label: broad-mmseg, runner: mmseg}, ring]"
Change = Callable[[Job, Result], Result]


def as_torch(job: Job) -> Job:
    """Return the job with a digest that does not depend on the runner."""
    cell = (job.stage, job.model.name, job.dataset.name, job.fold.index, job.learning_rate)
    return replace(job, digest=repr(cell))


def counts_of(job: Job) -> Counts:
    return fake_counts(as_torch(job))


def result_of(job: Job, result: Result) -> Result:
    return replace(fake_result(as_torch(job), counts_of(job)), digest=job.digest)


def study_of(folder: Path, change: Change = result_of, counts: Callable[[Job], Counts] = counts_of) -> Study:
    return write_study(folder, models=MODELS, change=change, counts_of=counts)


def report_of(study: Study) -> Report:
    return compose(study.evidence(), study.loaded.registry)


def table(report: Report, name: str) -> Table:
    return next(item for item in report.tables if item.name == name)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return study_of(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def report(study: Study) -> Report:
    return report_of(study)


def test_twins_differ_in_the_runner_alone(study: Study) -> None:
    (found,) = twins(study.evidence())
    assert (found.model, found.reference) == ("broad-mmseg", "broad")
    assert (found.runner, found.reference_runner) == ("mmseg", "torch")
    assert (found.folds, found.same) == (15, 15)


def test_other_options_are_another_network(tmp_path: Path) -> None:
    models = "[broad, {name: broad, label: other, runner: mmseg, pretrained: none, because: tried}]"
    study = write_study(tmp_path, models=models, keep=lambda job: job.fold.index == 0)
    assert twins(study.evidence()) == ()


def test_the_runner_is_a_column_of_the_study(report: Report) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(table(report, "study-mdsc")))))
    assert {row["model"]: row["runner"] for row in rows} == {
        "broad": "torch",
        "broad-mmseg": "mmseg",
        "ring": "torch",
    }


def test_one_runner_needs_no_column(tmp_path: Path) -> None:
    study = write_study(tmp_path, models="[broad, ring]", keep=lambda job: job.fold.index == 0)
    names = {column.key for column in table(report_of(study), "study-mdsc").columns}
    assert "runner" not in names
    assert not any(item.name.startswith("runners") for item in report_of(study).tables)


@pytest.mark.parametrize("form", [to_markdown, to_latex])
def test_a_zero_reads_as_zero(report: Report, form: Callable[[Table], str]) -> None:
    for name in ("runners-mdsc", "differences-mdsc"):
        text = form(table(report, name))
        # LaTeX aligns what is in small print as a column of its own.
        text = text.replace("0 & (equal)", "0 (equal)")
        line = next(line for line in text.splitlines() if "0 (equal)" in line)
        assert line.count("0 (equal)") == 3 and "0.0" not in line, line
        assert "(equal): not one fold differs at all." in text
    assert "15 of 15" in form(table(report, "runners-mdsc"))


def test_a_dot_plot_tells_zero_from_what_rounds_to_it() -> None:
    rows = [DotRow("same", 0, ((0, 0.0), (1, 0.0))), DotRow("near", 1, ((0, 0.01), (1, -0.01)))]
    shown = re.findall(r'class="value"[^>]*>([^<]+)<', dot_plot("t", "points", rows, zero=True))
    assert shown == ["0", "+0.0"]


def test_programs_read_full_precision(report: Report) -> None:
    (row,) = csv.DictReader(io.StringIO(to_csv(table(report, "runners-mdsc"))))
    assert (row["moles_mean"], row["moles_better"], row["moles_worse"], row["moles_folds"]) == (
        "0.0",
        "0",
        "0",
        "5",
    )
    assert (row["same_folds"], row["same_of"]) == ("15", "15")


def test_the_finding_says_that_the_framework_changes_nothing(report: Report) -> None:
    text = Page(to_html(report)).text
    assert (
        "The framework changes nothing: in each of 15 paired folds, both runners give the same losses, "
        "validation metrics and pixel counts to the last digit (BroadFormer and broad-mmseg)." in text
    )
    assert "runner mmseg (24 jobs); torch (48 jobs)" in text


def test_a_leader_that_only_ties_is_said_to(tmp_path: Path) -> None:
    models = "[broad, {name: broad, label: broad-mmseg, runner: mmseg}]"
    study = write_study(tmp_path, models=models, change=result_of, counts_of=counts_of)
    assert "not one of 15 paired folds differs." in Page(to_html(report_of(study))).text


def test_a_framework_that_changes_numbers_is_named(tmp_path: Path) -> None:
    def counts(job: Job) -> Counts:
        found = counts_of(job)
        if (job.model.runner, job.dataset.name, job.fold.index) == ("mmseg", "moles", 2):
            found.values[0, 0] += (0, 1, 0)
        return found

    def change(job: Job, result: Result) -> Result:
        found = result_of(job, result)
        if (job.model.runner, job.dataset.name, job.fold.index) == ("mmseg", "hearts", 1):
            first, *others = found.training.history
            history = (replace(first, loss=first.loss * (1 + 1e-15)), *others)
            found = replace(found, training=replace(found.training, history=history))
        return found

    report = report_of(study_of(tmp_path, change, counts))
    text = Page(to_html(report)).text
    assert "The framework changes numbers: broad-mmseg differs from BroadFormer in 2 of 15 folds" in text
    row = next(csv.DictReader(io.StringIO(to_csv(table(report, "runners-mdsc")))))
    assert row["same_folds"] == "13"
    assert float(row["moles_mean"]) < 0 and row["hearts_mean"] == "0.0"
