"""Unit and direction of a metric are obeyed by words, tables, marks, comparisons and charts."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bench_core.analysis.evidence import Evidence, Finished
from bench_core.analysis.pairs import contest, pair
from bench_core.analysis.quantities import quantity
from bench_core.analysis.quantity import Pooled, Quantity
from bench_core.analysis.scores import AVERAGE, Board, board
from bench_core.declarations import Metric
from bench_core.errors import UnknownNameError
from bench_core.metrics.counts import EmptyPolicy
from bench_core.metrics.scale import Scale
from bench_core.plan.job import Job
from bench_core.records import Counts
from bench_core.report import names
from bench_core.report.compose import Report, compose
from bench_core.report.delimited import to_csv
from bench_core.report.names import Footnotes
from bench_core.report.page import to_html
from bench_core.report.sections.summary import finding, study_table
from bench_core.report.tables import Table
from tests.helpers.fake_study import PLUGIN, Study, write_study
from tests.helpers.page import Page

ERROR = """
import numpy as np
from bench_core import Metric, hookimpl


def error(counts):
    wrong = counts[..., 1] + counts[..., 2]
    below = 2 * counts[..., 0] + wrong
    return np.where(below > 0, wrong / np.maximum(below, 1), np.nan)


@hookimpl
def bench_metrics():
    return [Metric(name="merror", title="mError", version=1, needs="counts", compute=error, better="lower",
                   definition="1 - Dice.", empty="1 where one has it, undefined where neither has it")]
"""


def report_of(study: Study) -> Report:
    return compose(study.evidence(), study.loaded.registry)


def table(report: Report, name: str) -> Table:
    return next(item for item in report.tables if item.name == name)


def rows(found: Table) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(found))))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    more = (
        "analyses:\n  - {name: summary, options: {metric: merror}}\n"
        "  - {name: folds, options: {metric: merror}}\n  - {name: per-class, options: {metric: merror}}\n"
    )
    return write_study(tmp_path_factory.mktemp("study"), plugin=ERROR + PLUGIN, more=more)


@pytest.fixture(scope="module")
def report(study: Study) -> Report:
    return report_of(study)


def test_an_error_rate_ranks_as_dice_does(study: Study) -> None:
    evidence = study.evidence()
    down, up = (board(evidence, quantity(evidence, name)) for name in ("merror", "mdsc"))
    for column in (*down.shared, AVERAGE):
        assert down.best(column) == up.best(column)
        assert down.best(column, "GP-VM") == up.best(column, "GP-VM")
    assert names.ordered(evidence, down) == names.ordered(evidence, up)
    duels = contest(evidence, down), contest(evidence, up)
    assert duels[0] is not None and duels[1] is not None
    assert [duel.leader for duel in duels] == [duels[1].leader] * 2  # type: ignore[union-attr]
    assert (duels[0].won, duels[0].lost, duels[0].steady) == (duels[1].won, duels[1].lost, duels[1].steady)
    assert duels[0].gap == pytest.approx(duels[1].gap) and duels[0].gap > 0
    for data in down.shared:
        one, other = (pair(scores, "ring", "broad", data) for scores in (down, up))
        assert one is not None and other is not None
        assert (one.better, one.worse) == (other.better, other.worse)
        assert one.mean == pytest.approx(-other.mean)


def test_words_and_captions_name_the_direction(report: Report) -> None:
    text = Page(to_html(report)).text
    assert re.search(r"has the lowest average micro mError over .*: \d+\.\d %, \d\.\d points below ", text)
    assert table(report, "study-merror").title.startswith("micro mError in percent, lower is better, mean ±")
    assert table(report, "study-mdsc").title.startswith("micro mDSC in percent, mean ±")
    assert "in percent, lower is better" in table(report, "classes-hearts-merror").title
    assert "micro mError (%, lower is better)" in text
    assert "right of the line" in text and "a negative difference is a gain" in text


def test_the_lowest_value_is_starred_in_every_table(report: Report) -> None:
    for name in ("study-merror", "classes-hearts-merror"):
        found = table(report, name)
        for index, column in enumerate(found.columns):
            if "mean" in column.fields and column.key != "overall":
                printed = [float(row.cells[index].text) for row in found.rows]
                starred = ["best" in row.cells[index].marks for row in found.rows]
                assert starred == [value == min(printed) for value in printed], (name, column.key)


def test_views_put_macro_and_per_image_means_beside_micro(study: Study, report: Report) -> None:
    found = {(row["model"], row["dataset"]): row for row in rows(table(report, "views-mdsc"))}
    assert len(found) == 9
    for (model, dataset), row in found.items():
        jobs = [
            job
            for job in study.plan.jobs
            if (job.stage, job.model.label, job.dataset.label) == ("evaluate", model, dataset)
        ]
        counts = [study.store.counts(job.digest).values for job in jobs]
        dice = [2 * c[..., 0] / np.maximum(2 * c[..., 0] + c[..., 1] + c[..., 2], 1) for c in counts]
        absent = [(c == 0).all(axis=-1) for c in counts]
        per_image = np.concatenate(
            [np.ma.array(d, mask=a).mean(axis=1).filled(np.nan) for d, a in zip(dice, absent, strict=True)]
        )
        pooled = [c.sum(axis=0) for c in counts]
        macro = [(2 * c[:, 0] / (2 * c[:, 0] + c[:, 1] + c[:, 2])).mean() for c in pooled]
        assert float(row["macro_mean"]) == pytest.approx(np.mean(macro))
        assert float(row["macro_std"]) == pytest.approx(np.std(macro, ddof=1))
        assert float(row["image_mean"]) == pytest.approx(np.nanmean(per_image))
        assert float(row["image_std"]) == pytest.approx(np.nanstd(per_image, ddof=1))
        assert (row["image_images"], row["image_undefined"]) == ("200", str(np.isnan(per_image).sum()))
        kept = [study.store.counts(job.digest) for job in jobs]
        per_group = []
        for fold in kept:
            for group in dict.fromkeys(fold.groups):
                c = fold.values[[name == group for name in fold.groups]].sum(axis=0)
                seen = c.any(axis=-1)
                per_group.append((2 * c[seen, 0] / (2 * c[seen, 0] + c[seen, 1] + c[seen, 2])).mean())
        assert float(row["group_mean"]) == pytest.approx(np.mean(per_group))
        assert row["group_groups"] == str(len(per_group)) == str(sum(len(set(fold.groups)) for fold in kept))
    assert {row["micro_unit"] for row in found.values()} == {"fraction"}


def test_the_empty_policy_changes_per_image_means_and_nothing_else(tmp_path: Path) -> None:
    def per_image(policy: str) -> tuple[list[str], list[str]]:
        more = f"analyses: [{{name: summary, options: {{empty: {policy}}}}}]\n"
        found = table(report_of(write_study(tmp_path / policy, evaluated, more=more)), "views-mdsc")
        read = [row for row in rows(found) if row["dataset"] == "polyps"]
        return [row["image_mean"] for row in read], [row["macro_mean"] for row in read]

    seen = {policy: per_image(policy) for policy in ("ignore", "one", "zero")}
    assert len({tuple(macro) for _, macro in seen.values()}) == 1
    for low, middle, high in zip(*(seen[policy][0] for policy in ("zero", "ignore", "one")), strict=True):
        assert float(low) < float(middle) < float(high)


@dataclass(frozen=True, kw_only=True)
class Distance(Quantity):
    """A length that follows from the counts, in mm on one dataset and in pixels on the others."""

    millimeters: frozenset[str]

    @property
    def caption(self) -> str:
        return "A length."

    def scale(self, dataset: str) -> Scale:
        return Scale("mm" if dataset in self.millimeters else "px", self.metric.better)

    def of_fold(self, fold: Finished) -> float:
        wrong = fold.counts.values[..., 1:].sum()
        return float(wrong / len(fold.counts.ids))

    def of_classes(self, fold: Finished) -> Mapping[str, float]:
        return {name: self.of_fold(fold) for name in fold.counts.classes}

    def of_structures(self, fold: Finished) -> np.ndarray:
        return np.full(fold.counts.values.shape[:2], self.of_fold(fold))

    def of_images(self, fold: Finished, empty: EmptyPolicy = "ignore") -> np.ndarray:
        return np.full(len(fold.counts.ids), self.of_fold(fold))


def distances(evidence: Evidence, *millimeters: str) -> Board:
    metric = evidence.metrics["hd95"]
    return board(evidence, Distance(metric=metric, name="hd95", millimeters=frozenset(millimeters)))


def test_units_are_never_mixed(study: Study) -> None:
    evidence = study.evidence()
    mixed = distances(evidence, "hearts")
    assert mixed.averaged == () and not any(AVERAGE in row.ranked for row in mixed.rows)
    assert contest(evidence, mixed) is None
    assert finding(evidence, mixed).startswith("HD95 has different units on the datasets")
    shown = study_table(evidence, mixed, names.ordered(evidence, mixed), Footnotes(evidence))
    assert [column.title for column in shown.columns[2:6]] == [
        "Moles'26 (px)",
        "Polyps & more (px)",
        "Hearts (mm)",
        "Average",
    ]
    assert "HD95 in the unit of each column, lower is better" in shown.title
    assert "No average: the datasets' numbers have different units." in shown.caption
    assert [cell.text for cell in (row.cells[5] for row in shown.rows)] == ["–"] * 3
    assert {row[f"{data}_unit"] for row in rows(shown) for data in ("moles", "polyps")} == {"px"}
    assert {row["hearts_unit"] for row in rows(shown)} == {"mm"}
    assert mixed.best("hearts") and mixed.best("moles")


def test_lengths_of_one_unit_are_averaged_and_named(study: Study) -> None:
    evidence = study.evidence()
    text = finding(evidence, distances(evidence, "moles", "polyps", "hearts"))
    assert re.search(r"has the lowest average HD95 over .*: \d+\.\d\d mm, \d+\.\d\d mm below ", text)


def evaluated(job: Job) -> bool:
    return job.stage == "evaluate"


def flat(hits: Callable[[Job], int]) -> Callable[[Job], Counts]:
    """One image whose Dice is hits / 100; -1 for no foreground at all."""

    def counts(job: Job) -> Counts:
        found = hits(job)
        row = [0, 0, 0] if found < 0 else [found, 100 - found, 100 - found]
        classes = job.dataset.task.classes
        return Counts(("one",), ("one",), classes, np.array([[row] * len(classes)], dtype=np.int64))

    return counts


def test_nothing_found_is_no_lead(tmp_path: Path) -> None:
    page = Page(to_html(report_of(write_study(tmp_path, evaluated, counts_of=flat(lambda job: 0)))))
    assert "No model is ahead: no average micro mDSC over" in page.text
    for name in ("study-mdsc", "classes-hearts-mdsc"):
        assert not any("★" in cell for row in page.tables[name] for cell in row)


def test_undefined_scores_are_called_so(tmp_path: Path) -> None:
    everywhere = report_of(write_study(tmp_path / "all", evaluated, counts_of=flat(lambda job: -1)))
    text = Page(to_html(everywhere)).text
    assert "micro mDSC is undefined in every finished fold" in text
    assert "no fold is finished" not in text
    cells = {row.cells[2].text for row in table(everywhere, "study-mdsc").rows}
    assert cells == {"undefined"}

    def one_fold(job: Job) -> int:
        return -1 if (job.model.label, job.fold.index) == ("wide", 2) else 90

    partly = report_of(write_study(tmp_path / "part", evaluated, counts_of=flat(one_fold)))
    found = table(partly, "study-mdsc")
    assert "WideNeXt (4 of 5 folds, undefined in 1)" in found.caption
    wide = next(row for row in found.rows if row.cells[0].text == "WideNeXt")
    assert wide.cells[2].small == "± 0.0 (4/5, 1 undefined)"


def test_an_unknown_metric_gets_the_nearest_name(study: Study) -> None:
    with pytest.raises(UnknownNameError) as caught:
        quantity(study.evidence(), "mdcs")
    assert caught.value.fix == "did you mean 'mdsc'?"
    assert isinstance(quantity(study.evidence(), "mdsc"), Pooled)
    assert isinstance(study.evidence().metrics["merror"], Metric)
