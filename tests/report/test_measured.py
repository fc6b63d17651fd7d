"""What steps measured, in the report: equal to a recount, in its unit, and never mixed or taken for done."""

from __future__ import annotations

import csv
import io
import math
import shutil
from copy import copy
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pytest

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.gather import gather
from bench_core.analysis.measured import StepTables
from bench_core.analysis.quantities import quantities, quantity
from bench_core.analysis.quantity import Measured
from bench_core.analysis.scores import AVERAGE, board
from bench_core.analysis.subgroups import known_levels, subgroups
from bench_core.errors import StoreError, UnknownNameError
from bench_core.metrics.tables import ImageScores
from bench_core.options import complete_options
from bench_core.plan.expand import make_plan
from bench_core.plan.job import Apply, Job
from bench_core.report.blocks import Callout, tables_of
from bench_core.report.compose import Report, compose
from bench_core.report.delimited import to_csv
from bench_core.report.page import to_html
from bench_core.report.sections import comparisons
from bench_core.report.sections.subgroups import section
from bench_core.report.tables import Table
from bench_core.spec.load import load_spec
from bench_core.store.store import Store
from tests.helpers.page import Page
from tests.helpers.step_study import run_all, write_boxes

STEPS = "[{name: measure, options: {metrics: [hd95, nsd], tolerance: 1}}, native]"
TWO = "[{name: boxes, label: known, options: {spacing: all}}, {name: boxes, label: unknown}]"
MODELS = "[box-net, box-net-b]"


class Done:
    """A study of two models and two datasets, of which one knows its spacing, with all steps run."""

    def __init__(self, path: Path, store: Store) -> None:
        self.path, self.store = path, store
        self.registry, self.jobs = run_all(self.path, self.store)

    def copied(self, folder: Path) -> Done:
        """Return the same study with results of its own, to be changed."""
        found = copy(self)
        shutil.copytree(self.store.path, folder / "results", ignore=shutil.ignore_patterns("cache"))
        found.store = Store(folder / "results")
        return found

    def evidence(self) -> Evidence:
        loaded = load_spec(self.path)
        return gather(loaded.spec, make_plan(loaded.spec, loaded.registry), loaded.registry, self.store)

    def report(self) -> Report:
        return compose(self.evidence(), self.registry)

    def steps(self, name: str) -> list[Job]:
        return [job for job in self.jobs if isinstance(job.work, Apply) and job.work.step == name]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    more = (
        "analyses:\n  - {name: summary, options: {metric: hd95}}\n  - {name: folds, options: {metric: nsd}}\n"
        "  - {name: per-class, options: {metric: hd95}}\n"
    )
    folder = tmp_path_factory.mktemp("done")
    path = write_boxes(folder / "spec", STEPS, datasets=TWO, models=MODELS, more=more)
    return Done(path, Store(folder / "results", create=True))


@pytest.fixture(scope="module")
def report(done: Done) -> Report:
    return done.report()


def options_of(done: Done, given: dict[str, object] | None = None) -> dict[str, object]:
    return complete_options(done.registry.analysis("subgroups").options, given or {})


def table(report: Report, name: str) -> Table:
    return next(item for item in report.tables if item.name == name)


def rows(found: Table) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(found))))


def fold_means(done: Done, metric: str, model: str, dataset: str, label: str | None = None) -> list[float]:
    """The mean over images of the mean over classes (or of one class), by fold, with plain loops."""
    found = []
    for job in done.steps("measure"):
        if job.cell == (model, dataset):
            images: dict[str, list[float]] = {}
            for row in done.store.records(job.digest, "scores"):
                if row["metric"] == metric and label in (None, row["class"]):
                    images.setdefault(row["image"], []).append(float(row["score"]))
            each = [[score for score in scores if not math.isnan(score)] for scores in images.values()]
            found.append(mean(mean(scores) for scores in each if scores))
    return found


def test_the_studys_tables_equal_a_recount(done: Done, report: Report) -> None:
    for name in ("hd95", "nsd"):
        for row in rows(table(report, f"study-{name}")):
            for dataset in ("known", "unknown"):
                expected = fold_means(done, name, row["model"], dataset)
                assert float(row[f"{dataset}_mean"]) == pytest.approx(mean(expected))
                assert float(row[f"{dataset}_std"]) == pytest.approx(stdev(expected))
    for dataset in ("known", "unknown"):
        for row in rows(table(report, f"classes-{dataset}-hd95")):
            for label in ("dark", "bright"):
                expected = fold_means(done, "hd95", row["model"], dataset, label)
                assert float(row[f"class_{label}_mean"]) == pytest.approx(mean(expected))


def test_mm_and_px_stand_apart(report: Report) -> None:
    found = table(report, "study-hd95")
    assert found.title.startswith("HD95 in the unit of each column, lower is better")
    assert [column.title for column in found.columns[2:4]] == ["known (mm)", "unknown (px)"]
    for row in rows(found):
        assert (row["known_unit"], row["unknown_unit"], row["average"]) == ("mm", "px", "")
    assert table(report, "study-nsd").title.startswith("NSD (tolerance 1) in percent, mean ±")
    assert "The tolerance is in mm on known; px on unknown." in table(report, "study-nsd").caption
    assert all(row["average"] for row in rows(table(report, "study-nsd")))
    assert {(row["dataset"], row["hd95_unit"]) for row in rows(table(report, "folds"))} == {
        ("known", "mm"),
        ("unknown", "px"),
    }
    text = Page(to_html(report)).text
    assert "HD95 has different units on the datasets, so it has no average, and none is ahead." in text


def test_counts_at_original_size_are_a_second_set(done: Done, report: Report) -> None:
    for row in rows(table(report, "study-mdsc-native")):
        found = []
        for job in done.steps("native"):
            if job.cell == (row["model"], "known"):
                sums = np.zeros(3)
                for line in done.store.records(job.digest, "native-counts"):
                    sums += [int(line[key]) for key in ("tp", "fp", "fn")]
                found.append(2 * sums[0] / (2 * sums[0] + sums[1] + sums[2]))
        assert float(row["known_mean"]) == pytest.approx(mean(found))
    assert "micro mDSC, original size" in table(report, "study-mdsc-native").title
    assert table(report, "study-mdsc-native").title != table(report, "study-mdsc").title
    assert "original size" in table(report, "views-mdsc-native").title


def test_the_lower_distance_leads(done: Done) -> None:
    evidence = done.evidence()
    scores = board(evidence, quantity(evidence, "hd95"))
    for dataset in ("known", "unknown"):
        values = {row.model: round(row.ranked[dataset], 2) for row in scores.rows}
        assert scores.best(dataset) == {
            name for name, value in values.items() if value == min(values.values())
        }
    assert not any(AVERAGE in row.ranked for row in scores.rows)


def test_what_is_not_measured_yet_is_not_called_undefined(done: Done) -> None:
    evidence = done.evidence()
    cells = {
        key: replace(cell, steps={} if key[0] == "box-net" else cell.steps)
        for key, cell in evidence.cells.items()
    }
    partly = replace(evidence, cells=cells)
    scores = board(partly, quantity(partly, "hd95"))
    assert scores.waiting == ("box-net",)
    assert scores.row("box-net").undefined == frozenset()
    captions = [item.caption for item in compose(partly, done.registry).tables if item.name == "study-hd95"]
    assert "Not ranked, for no fold is measured: box-net." in captions[0]


def test_a_job_in_another_unit_is_never_mixed_in(done: Done) -> None:
    evidence = done.evidence()
    cell = evidence.cell("box-net", "known")
    first, *others = cell.steps["measure"]
    scores = {
        name: ImageScores("px" if name == "hd95" else item.unit, item.values)
        for name, item in first.tables.scores.items()
    }
    changed = replace(first, tables=StepTables(scores=scores))
    cells = {**evidence.cells, ("box-net", "known"): replace(cell, steps={"measure": (changed, *others)})}
    mixed = replace(evidence, cells=cells)
    found = board(mixed, quantity(mixed, "hd95")).row("box-net").scores["known"]
    assert len(found.folds) == 2 and found.scale.unit == "mm"


def test_a_damaged_table_is_a_gap_and_no_number(done: Done, tmp_path: Path) -> None:
    found = done.copied(tmp_path)
    job = found.steps("measure")[0]
    path = found.store.folder(job.digest) / "records" / "scores.csv"
    path.write_text(path.read_text().replace("hd95,mm", "hd95,inch", 1))
    evidence = found.evidence()
    (gap,) = evidence.gaps
    assert (gap.job.digest, gap.state) == (job.digest, "unreadable")
    assert len(board(evidence, quantity(evidence, "hd95")).row("box-net").scores["known"].folds) == 2
    spec = evidence.spec.model_copy(update={"analyses": None})
    compose(replace(evidence, spec=spec), found.registry)


def test_two_measure_steps_have_names_of_their_own(tmp_path: Path) -> None:
    steps = "[measure, {name: measure, label: strict, options: {metrics: [nsd], tolerance: 0.5}}]"
    loaded = load_spec(write_boxes(tmp_path, steps))
    plan = make_plan(loaded.spec, loaded.registry)
    evidence = gather(loaded.spec, plan, loaded.registry, None)
    found = [item for item in quantities(evidence).values() if isinstance(item, Measured)]
    assert [(item.name, item.title) for item in found] == [
        ("hd95", "HD95"),
        ("nsd", "NSD (tolerance 2)"),
        ("nsd-strict", "NSD (tolerance 0.5)"),
    ]


def test_a_metric_that_no_step_measures_says_how_to_have_it(tmp_path: Path) -> None:
    loaded = load_spec(write_boxes(tmp_path, "[]"))
    evidence = gather(loaded.spec, make_plan(loaded.spec, loaded.registry), loaded.registry, None)
    with pytest.raises(UnknownNameError) as caught:
        quantity(evidence, "assd")
    assert "{metrics: [assd]}" in str(caught.value.fix)


def test_subgroups_equal_a_recount(done: Done) -> None:
    evidence = done.evidence()
    for cell in evidence.cells.values():
        metric = quantity(evidence, "mdsc")
        scores: dict[str, list[float]] = {}
        images: dict[str, int] = {}
        for fold in cell.folds:
            for sample, score in zip(fold.counts.ids, metric.of_images(fold), strict=True):
                number = int(sample[3:])
                value = "not known" if number == 0 else "new" if number % 3 else "old"
                images[value] = images.get(value, 0) + 1
                if not math.isnan(score):
                    scores.setdefault(value, []).append(float(score))
        levels = known_levels(evidence, cell.dataset, 2)
        (mine,) = subgroups({cell.model: cell}, metric, list(levels.values())).values()
        found = mine["device"]
        assert [group.value for group in found] == ["new", "old", "not known"]
        assert {group.value: group.images for group in found} == images
        assert (
            images == {group.value: group.groups for group in found} == {"new": 8, "old": 3, "not known": 1}
        )
        # Each image is a group of its own, and only eight have a score.
        assert all(group.interval is None for group in found)
        assert {group.value: sorted(group.scores) for group in found if group.scores} == {
            value: sorted(each) for value, each in scores.items()
        }
        ages = mine["age"]
        assert [group.value for group in ages] == ["21 to below 26", "26 to 31", "not known"]
        assert [group.images for group in ages] == [5, 6, 1]


def test_the_table_of_subgroups_says_how_many_images(done: Done) -> None:
    evidence = done.evidence()
    part = section(evidence, options_of(done, {"metric": "hd95", "attributes": ["device"]}))
    found = [block for block in part.blocks if isinstance(block, Table)]
    assert [item.title for item in found] == [
        "known: per-image HD95 by device, in mm, lower is better",
        "unknown: per-image HD95 by device, in px, lower is better",
    ]
    for item in found:
        for row in rows(item):
            assert [row[f"group{place}_value"] for place in range(3)] == ["new", "old", "not known"]
            assert [row[f"group{place}_images"] for place in range(3)] == ["8", "3", "1"]
        assert all("n = 8, g = 8" in row.cells[1].small for row in item.rows)


@pytest.mark.parametrize(
    "text", [*(pytest.param(text, marks=pytest.mark.slow) for text in ("", "{}")), "[1, 2]"]
)
def test_samples_that_are_damaged_make_no_subgroup_and_no_failure(
    done: Done, tmp_path: Path, text: str
) -> None:
    found = done.copied(tmp_path)
    for path in found.store.datasets.iterdir():
        path.write_text(text)
        with pytest.raises(StoreError):
            found.store.samples(path.stem)
    part = section(found.evidence(), options_of(found))
    assert not tables_of(part.blocks)
    assert any(isinstance(block, Callout) and "bench data check" in block.code for block in part.blocks)


def test_lengths_are_compared_as_means_of_images_in_their_unit(done: Done) -> None:
    evidence = done.evidence()
    options = complete_options(done.registry.analysis("comparisons").options, {"metric": "hd95"})
    tables = {item.name: item for item in tables_of(comparisons.section(evidence, options).blocks)}
    for label, unit in (("known", "mm"), ("unknown", "px")):
        found = tables[f"comparisons-{label}-hd95"]
        assert f"differences in mean per-image HD95, in {unit}, lower is better" in found.title
        assert "other_view" not in {column.key for column in found.columns}
        assert not {"pooled"} & {column.key for column in tables[f"intervals-{label}-hd95"].columns}
        # Each image of the study is a group of its own, so that differences are those of plain means.
        (row,) = found.rows
        model, reference = row.cells[0].values
        hd95 = quantity(evidence, "hd95")
        images = [
            np.concatenate([hd95.of_images(fold) for fold in evidence.cell(str(name), label).folds])
            for name in (model, reference)
        ]
        kept = ~np.isnan(images[0]) & ~np.isnan(images[1])
        assert row.cells[1].values[0] == pytest.approx(float(np.mean(images[0][kept] - images[1][kept])))
        assert row.cells[1].values[3] == unit
