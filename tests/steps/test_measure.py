"""The step `measure`: what it leaves equals a recount from label maps and masks; only effects count."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from bench_core.declarations import IGNORE
from bench_core.execute.prepare import open_data
from bench_core.metrics.surface import assd, hd95, nsd
from bench_core.plan.job import Apply, Job
from bench_core.plugins.wiring import load_registry
from bench_core.spec.diagnostics import SpecError
from bench_core.store.store import Store
from tests.helpers.small_study import run
from tests.helpers.step_study import planned, run_all, write_boxes

ALL = "[{name: measure, options: {metrics: [hd95, assd, nsd], tolerance: 1}}]"
GRID = {16: {(16, 16): 1.0, (24, 40): 2.5, (33, 20): 33 / 16}}
"""Original pixels per pixel of the grid."""


def pairs(jobs: tuple[Job, ...]) -> list[tuple[Job, Job]]:
    """Each measure job with the evaluate job that it needs."""
    by_digest = {job.digest: job for job in jobs}
    return [(job, by_digest[job.needs[0].digest]) for job in jobs if isinstance(job.work, Apply)]


@pytest.mark.parametrize(("spacing", "unit"), [("none", "px"), ("some", "px"), ("all", "mm")])
def test_scores_equal_a_recount(tmp_path: Path, spacing: str, unit: str) -> None:
    store = Store(tmp_path / "results", create=True)
    registry, jobs = run_all(write_boxes(tmp_path / "spec", ALL, spacing=spacing), store)
    assert len(pairs(jobs)) == 3
    for measure, evaluate in pairs(jobs):
        store.check(measure.digest)
        table = store.records(measure.digest, "scores")
        found = {(row["metric"], row["image"], row["class"]): row for row in table}
        predictions = store.predictions(evaluate.digest)
        split = open_data(evaluate, registry, store.path / "cache").tested
        assert len(found) == len(table) == 3 * len(split) * 2
        means: dict[str, list[float]] = {}
        for place, sample in enumerate(split.ids):
            truth = split.arrays.masks[split.indices[place]]
            size = ((16, 16), (24, 40), (33, 20))[int(sample[3:]) % 3]
            scale = max(size) / 16
            given = (0.5 * scale, 0.25 * scale) if unit == "mm" else None
            labels = predictions.labels[predictions.ids.index(sample)]
            for name, scores in (
                ("hd95", hd95(labels, truth, 2, given, truth == IGNORE)),
                ("assd", assd(labels, truth, 2, given, truth == IGNORE)),
                ("nsd", nsd(labels, truth, 2, given, truth == IGNORE, tolerance=1.0)),
            ):
                for label, score in zip(("dark", "bright"), scores, strict=True):
                    row = found[name, sample, label]
                    np.testing.assert_equal(float(row["score"]), score)
                    assert row["unit"] == ("fraction" if name == "nsd" else unit)
                defined = scores[~np.isnan(scores)]
                if defined.size:
                    means.setdefault(name, []).append(defined.mean())
        values = store.result(measure.digest).values
        for name, each in means.items():
            assert values[name] == pytest.approx(np.mean(each))
        assert values["lengths"] == unit


def test_some_structure_is_missed_and_scored(tmp_path: Path) -> None:
    """Otherwise the recount above would not ask for the rule of missed structures."""
    store = Store(tmp_path / "results", create=True)
    _, jobs = run_all(write_boxes(tmp_path / "spec", ALL), store)
    rows = [row for job, _ in pairs(jobs) for row in store.records(job.digest, "scores")]
    scores = [float(row["score"]) for row in rows if row["metric"] == "hd95"]
    assert any(math.isnan(score) for score in scores)
    assert any(score == math.hypot(16, 16) for score in scores)


def digests(folder: Path, options: str) -> list[str]:
    _, plan = planned(write_boxes(folder, f"[{{name: measure, options: {options}}}]"))
    return [job.digest for job in plan.jobs if isinstance(job.work, Apply)]


def test_only_effects_count(tmp_path: Path) -> None:
    plain = digests(tmp_path, "{metrics: [hd95, nsd]}")
    assert plain == digests(tmp_path, "{}")
    assert plain == digests(tmp_path, "{metrics: [hd95, nsd], tolerance: 2}")
    assert plain == digests(tmp_path, "{metrics: [hd95, nsd], settings: {nsd: {tolerance: 2.0}}}")
    other = digests(tmp_path, "{metrics: [hd95, nsd], tolerance: 1}")
    assert other == digests(tmp_path, "{metrics: [hd95, nsd], settings: {nsd: {tolerance: 1}}}")
    assert len({*plain, *other, *digests(tmp_path, "{metrics: [hd95]}")}) == 9


def test_a_metric_added_later_trains_nothing(tmp_path: Path) -> None:
    def trained(steps: str) -> list[str]:
        _, plan = planned(write_boxes(tmp_path, steps))
        return [job.digest for job in plan.jobs if not isinstance(job.work, Apply)]

    assert trained("[]") == trained("[measure]") == trained(ALL)


METRIC = """
from bench_core import Metric


def distance(prediction, truth, classes, spacing, ignore, *, factor):
    found = [abs(float((prediction == k).sum()) - float((truth == k).sum())) for k in range(1, classes + 1)]
    return np.array(found) * factor


@hookimpl
def bench_metrics():
    return [Metric(name="area-gap", title="Area gap", version={version}, needs="labels", compute=distance,
                   unit="{unit}", better="lower", definition="In pixels.", empty="The area.",
                   options={{"factor": Option(type=int, default=1, help="times")}})]
"""


def test_a_metric_of_a_plugin_is_measured_and_its_version_counts(tmp_path: Path) -> None:
    steps = "[{name: measure, options: {metrics: [area-gap], settings: {area-gap: {factor: 3}}}}]"
    found = []
    for version in (1, 2):
        plugin = METRIC.format(version=version, unit="px")
        path = write_boxes(tmp_path / str(version), steps, plugin=plugin)
        found.append([job.digest for job in planned(path)[1].jobs])
    first, second = found
    assert first[:3] == second[:3] and not set(first[3:]) & set(second[3:])
    store = Store(tmp_path / "results", create=True)
    registry, jobs = run_all(tmp_path / "1" / "spec.yaml", store)
    for measure, evaluate in pairs(jobs):
        predictions = store.predictions(evaluate.digest)
        split = open_data(evaluate, registry, store.path / "cache").tested
        for row in store.records(measure.digest, "scores"):
            label = {"dark": 1, "bright": 2}[row["class"]]
            truth = split.arrays.masks[split.indices[split.ids.index(row["image"])]]
            guess = predictions.labels[predictions.ids.index(row["image"])]
            assert float(row["score"]) == 3 * abs(int((guess == label).sum()) - int((truth == label).sum()))
            assert row["unit"] == "px"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("{metrics: []}", "no metric"),
        ("{metrics: [hd95, hd95]}", "twice"),
        ("{metrics: [hd95], tolerance: 3}", "no effect"),
        ("{metrics: [mdsc]}", "made of pixel counts"),
        ("{metrics: [hd95], settings: {nsd: {tolerance: 1}}}", "'nsd'"),
        ("{metrics: [nsd], settings: {nsd: 1}}", "no mapping"),
        ("{metrics: [nsd], settings: {nsd: {tolerence: 1}}}", "did you mean 'tolerance'"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path: Path, options: str, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        digests(tmp_path, options)
    assert says in str(caught.value)


def test_a_metric_in_mm_needs_a_spacing(tmp_path: Path) -> None:
    steps = "[{name: measure, options: {metrics: [area-gap]}}]"
    path = write_boxes(tmp_path / "spec", steps, plugin=METRIC.format(version=1, unit="mm"))
    store = Store(tmp_path / "results", create=True)
    registry, plan = planned(path)
    evaluate = next(job for job in plan.jobs if not isinstance(job.work, Apply))
    measure = next(job for job in plan.jobs if job.needs and job.needs[0].digest == evaluate.digest)
    run(evaluate, store, registry)
    with pytest.raises(Exception, match="in mm, and the spacing of boxes is not known"):
        run(measure, store, registry)


def test_the_page_names_every_step_and_option() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "steps.md").read_text()
    for step in load_registry().steps.values():
        assert f"\n## {step.name}: " in page
        for option in step.options:
            assert f"| `{option}` |" in page
