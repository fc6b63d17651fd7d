"""The part `comparisons` and `bench compare`: planted truths get their words, from the same numbers."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.inference.cells import intervals
from bench_core.analysis.inference.compare import Settings
from bench_core.cli.main import bench
from bench_core.errors import MissingDependencyError
from bench_core.install import install_command
from bench_core.options import complete_options
from bench_core.plan.job import Job
from bench_core.plugins.wiring import load_registry
from bench_core.records import Counts
from bench_core.report.blocks import Callout, Figure, Prose, Section, tables_of
from bench_core.report.delimited import to_csv
from bench_core.report.forestplot import ForestRow, forest_plot
from bench_core.report.sections.comparisons import section
from bench_core.report.tables import Table
from bench_core.seeds import derive_seed
from tests.helpers.fake_study import PLUGIN, Study, write_study
from tests.helpers.known_truth import planted_field
from tests.report.test_direction import ERROR

GAINS = {"broad": 0.0, "wide": -0.001, "ring": -0.02}
"""A true lead of 2 points, and one of 0.1 that no margin of 1 point minds."""


def counts_of(gains: dict[str, float] = GAINS, groups: int = 20, images: int = 40) -> Callable[[Job], Counts]:
    """Return counts whose Dice differs between models by their gains and by 0.002 of noise."""

    def counts(job: Job) -> Counts:
        shared = np.random.default_rng(derive_seed(job.dataset.name, job.fold.index))
        own = np.random.default_rng(derive_seed(job.digest))
        area = shared.integers(20_000, 90_000, images)
        score = shared.normal(0.85, 0.03, images) + gains[job.model.name] + own.normal(0, 0.002, images)
        hit = np.round(area * np.clip(score, 0, 1)).astype(np.int64)
        one = np.stack([hit, area - hit, area - hit], axis=-1)[:, None]
        ids = tuple(f"{job.fold.index}-{number:03d}" for number in range(images))
        names = tuple(f"{job.fold.index}-{number % groups}" for number in range(images))
        return Counts(ids, names, job.dataset.task.classes, np.repeat(one, len(job.dataset.task.classes), 1))

    return counts


def of_moles(job: Job) -> bool:
    return job.stage == "evaluate" and job.dataset.name == "moles"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("study")
    return write_study(folder, of_moles, counts_of=counts_of(), plugin=ERROR + PLUGIN)


def made(evidence: Evidence, **options: Any) -> Section:
    declared = load_registry().analysis("comparisons").options
    given = {"samples": 500, **options}
    return section(evidence, complete_options(declared, given))


def table(found: Section, name: str) -> Table:
    return next(item for item in tables_of(found.blocks) if item.name == name)


def rows(found: Table) -> dict[tuple[str, str], dict[str, str]]:
    read = csv.DictReader(io.StringIO(to_csv(found)))
    return {(row["model"], row["model_reference"]): row for row in read}


def text(found: Section) -> str:
    return " ".join(
        part for block in found.blocks if isinstance(block, Prose) for part in block.paragraphs
    )  # fmt: skip


def call(study: Study, *words: str) -> Result:
    path, store = str(study.loaded.path), str(study.store.path)
    return CliRunner().invoke(bench, ["compare", *words[:2], path, "--store", store, *words[2:]])


def answer(study: Study, *words: str) -> dict[str, Any]:
    done = call(study, *words, "--dataset", "moles", "--json")
    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.stdout)["answers"]
    return dict(found)


def test_planted_truths_get_their_words(study: Study) -> None:
    found = made(study.evidence())
    pairs = rows(table(found, "comparisons-moles-mdsc"))
    assert set(pairs) == {("wide", "broad"), ("ring", "broad")}
    assert pairs["wide", "broad"]["verdict"] in ("equivalent", "different")
    assert float(pairs["wide", "broad"]["p_equivalent_holm"]) < 0.001
    assert pairs["ring", "broad"]["verdict"] == "different"
    low, high = (float(pairs["ring", "broad"][f"difference_{end}"]) for end in ("low", "high"))
    assert low < -0.02 < high < 0
    said = text(found)
    assert "Moles'26: in pooled mDSC, BroadFormer, the leader of the study's table, is shown to be" in said
    assert "Not compared, for no two models have the same finished folds: Polyps & more and Hearts." in said


def test_each_dataset_says_what_it_could_have_shown(study: Study) -> None:
    found = made(study.evidence())
    (row,) = csv.DictReader(io.StringIO(to_csv(table(found, "power-mdsc"))))
    assert (row["dataset"], row["groups"], row["groups_images"]) == ("moles", "100", "200")
    assert (row["detectable_pairs"], row["detectable_unit"]) == ("3", "fraction")
    smallest = float(row["detectable_middle"])
    assert float(row["detectable_low"]) <= smallest <= float(row["detectable_high"])
    # Twice the groups detect 1 / sqrt(2) of it.
    asked = made(study.evidence(), detect=100 * smallest / np.sqrt(2))
    (more,) = csv.DictReader(io.StringIO(to_csv(table(asked, "power-mdsc"))))
    assert int(more["needed_middle"]) == pytest.approx(200, rel=0.03)
    assert int(more["needed_images"]) == 2 * int(more["needed_middle"])
    shown = f"Moles'26: a difference of {100 * smallest:.2f} points is shown in 80 % of such studies"
    assert shown in text(found)
    error = made(study.evidence(), metric="merror")
    (other,) = csv.DictReader(io.StringIO(to_csv(table(error, "power-merror"))))
    assert float(other["detectable_middle"]) == pytest.approx(smallest)


def test_a_twin_is_equal_and_not_different(tmp_path: Path) -> None:
    plain = counts_of()
    twin = write_study(
        tmp_path,
        of_moles,
        counts_of=lambda job: plain(replace(job, model=replace(job.model, name="broad"), digest="0" * 32)),
    )
    found = made(twin.evidence())
    shown = table(found, "comparisons-moles-mdsc")
    assert [row.cells[1].text for row in shown.rows] == ["0", "0"]
    assert {row["verdict"] for row in rows(shown).values()} == {"equivalent"}
    assert {row["false_claim"] for row in rows(shown).values()} == {"0.5"}
    assert "by 0, in every group: the two are equivalent" in answer(twin, "wide", "broad")["sentence"]


def test_an_error_rate_gets_the_verdicts_of_dice(study: Study) -> None:
    dice, error = (
        rows(table(made(study.evidence(), metric=name), f"comparisons-moles-{name}"))
        for name in ("mdsc", "merror")
    )
    assert dice.keys() == error.keys()
    for pair, row in dice.items():
        other = error[pair]
        assert float(row["difference_mean"]) == pytest.approx(-float(other["difference_mean"]), abs=1e-12)
        assert (row["verdict"], row["p_holm"]) == (other["verdict"], other["p_holm"])
        assert float(row["effect_improvement"]) == pytest.approx(float(other["effect_improvement"]))
    found = made(study.evidence(), metric="merror")
    figure = next(block for block in found.blocks if isinstance(block, Figure))
    assert "right of the line the leader is ahead" in figure.caption
    assert "lower is better" in table(found, "comparisons-moles-merror").title
    assert "RingNet by" not in answer(study, "ring", "broad", "--metric", "merror")["sentence"]
    assert ": BroadFormer was better" in answer(study, "ring", "broad", "--metric", "merror")["sentence"]


def test_the_command_and_the_report_have_one_source(study: Study) -> None:
    row = rows(table(made(study.evidence(), samples=2000), "comparisons-moles-mdsc"))["ring", "broad"]
    found = answer(study, "ring", "broad")
    assert found["interval"] == [float(row["difference_low"]), float(row["difference_high"])]
    assert (found["difference"], found["p_adjusted"], found["p"], found["false_claim"]) == tuple(
        float(row[key]) for key in ("difference_mean", "p_holm", "p_raw", "false_claim")
    )
    assert (found["verdict"], found["pairs"], found["groups"], found["images"]) == ("different", 3, 100, 200)
    turned = answer(study, "broad", "ring")
    assert turned["interval"] == [-end for end in reversed(found["interval"])]
    assert (turned["p"], turned["p_folds"]) == (found["p"], found["p_folds"])
    assert turned["improvement"] == pytest.approx(1 - found["improvement"])


def test_a_planned_pair_is_corrected_for_no_other(study: Study) -> None:
    found = answer(study, "wide", "broad", "--planned")
    assert (found["pairs"], found["p_adjusted"]) == (1, found["p"])
    assert "Holm" not in found["sentence"]


def test_the_margin_decides_what_is_equivalent(study: Study) -> None:
    assert answer(study, "wide", "ring", "--margin", "5")["verdict"] == "different"
    wide = call(study, "wide", "ring", "--dataset", "moles", "--margin", "5")
    assert "moles: different, by less than the margin" in wide.output
    assert "different, by less" not in call(study, "wide", "ring", "--dataset", "moles").output


def test_few_groups_cannot_be_judged(tmp_path: Path) -> None:
    def one_group(job: Job) -> Counts:
        counts = counts_of()(job)
        return replace(counts, groups=(f"patient {job.fold.index}",) * len(counts.ids))

    few = write_study(tmp_path, of_moles, counts_of=one_group)
    found = made(few.evidence())
    assert "Moles'26: nothing is concluded, for 5 groups are too few (at least 10)." in text(found)
    for row in rows(table(found, "comparisons-moles-mdsc")).values():
        assert (row["verdict"], row["difference_low"]) == ("cannot be judged", "")
    shown = table(found, "intervals-moles-mdsc")
    assert all("(–)" in cell.small for row in shown.rows for cell in row.cells[2:])
    assert "no difference could have been shown with 5 groups" in text(found)
    assert table(found, "power-mdsc").rows[0].cells[2].text == "none"
    assert "5 groups are too few (at least 10)" in answer(few, "ring", "broad")["sentence"]


def test_groups_that_tell_nothing_do_not_count(tmp_path: Path) -> None:
    def mostly_empty(job: Job) -> Counts:
        counts = counts_of()(job)
        # Two of the 20 groups of a fold have anything to find.
        full = np.array([name.endswith(("-0", "-1")) for name in counts.groups])
        return replace(counts, values=np.where(full[:, None, None], counts.values, 0))

    some = write_study(tmp_path / "ten", of_moles, counts_of=mostly_empty)
    assert (answer(some, "ring", "broad")["groups"], answer(some, "ring", "broad")["left_out"]) == (10, 0)
    assert answer(some, "ring", "broad", "--view", "images")["groups"] == 10
    fewer = write_study(
        tmp_path / "four", lambda job: of_moles(job) and job.fold.index < 2, counts_of=mostly_empty
    )
    found = answer(fewer, "ring", "broad")
    assert (found["groups"], found["verdict"]) == (4, "cannot be judged")
    shown = table(made(fewer.evidence()), "intervals-moles-mdsc")
    assert all("(–)" in cell.small for row in shown.rows for cell in row.cells[2:])


def test_other_folds_and_own_protocols_are_never_compared(study: Study, tmp_path: Path) -> None:
    partial = write_study(
        tmp_path,
        lambda job: of_moles(job) and (job.model.name, job.fold.index) != ("ring", 3),
        counts_of=counts_of(),
    )
    found = made(partial.evidence())
    assert set(rows(table(found, "comparisons-moles-mdsc"))) == {("wide", "broad")}
    assert "RingNet is not compared, for it does not have the same finished folds" in text(found)
    done = call(partial, "ring", "broad", "--dataset", "moles")
    assert done.exit_code != 0 and "does not have the same finished folds" in str(done.exception)

    evidence = study.evidence()
    models = tuple(
        replace(model, track="own-protocol" if model.label == "wide" else "shared")
        for model in evidence.models
    )
    found = made(replace(evidence, models=models))
    assert set(rows(table(found, "comparisons-moles-mdsc"))) == {("ring", "broad")}
    assert "WideNeXt is not compared, for it follows a procedure of its own" in text(found)


def test_images_without_a_score_are_counted(tmp_path: Path) -> None:
    def silent(job: Job) -> Counts:
        counts = counts_of()(job)
        values = counts.values.copy()
        # Neither has a pixel: both scores are undefined. Only one predicts some: one is.
        values[0] = 0
        values[1] = [0, 500, 0] if job.model.name == "ring" else 0
        return replace(counts, values=values)

    odd = write_study(tmp_path, of_moles, counts_of=silent)
    found = made(odd.evidence(), view="images")
    (wide, ring) = (row.cells for row in table(found, "comparisons-moles-mdsc").rows)
    assert answer(odd, "wide", "broad", "--view", "images")["left_out"] == 10
    assert answer(odd, "ring", "broad", "--view", "images")["left_out"] == 10
    assert answer(odd, "ring", "broad")["left_out"] == 0
    told = rows(table(made(odd.evidence(), view="images", empty="one"), "comparisons-moles-mdsc"))
    # Being silent where nothing is scores 1 then, so that five images of 200 are lost by 1.
    dropped = rows(table(found, "comparisons-moles-mdsc"))
    means = [float(part["ring", "broad"]["difference_mean"]) for part in (dropped, told)]
    lost = means[0] - means[1]
    assert lost == pytest.approx(5 / 200, abs=0.002)
    assert wide[0].text != ring[0].text


def test_the_same_results_give_the_same_bytes(study: Study) -> None:
    one, other = (
        [to_csv(item) for item in tables_of(made(study.evidence()).blocks)] for _ in range(2)
    )  # fmt: skip
    assert one == other
    assert [to_csv(item) for item in tables_of(made(study.evidence(), samples=600).blocks)] != one


def test_repeats_have_components_of_their_own() -> None:
    field = planted_field(np.random.default_rng(1), 30, [0.0, 0.01])
    scores = {(fold, repeat): 0.8 + 0.1 * fold + 0.01 * repeat for fold in range(3) for repeat in range(2)}
    models = {label: replace(tested, folds=scores) for label, tested in field.models.items()}
    cell = intervals(replace(field, models=models), Settings(samples=100))[0]
    assert cell.components is not None
    assert cell.components.repeats == pytest.approx(0.01 / np.sqrt(2))
    assert cell.components.folds == pytest.approx(np.sqrt(0.01 - 0.01**2 / 4), rel=1e-3)
    assert intervals(field, Settings(samples=100))[0].components is None


def test_a_forest_plot_shows_interval_margin_and_words() -> None:
    shown = forest_plot("A <b>", "points", [ForestRow("<i>", 0, -1.5, -2.0, -1.0, "different")], 1.0)
    assert "<i>" not in shown and "&lt;i&gt;: -1.50, interval -2.00 to -1.00, different" in shown
    assert shown.count('class="whisker s1"') == 1 and 'class="band"' in shown
    assert "whisker" not in forest_plot("A", "points", [ForestRow("b", 0, 0.0)], 1.0)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("broad", "brod"), 1, "did you mean 'broad'?"),
        (("broad", "broad"), 2, "compared with itself"),
        (("broad", "wide", "--dataset", "mole"), 1, "did you mean 'moles'?"),
        (("broad", "wide", "--metric", "mdcs"), 1, "mdsc"),
        (("broad", "wide", "--dataset", "hearts"), 2, "no fold is finished"),
    ],
)
def test_what_cannot_be_answered_says_why(study: Study, words: tuple[str, ...], code: int, said: str) -> None:
    done = call(study, *words)
    assert getattr(done.exception, "exit_code", None) == code and said in str(done.exception)


def test_the_words_for_a_paper(study: Study) -> None:
    done = call(study, "ring", "broad")
    assert done.exit_code == 0
    start = "moles: different\n  On Moles'26 (200 test images in 100 groups), the pooled mDSC of RingNet "
    test = "BroadFormer was better (exchange test over groups, 9,999 draws: p < 0.001, Holm-corrected"
    assert start in done.output and test in done.output
    assert "hearts: not compared; ring: no fold is finished" in done.output


def test_without_scipy_the_command_names_the_extra(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("scipy", "scipy.special", "scipy.stats"):
        monkeypatch.setitem(sys.modules, name, None)
    done = call(study, "ring", "broad")
    assert isinstance(done.exception, MissingDependencyError)
    assert done.exception.fix == install_command("report")
    (note,) = made(study.evidence()).blocks
    assert isinstance(note, Callout) and note.code == install_command("report")
