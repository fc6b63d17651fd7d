"""Networks that learned nothing are named, and set beside what needs no network."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench_core.analysis.baselines import constant_counts
from bench_core.analysis.learned import data_warnings, not_learned, unlearned
from bench_core.metrics.counts import micro
from bench_core.plan.job import Job
from bench_core.records import Counts
from bench_core.report.compose import compose
from bench_core.report.status import status
from bench_core.store.result import Result
from tests.helpers.fake_study import Study, fake_counts, write_study

ODD = "evaluate/ring/moles/fold-1"
AREA = 96**2


def monitored(value: float) -> Callable[[Job, Result], Result]:
    def change(job: Job, result: Result) -> Result:
        training = result.training
        if job.name != ODD or training is None:
            return result
        metrics = {"mdsc": value, "miou": value, "mrecall": value, "mprecision": value}
        history = tuple(replace(record, validation=metrics) for record in training.history)
        return replace(result, training=replace(training, history=history, best_value=value))

    return change


def painted(label: int) -> Callable[[Job], Counts]:
    def counts_of(job: Job) -> Counts:
        counts = fake_counts(job)
        if job.name != ODD:
            return counts
        return replace(counts, values=constant_counts(counts.values, AREA, label))

    return counts_of


def only_moles(job: Job) -> bool:
    return job.dataset.name == "moles" and job.stage == "evaluate"


def said(study: Study) -> list[str]:
    return [item for callout in status(study.evidence()) for item in callout.items]


@pytest.mark.parametrize(("value", "words"), [(0.0, "is 0 in all"), (math.nan, "is undefined in all")])
def test_a_monitor_that_never_moves_is_told(tmp_path: Path, value: float, words: str) -> None:
    study = write_study(tmp_path, only_moles, monitored(value))
    (sign,) = unlearned(study.evidence())
    assert sign.startswith(f"{ODD}: validation miou {words}")
    assert sign in said(study)


@pytest.mark.parametrize(("label", "words"), [(0, "background"), (1, "lesion")])
def test_one_class_on_all_images_is_told(tmp_path: Path, label: int, words: str) -> None:
    study = write_study(tmp_path, only_moles, counts_of=painted(label))
    assert unlearned(study.evidence()) == (f"{ODD}: it predicts {words} alone on all 40 test images",)
    assert unlearned(study.evidence())[0] in said(study)


def test_a_network_that_learned_is_not_named(tmp_path: Path) -> None:
    study = write_study(tmp_path, only_moles)
    assert unlearned(study.evidence()) == data_warnings(study.evidence()) == ()
    fold = study.evidence().folds[0]
    almost = fold.counts.values.copy()
    almost[...] = constant_counts(almost, AREA, 1)
    # One pixel of one image is background.
    almost[0, 0] += np.array([0, -1, 0])
    assert not_learned(fold.job, fold.result, replace(fold.counts, values=almost)) == ()


def test_warnings_of_data_are_told_once(tmp_path: Path) -> None:
    text = "lesion is in no training mask"

    def warned(job: Job, result: Result) -> Result:
        return replace(result, data=replace(result.data, warnings=(text,)))

    study = write_study(tmp_path, only_moles, warned)
    assert data_warnings(study.evidence()) == (f"Moles'26: {text}",)
    assert said(study).count(f"Moles'26: {text}") == 1


@pytest.mark.parametrize("label", [0, 1, 2])
def test_painting_one_class_counts_as_pixel_by_pixel(label: int) -> None:
    random = np.random.default_rng(3)
    truth, guess = random.integers(0, 3, (2, 5, 8, 8))

    def counted(prediction: np.ndarray) -> np.ndarray:
        rows = []
        for mask, seen in zip(truth, prediction, strict=True):
            pairs = list(zip(mask.ravel().tolist(), seen.ravel().tolist(), strict=True))
            rows.append(
                [
                    [
                        sum(one == name == other for one, other in pairs),
                        sum(other == name != one for one, other in pairs),
                        sum(one == name != other for one, other in pairs),
                    ]
                    for name in (1, 2)
                ]
            )
        return np.array(rows, np.int64)

    assert np.array_equal(constant_counts(counted(guess), 64, label), counted(np.full_like(truth, label)))


def test_baselines_come_where_they_are_asked_for(tmp_path: Path) -> None:
    study = write_study(tmp_path / "asked", more="analyses: [baselines]\n")
    (moles, _, hearts) = compose(study.evidence(), study.loaded.registry).tables
    names = [row.cells[0].text for row in moles.rows]
    assert names[-2:] == ["all background", "all lesion"] and len(names) == 5
    assert [row.cells[0].text for row in hearts.rows][-3:] == ["all ventricle", "all wall", "all atrium"]
    folds = study.evidence().cell("broad", "moles").folds
    scores = [micro(constant_counts(fold.counts.values, AREA, 1))["mdsc"] for fold in folds]
    mean, std, number, *_ = moles.rows[-1].cells[1].values
    assert (mean, std, number) == (pytest.approx(np.mean(scores)), pytest.approx(np.std(scores, ddof=1)), 5)
    assert moles.rows[-2].cells[1].values[0] == 0
    usual = write_study(tmp_path / "usual", only_moles)
    sections = compose(usual.evidence(), usual.loaded.registry).sections
    assert "baselines" not in {section.name for section in sections}
