"""The study with planted truth, from results to the words of a report."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from bench_core.labels import count
from bench_core.store.store import Store
from tests.helpers.bench import call_bench
from tests.helpers.simulated_study import (
    GAINS,
    KINDS,
    PAPER,
    drawn,
    load,
    predicted,
    score_of,
    write_full_study,
    wrong_pixels,
)

SIZE = 128


def test_label_maps_have_the_planted_score() -> None:
    for name in KINDS:
        job = next(job for job in load(SIZE)[1].jobs if job.dataset.name == name and job.fold.test)
        classes = len(job.dataset.task.classes)
        image = drawn(name, 3, SIZE, classes)
        wrong = wrong_pixels(image, score_of(job, 3))
        found = count(predicted(image, job, 3), image.mask, classes)
        assert {label: tuple(found[label - 1, 1:]) for label in wrong} == {
            label: (missed, missed) for label, missed in wrong.items()
        }


@pytest.mark.slow
def test_the_words_of_a_report_are_the_planted_truth(tmp_path: Path) -> None:
    write_full_study(tmp_path / "results", 0.5, SIZE)
    assert set(Store(tmp_path / "results").states().values()) == {"done"}
    size, store, out = f"protocol.image_size={SIZE}", tmp_path / "results", tmp_path / "report"
    options = ("--set", size, "--store", store, "--out", out, "--format", "csv")
    done = call_bench("report", PAPER, *options)
    assert done.returncode == 0, done.stderr
    verdicts = {}
    for name in KINDS:
        with (out / f"tables/comparisons-{name}-mdsc.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                gap = abs(GAINS[row["model"]] - GAINS[row["model_reference"]])
                verdicts[name, row["model"], row["model_reference"]] = gap, row["verdict"]
    assert len(verdicts) >= 3 * 14
    # A margin of one point, and images enough to see half a point.
    assert {verdict for gap, verdict in verdicts.values() if gap == 0} <= {
        "equivalent",
        "no difference shown",
    }
    isic = [found for (name, *_), found in verdicts.items() if name == "isic2018"]
    assert {verdict for gap, verdict in isic if gap == 0} == {"equivalent"}
    assert {verdict for gap, verdict in isic if gap >= 0.005} == {"different"}
    assert all(verdict == "different" for gap, verdict in verdicts.values() if gap >= 0.02)
