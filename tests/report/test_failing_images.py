"""Parts `failures` and `suspects` of a study with spoiled labels: lists, pictures, files, JSON."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from bench_core.analysis.evidence import Evidence
from bench_core.cli.main import bench
from bench_core.declarations import resolve_entry
from bench_core.errors import UnknownNameError
from bench_core.labels import choose_cases, count_all
from bench_core.options import complete_options
from bench_core.records import Case, Predictions
from bench_core.report.blocks import Comparison, Details, Section, tables_of
from bench_core.report.delimited import to_csv
from bench_core.store import folder as files
from bench_core.store.store import Store
from tests.helpers.fake_study import Study, fake_result, write_study
from tests.helpers.planted_labels import SIDE, Planted, planted


@pytest.fixture(scope="module")
def spoiled() -> Planted:
    return planted(5, images=60, each=1, shared=0.03)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, spoiled: Planted) -> Study:
    """Three models on one of three datasets, with label maps."""
    found = write_study(tmp_path_factory.mktemp("study"), keep=lambda job: False)
    models = {job.model.name: number for number, job in enumerate(found.plan.jobs) if job.stage == "evaluate"}
    order = list(dict.fromkeys(models))
    pad = ((16, 16), (16, 16))
    for job in found.plan.jobs:
        if job.stage != "evaluate" or job.dataset.name != "moles":
            continue
        rows = range(job.fold.index, len(spoiled.ids), 5)
        ids = tuple(spoiled.ids[row] for row in rows)
        guesses = spoiled.predictions[order.index(job.model.name)]
        maps = Predictions(ids, np.stack([np.pad(guesses[row], pad) for row in rows]))
        masks = [np.pad(spoiled.labels[row], pad) for row in rows]
        counts = count_all(maps, masks, ids, job.dataset.task.classes)
        cases = [
            Case(sample, rank, dice, np.full((96, 96, 3), 90, np.uint8), masks[ids.index(sample)],
                 maps.labels[ids.index(sample)])
            for sample, rank, dice in choose_cases(ids, counts.values)
        ]  # fmt: skip
        result = fake_result(job, counts)
        facts = replace(result.data, samples=60, groups=60, train=36, validation=12, test=12)
        found.store.write(job, replace(result, data=facts), counts, cases, maps)
    assert SIDE + 32 == 96
    return found


def part(evidence: Evidence, study: Study, name: str, **given: object) -> Section:
    declared = study.loaded.registry.analysis(name)
    found = resolve_entry(declared.section)(evidence, complete_options(declared.options, given))
    assert isinstance(found, Section)
    return found


def rows(found: Section, name: str) -> list[dict[str, str]]:
    (table,) = (item for item in tables_of(found.blocks) if item.name == name)
    return list(csv.DictReader(io.StringIO(to_csv(table))))


def comparisons(found: Section) -> list[Comparison]:
    inner = [block for item in found.blocks if isinstance(item, Details) for block in item.blocks]
    return [block for block in inner if isinstance(block, Comparison)]


def test_suspects_are_listed_shown_and_told_as_data(study: Study, spoiled: Planted) -> None:
    found = part(study.evidence(), study, "suspects", count=8)
    listed = rows(found, "suspects-moles")
    assert len(listed) == 8 and {row["image"] for row in listed[:4]} <= set(spoiled.spoiled)
    told = found.data["moles"]
    assert [row["id"] for row in told["ranked"]] == [row["image"] for row in listed]
    assert told["ranked"][0]["score"] == float(listed[0]["score"])
    assert (told["images"], list(found.data)) == (60, ["moles"])
    (pictures,) = comparisons(found)
    views = [view.label for view in pictures.rows[0].views]
    assert views == ["image", "ground truth", "majority vote"] and len(pictures.rows) <= 4


def test_lists_of_failures_follow_from_the_counts(study: Study) -> None:
    evidence = study.evidence()
    found = part(evidence, study, "failures", count=5)
    dice: dict[str, dict[str, float]] = {}
    for model in ("broad", "wide", "ring"):
        for fold in evidence.cell(model, "moles").folds:
            for sample, ((hit, extra, missed),) in zip(
                fold.counts.ids, fold.counts.values.tolist(), strict=True
            ):
                dice.setdefault(sample, {})[model] = 2 * hit / (2 * hit + extra + missed)
    hard = rows(found, "hard-moles-mdsc")
    expected = sorted(dice, key=lambda sample: (max(dice[sample].values()), sample))[:5]
    assert [row["image"] for row in hard] == expected
    assert [float(row["best"]) for row in hard] == pytest.approx([max(dice[s].values()) for s in expected])
    told = found.data["moles"]
    assert told["hard_for_all"] == sum(max(scores.values()) < 0.5 for scores in dice.values())
    (failing, other) = told["apart"][0]["fails"], told["apart"][0]["other"]
    assert {failing, other} & {"ring"} and {failing, other} & {"broad", "wide"}
    first = rows(found, "fails-moles-mdsc-0")
    gaps = {sample: scores[other] - scores[failing] for sample, scores in dice.items()}
    ahead = sorted((-gap, sample) for sample, gap in gaps.items() if gap > 0)
    assert [row["image"] for row in first] == [sample for _, sample in ahead[:5]]
    (pictures,) = comparisons(found)
    assert all(len(row.views) >= 4 for row in pictures.rows)


def test_two_models_can_be_chosen_and_a_wrong_name_is_told(study: Study) -> None:
    evidence = study.evidence()
    found = part(evidence, study, "failures", first="wide", second="broad", pictures=0)
    assert [(pair["fails"], pair["other"]) for pair in found.data["moles"]["apart"]] == [
        ("wide", "broad"),
        ("broad", "wide"),
    ]
    assert not comparisons(found)
    with pytest.raises(UnknownNameError, match="no model 'wid'"):
        part(evidence, study, "failures", first="wid")


def test_the_report_tells_them_as_json_and_writes_their_tables(study: Study, tmp_path: Path) -> None:
    spec = study.store.path.parent / "study.yaml"
    words = ["report", spec, "--store", study.store.path, "--out", tmp_path / "out", "--json"]
    done = CliRunner().invoke(bench, [*map(str, words), "--format", "html,csv"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)["parts"]
    assert len(told["suspects"]["moles"]["ranked"]) == 12 and told["failures"]["moles"]["images"] == 60
    for name in ("suspects-moles", "hard-moles-mdsc", "fails-moles-mdsc-0"):
        assert (tmp_path / "out/tables" / f"{name}.csv").exists()
    page = (tmp_path / "out/report.html").read_text()
    assert "Labels to look at again" in page and "Where models fail" in page


def test_damaged_pictures_and_maps_leave_the_numbers(study: Study, spoiled: Planted) -> None:
    evidence = study.evidence()
    whole = part(evidence, study, "failures").data
    # What was read whole before the damage would be known still.
    evidence = study.evidence()
    kept = {}
    for fold in evidence.folds:
        for name in (files.CASES, files.PREDICTIONS):
            path = study.store.folder(fold.job.digest) / name
            kept[path] = path.read_bytes()
            path.write_bytes(kept[path][:50])
    try:
        found = part(evidence, study, "failures")
        assert found.data == whole and not comparisons(found)
        none = part(evidence, study, "suspects")
        assert not none.data and not tables_of(none.blocks)
    finally:
        for path, content in kept.items():
            path.write_bytes(content)


def test_each_file_of_label_maps_is_decompressed_once_for_all_parts(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    real = Store.each_prediction

    def counted(self: Store, digest: str) -> Any:
        opened.append(digest)
        yield from real(self, digest)

    monkeypatch.setattr(Store, "each_prediction", counted)
    evidence = study.evidence()
    for name in ("failures", "suspects", "predictions"):
        assert comparisons(part(evidence, study, name)), name
    assert sorted(opened) == sorted(fold.job.digest for fold in evidence.folds)
