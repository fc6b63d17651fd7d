"""The report's part on corruptions: numbers as a recount has them, orders, figures and pictures."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from statistics import mean

import numpy as np
import pytest

from bench_core.analysis.corrupted import corruption_sets
from bench_core.analysis.inference.compare import Settings
from bench_core.analysis.inference.degraded import degraded, orders
from bench_core.report.blocks import Details, Figure, Gallery, Prose, Section, tables_of
from bench_core.report.compose import compose
from bench_core.report.delimited import to_csv
from bench_core.report.page import to_html
from bench_core.report.sections.corruption import section
from bench_core.report.tables import Table
from tests.helpers.changing import changed
from tests.helpers.corrupted_study import LOST, conditions_of, corrupted_counts, planted, write_corrupted
from tests.helpers.fake_study import Study, fake_counts
from tests.helpers.page import Page

OPTIONS = {"metric": "mdsc", "alpha": 0.05, "samples": 200, "pictures": True}
SETTINGS = Settings(alpha=0.05, samples=400)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return write_corrupted(tmp_path_factory.mktemp("corrupted"))


@pytest.fixture(scope="module")
def part(study: Study) -> Section:
    return section(study.evidence(), OPTIONS)


def table(part: Section, name: str) -> Table:
    return next(item for item in tables_of(part.blocks) if item.name == name)


def rows(part: Section, name: str) -> dict[str, dict[str, str]]:
    found = csv.DictReader(io.StringIO(to_csv(table(part, name))))
    return {" ".join(row[key] for key in ("kind", "model") if row.get(key)): row for row in found}


def recount(study: Study, model: str, dataset: str, only: int | None = None) -> dict[tuple[str, int], float]:
    """Mean over folds of the pooled Dice of each condition, of all classes or one, by loops over numbers."""
    folds: dict[tuple[str, int], list[float]] = {}
    for job in study.plan.jobs:
        if job.stage != "corruption" or job.cell != (model, dataset):
            continue
        source = study.plan.by_digest[job.needs[0].digest]
        values = corrupted_counts(fake_counts(source), job, planted)
        for condition, tables in zip(conditions_of(job), values.tolist(), strict=True):
            used = [each for image in tables for place, each in enumerate(image) if only in (None, place)]
            hit = sum(each[0] for each in used)
            wrong = sum(each[1] + each[2] for each in used)
            folds.setdefault(condition, []).append(2 * hit / (2 * hit + wrong))
    return {condition: mean(scores) for condition, scores in folds.items()}


@pytest.mark.parametrize("dataset", ["moles", "polyps"])
def test_losses_are_what_a_recount_gives(study: Study, part: Section, dataset: str) -> None:
    summary = rows(part, f"corruption-corruption-{dataset}")
    kinds = rows(part, f"corruption-kinds-corruption-{dataset}")
    every = rows(part, f"corruption-severities-corruption-{dataset}")
    for model in LOST:
        scores = recount(study, model, dataset)
        clean = scores["clean", 0]
        assert float(summary[model]["clean_mean"]) == pytest.approx(clean)
        noise = [scores["gaussian-noise", severity] for severity in (1, 3, 5)]
        lost = 1 - mean(noise) / clean
        assert float(kinds[model]["kind-gaussian-noise_value"]) == pytest.approx(lost)
        low, high = (float(kinds[model][f"kind-gaussian-noise_{end}"]) for end in ("low", "high"))
        assert low < lost < high and high - low < 0.03
        # Bubbles cost nothing in any group: there is nothing to be unsure of.
        assert [float(kinds[model][f"kind-bubbles_{end}"]) for end in ("value", "low", "high")] == [0, 0, 0]
        assert float(summary[model]["lost_value"]) == pytest.approx(lost / 2)
        assert summary[model]["worst_kind"] == "gaussian-noise"
        row = every[f"gaussian-noise {model}"]
        for severity, score in zip((1, 3, 5), noise, strict=True):
            assert float(row[f"score{severity}_mean"]) == pytest.approx(score)
            assert float(row[f"lost{severity}_value"]) == pytest.approx(1 - score / clean)


def test_each_class_loses_what_its_own_counts_say(study: Study, part: Section) -> None:
    found = rows(part, "corruption-classes-corruption-polyps")
    assert not [item for item in tables_of(part.blocks) if item.name == "corruption-classes-corruption-moles"]
    for model in LOST:
        for place in (0, 1):
            scores = recount(study, model, "polyps", place)
            noise = [scores["gaussian-noise", severity] for severity in (1, 3, 5)]
            lost = (1 - mean(noise) / scores["clean", 0]) / 2
            assert float(found[model][f"class{place}_value"]) == pytest.approx(lost)
            assert float(found[model][f"class{place}_low"]) < lost < float(found[model][f"class{place}_high"])


def test_the_order_turns_where_leaders_lose_most(study: Study, part: Section) -> None:
    order, ranks = (
        rows(part, "corruption-order-corruption-moles"),
        rows(part, "corruption-ranks-corruption-moles"),
    )
    assert float(order["bubbles"]["mean_value"]) == 1
    assert float(order["gaussian-noise"]["severity5_value"]) == -1
    low, high = (float(order["gaussian-noise"][f"severity5_{end}"]) for end in ("low", "high"))
    assert -1 <= low <= high < 1
    assert {model: row["clean"] for model, row in ranks.items()} == {
        "broad": "1.0",
        "wide": "2.0",
        "ring": "3.0",
    }
    assert ranks["ring"]["kind-bubbles"] == "3.0" and float(ranks["ring"]["kind-gaussian-noise"]) == 1
    sentences = [text for block in part.blocks if isinstance(block, Prose) for text in block.paragraphs]
    assert any("Kendall's tau" in text and "have another rank" in text for text in sentences)


def test_models_are_resampled_on_the_same_images(study: Study) -> None:
    (found, _) = corruption_sets(study.evidence())
    metric = study.evidence().metrics["mdsc"]
    losses = degraded(found, metric, SETTINGS)
    again = degraded(found, metric, SETTINGS)
    assert all((losses[label].drawn == again[label].drawn).all() for label in losses)
    # Under bubbles nothing changes in any resample: each one's order is its clean order.
    kept = orders(found, losses, metric, SETTINGS)
    assert kept is not None and kept.kept_kinds["bubbles"].between == (1.0, 1.0)
    assert (losses["broad"].drawn[:, 0] == losses["broad"].drawn[:, 4]).all()


def test_page_figures_and_pictures(study: Study, part: Section) -> None:
    (first, second) = (block for block in part.blocks if isinstance(block, Figure))
    assert [panel.title for panel in first.panels] == ["Gaussian noise", "Bubbles"]
    assert all("severity 5" in panel.svg and "BroadFormer" in panel.svg for panel in second.panels)
    galleries = [
        inner
        for block in part.blocks
        if isinstance(block, Details)
        for inner in block.blocks
        if isinstance(inner, Gallery)
    ]
    assert [[len(each.pictures) for each in item.examples] for item in galleries] == [[4, 4], [4, 4]]
    report = compose(study.evidence(), study.loaded.registry)
    page = to_html(report)
    found = Page(page).tables
    assert [row[0] for row in found["corruption-kinds-corruption-moles"][1:]][-1] == "RingNet"
    assert page.count('alt="moles-0-000, Bubbles, severity') == 3
    data = json.loads(json.dumps(part.data))
    assert data["sets"][0]["order"]["kinds"]["bubbles"] == 1.0


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    study = write_corrupted(
        tmp_path,
        keep=lambda job: job.fold.index < (2 if job.model.name == "ring" else 5),
        datasets=("moles",),
    )
    part = section(study.evidence(), {**OPTIONS, "pictures": False})
    sentences = [text for block in part.blocks if isinstance(block, Prose) for text in block.paragraphs]
    assert any(text == "Not ranked, since jobs are missing: RingNet (2/5)." for text in sentences)
    found = rows(part, "corruption-corruption-moles")
    assert found["ring"]["clean_folds"] == "2" and found["ring"]["rank_clean"] == ""
    assert not [item for item in tables_of(part.blocks) if item.name.startswith("corruption-order")]
    assert not any(item.name.endswith("polyps") for item in tables_of(part.blocks))


def test_a_study_without_the_step_has_no_such_part(tmp_path: Path) -> None:
    study = write_corrupted(tmp_path, datasets=())
    assert section(study.evidence(), OPTIONS).blocks == ()


def cut(folder: Path) -> None:
    path = folder / "artifacts" / "examples.jpg"
    path.write_bytes(path.read_bytes()[:100])


def huge(folder: Path) -> None:
    from PIL import Image

    Image.fromarray(np.zeros((70, 2000), np.uint8)).save(folder / "artifacts" / "examples.jpg")


@pytest.mark.parametrize(("change", "said"), [(cut, "cannot be read"), (huge, "does not hold 7 squares")])
def test_pictures_that_cannot_be_shown_are_said_and_the_rest_stands(
    study: Study, change: object, said: str
) -> None:
    evidence = study.evidence()
    (found, _) = corruption_sets(evidence)
    with changed(study.store.folder(found.example.job.digest), change):  # type: ignore[arg-type]
        part = section(evidence, OPTIONS)
    sentences = [text for block in part.blocks if isinstance(block, Prose) for text in block.paragraphs]
    assert any("No pictures of corrupted images of Moles'26" in text and said in text for text in sentences)
    assert table(part, "corruption-corruption-moles").rows


@pytest.mark.slow
def test_intervals_hold_the_planted_loss_as_often_as_they_say(tmp_path: Path) -> None:
    """Losses vary by group around 10 %; the interval is of the population's ratio of sums."""
    from bench_core.analysis.corrupted import CorruptedFold, CorruptionSet
    from bench_core.analysis.measured import Corrupted
    from bench_core.metrics.plugin import bench_metrics
    from bench_core.records import Counts

    metric = next(metric for metric in bench_metrics() if metric.name == "mdsc")
    conditions = (("clean", 0), ("noise", 1))
    random, held, tries = np.random.default_rng(0), 0, 300

    def draw(groups: int) -> np.ndarray:
        size = random.integers(200, 800, groups)
        clean = np.round(size * np.clip(random.normal(0.9, 0.05, groups), 0, 1))
        kept = np.round(clean * np.clip(random.normal(0.9, 0.08, groups), 0, 1))
        hits = np.stack([clean, kept]).astype(np.int64)
        return np.stack([hits, np.broadcast_to(40, hits.shape), size - hits], axis=-1)[:, :, None, :]

    truth = draw(200_000).sum(axis=(1, 2))
    dice = 2 * truth[:, 0] / (2 * truth[:, 0] + truth[:, 1] + truth[:, 2])
    expected = 1 - dice[1] / dice[0]
    for _ in range(tries):
        values = draw(40)
        ids = tuple(map(str, range(40)))
        fold = CorruptedFold(Counts(ids, ids, ("x",), values[0]), Corrupted(conditions, values))
        found = CorruptionSet("c", "d", conditions, {"m": {0: fold}}, {"m": 1}, None)  # type: ignore[arg-type]
        ends = degraded(found, metric, Settings(alpha=0.05, samples=400))["m"].overall.interval
        held += ends is not None and ends.low <= expected <= ends.high
    assert 0.915 <= held / tries <= 0.985
