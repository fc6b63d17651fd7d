"""The part `ranks`: planted leads get their probabilities, ties and gaps are told, one source for all."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench_core.analysis.evidence import Evidence
from bench_core.options import complete_options
from bench_core.plan.job import Job
from bench_core.plugins.wiring import load_registry
from bench_core.records import Counts
from bench_core.report.blocks import Figure, Prose, Section, tables_of
from bench_core.report.delimited import to_csv
from bench_core.report.rankplot import RankRow, percent, rank_plot
from bench_core.report.sections.ranks import section
from tests.helpers.fake_study import PLUGIN, Study, write_study
from tests.report.test_comparisons import counts_of, of_moles
from tests.report.test_direction import ERROR


def evaluated(job: Job) -> bool:
    return job.stage == "evaluate"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("study")
    return write_study(folder, evaluated, counts_of=counts_of(), plugin=ERROR + PLUGIN)


def made(evidence: Evidence, **options: Any) -> Section:
    declared = load_registry().analysis("ranks").options
    return section(evidence, complete_options(declared, {"samples": 400, **options}))


def rows(found: Section, name: str, key: str = "model") -> dict[str, dict[str, str]]:
    table = next(item for item in tables_of(found.blocks) if item.name == name)
    return {row[key]: row for row in csv.DictReader(io.StringIO(to_csv(table)))}


def text(found: Section) -> str:
    return " ".join(part for block in found.blocks if isinstance(block, Prose) for part in block.paragraphs)


def test_planted_leads_have_their_ranks_and_the_worst_is_sure(study: Study) -> None:
    found = made(study.evidence())
    table = rows(found, "ranks-mdsc")
    assert set(table) == {"broad", "wide", "ring"}
    for dataset in ("moles", "polyps", "hearts", "by_score", "by_rank"):
        ring = table["ring"]
        assert [ring[f"{dataset}_{key}"] for key in ("rank", "low", "high")] == ["3.0", "3", "3"]
        assert float(ring[f"{dataset}_first"]) == 0
        chances = [float(row[f"{dataset}_first"]) for row in table.values()]
        assert sum(chances) == pytest.approx(1)
    assert "is the best with a probability of" in text(found)
    panels = next(block for block in found.blocks if isinstance(block, Figure)).panels
    assert [panel.title for panel in panels] == ["Moles'26", "Polyps & more", "Hearts"]


def test_an_error_rate_ranks_as_dice_does(study: Study) -> None:
    dice, error = (rows(made(study.evidence(), metric=name), f"ranks-{name}") for name in ("mdsc", "merror"))
    for label, row in dice.items():
        for dataset in ("moles", "polyps", "hearts", "by_score", "by_rank"):
            for key in ("rank", "low", "high", "first"):
                assert row[f"{dataset}_{key}"] == error[label][f"{dataset}_{key}"]
        assert float(row["moles_score"]) == pytest.approx(1 - float(error[label]["moles_score"]))


def test_a_twin_shares_its_rank(tmp_path: Path) -> None:
    plain = counts_of()

    def twins(job: Job) -> Counts:
        if job.model.name == "wide":
            job = replace(job, model=replace(job.model, name="broad"))
        return plain(replace(job, digest=f"{job.model.name:0<32}"))

    table = rows(made(write_study(tmp_path, of_moles, counts_of=twins).evidence()), "ranks-mdsc")
    assert [table[label]["moles_rank"] for label in ("broad", "wide", "ring")] == ["1.5", "1.5", "3.0"]
    assert [float(table[label]["moles_first"]) for label in ("broad", "wide")] == [0.5, 0.5]
    assert (table["broad"]["moles_low"], table["broad"]["moles_high"]) == ("1", "2")
    assert "by_rank_rank" not in table["broad"]


def test_only_models_with_all_datasets_are_ranked_over_them(tmp_path: Path) -> None:
    lacking = write_study(
        tmp_path,
        lambda job: evaluated(job) and (job.model.name, job.dataset.name) != ("broad", "hearts"),
        counts_of=counts_of(),
    )
    found = made(lacking.evidence())
    table = rows(found, "ranks-mdsc")
    assert (table["broad"]["hearts_rank"], table["broad"]["by_rank_rank"]) == ("", "")
    assert table["broad"]["moles_rank"] != ""
    # Among themselves: the best of the two is first on every dataset.
    assert [table[label]["by_rank_mean"] for label in ("wide", "ring")] == ["1.0", "2.0"]
    assert "Not ranked over datasets: BroadFormer (lacks Hearts)." in text(found)
    assert "2 models with all datasets" in next(iter(tables_of(found.blocks))).caption


def test_own_protocols_and_other_folds_are_never_ranked(study: Study, tmp_path: Path) -> None:
    evidence = study.evidence()
    models = tuple(
        replace(model, track="own-protocol" if model.label == "wide" else "shared")
        for model in evidence.models
    )
    assert set(rows(made(replace(evidence, models=models)), "ranks-mdsc")) == {"broad", "ring"}
    partial = write_study(
        tmp_path,
        lambda job: of_moles(job) and (job.model.name, job.fold.index) != ("ring", 3),
        counts_of=counts_of(),
    )
    assert set(rows(made(partial.evidence()), "ranks-mdsc")) == {"broad", "wide"}


def test_few_groups_have_ranks_and_no_probabilities(tmp_path: Path) -> None:
    def one_group(job: Job) -> Counts:
        counts = counts_of()(job)
        return replace(counts, groups=(f"patient {job.fold.index}",) * len(counts.ids))

    found = made(write_study(tmp_path, of_moles, counts_of=one_group).evidence())
    ring = rows(found, "ranks-mdsc")["ring"]
    assert (ring["moles_rank"], ring["moles_first"], ring["moles_low"]) == ("3.0", "", "")
    assert "Moles'26: 5 groups are too few (at least 10) to say how sure the order is." in text(found)
    assert not any(isinstance(block, Figure) for block in found.blocks)


def test_datasets_that_disagree_are_told(tmp_path: Path) -> None:
    turned = {"broad": -0.02, "wide": -0.001, "ring": 0.0}

    def counts(job: Job) -> Counts:
        return counts_of(turned)(job) if job.dataset.name == "hearts" else counts_of()(job)

    found = made(write_study(tmp_path, evaluated, counts_of=counts).evidence())
    agreement = rows(found, "rank-agreement-mdsc", "other")
    assert float(agreement["hearts"]["tau"]) < 0 < float(agreement["polyps"]["tau"])
    without = rows(found, "rank-without-mdsc", "without")
    first = {row["best_rank"] for row in without.values()}
    assert ("The best mean rank is held by others without" in text(found)) is (len(first) > 1)
    assert float(without["hearts"]["tau"]) > 0.5
    assert set(without) == {"moles", "polyps", "hearts"}
    assert without["hearts"]["best_rank"] in ("broad", "wide")


def test_means_of_images_rank_on_images_that_all_models_have(tmp_path: Path) -> None:
    def silent(job: Job) -> Counts:
        counts = counts_of()(job)
        values = counts.values.copy()
        values[0] = 0
        return replace(counts, values=values)

    found = made(write_study(tmp_path, of_moles, counts_of=silent).evidence(), view="images")
    assert "for a model has no score of them: Moles'26 5" in next(iter(tables_of(found.blocks))).caption
    assert rows(found, "ranks-mdsc")["ring"]["moles_rank"] == "3.0"


def test_the_same_results_give_the_same_bytes(study: Study) -> None:
    one, other = ([to_csv(x) for x in tables_of(made(study.evidence()).blocks)] for _ in range(2))
    assert one == other


def test_a_rank_plot_escapes_and_leaves_out_what_does_not_happen() -> None:
    shown = rank_plot(
        "<b>", [RankRow("<i>", 0, (0.25, 0.75, 0.0), "rank 2"), RankRow("b", 1, (1, 0, 0), "x")]
    )
    assert "<i>" not in shown and "&lt;i&gt;, rank 2: 75 %" in shown
    assert shown.count('class="dot s1"') == 2 and shown.count('class="dot s2"') == 1
    assert [percent(value) for value in (0.0, 0.001, 0.5, 0.999, 1.0)] == [
        "< 1 %", "< 1 %", "50 %", "> 99 %", "> 99 %",
    ]  # fmt: skip
