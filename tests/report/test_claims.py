"""Pools, tracks, families, published scores and claims in a report: planted truths get their words."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.expected import prediction
from bench_core.analysis.pools import narrowed
from bench_core.cli.main import bench
from bench_core.options import complete_options
from bench_core.plan.job import Job
from bench_core.plugins.wiring import load_registry
from bench_core.records import Counts
from bench_core.report.blocks import Callout, Prose, Section, tables_of
from bench_core.report.delimited import to_csv
from bench_core.report.sections import claims, comparisons, expected, families, ranks, summary
from bench_core.report.tables import Table
from tests.helpers.fake_study import PLUGIN, Study, write_study
from tests.report.test_comparisons import counts_of
from tests.report.test_direction import ERROR

GAINS = {"broad": 0.0, "wide": -0.0005, "ring": -0.02, "loop": -0.03}
"""True gains; on polyps both SMAs are three more points behind."""
FOUR = PLUGIN.replace('        net("ring"', '        net("loop", "SMA", "LoopNet"),\n        net("ring"')
MORE = """\
pools:
  gp: {family: GP-VM}
  small: {parameters: {below: 40e6}}
  large: {parameters: {least: 40e6}}
  pair: [wide, ring]
expected:
  - source: a paper
    scores:
      broad: {moles: {mean: 85.0, std: 0.3}, polyps: {mean: 60.0, std: 0.3}}
      ring: {moles: {mean: 83.0}}
  - {source: a paper, class: wall, scores: {wide: {hearts: {mean: 85.0, std: 1.0}}}}
claims:
  - {name: most, says: GP-VMs beat most SMAs., source: a paper, models: GP-VM, than: SMA, than_share: most}
  - {name: reversed, models: SMA, than: gp, share: some}
  - {name: by-much, models: broad, than: SMA, margin: 2.5, datasets: [moles]}
  - {name: by-more, models: broad, than: [ring], margin: 2.05, datasets: [moles]}
  - {claim: best, name: best, model: broad, across: average}
  - {claim: best, name: ring-best, model: ring, than: pair}
  - {claim: equivalent, name: alike, models: gp, margin: 1}
  - {claim: equivalent, name: unlike, models: all, margin: 1, across: some}
  - {claim: largest, name: gap, models: GP-VM, than: SMA, dataset: polyps}
  - {claim: largest, name: no-gap, models: GP-VM, than: SMA, dataset: moles}
  - {claim: average, name: family, models: GP-VM, than: SMA, across: average}
"""
WORDS = {
    "most": "supported",
    "reversed": "contradicted",
    "by-much": "contradicted",
    "by-more": "not decided",
    "best": "supported",
    "ring-best": "contradicted",
    "alike": "supported",
    "unlike": "contradicted",
    "gap": "supported",
    "no-gap": "contradicted",
    "family": "not decided",
}
"""Two and two models: no deal of their labels can come below 5 %."""
PLAIN = counts_of(GAINS, groups=10, images=10)


def counts(job: Job) -> Counts:
    if job.dataset.name == "polyps" and job.model.name in ("ring", "loop"):
        low = counts_of({**GAINS, "ring": -0.05, "loop": -0.06}, groups=10, images=10)
        return low(job)
    return PLAIN(job)


def evaluated(job: Job) -> bool:
    return job.stage == "evaluate"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("study")
    models = "[broad, wide, ring, loop]"
    return write_study(folder, evaluated, counts_of=counts, models=models, plugin=ERROR + FOUR, more=MORE)


def made(part: Any, evidence: Evidence, **options: Any) -> Section:
    name = part.__name__.rpartition(".")[2]
    declared = load_registry().analysis(name).options
    given = {**({"samples": 400} if "samples" in declared else {}), **options}
    found: Section = part.section(evidence, complete_options(declared, given))
    return found


def table(found: Section, name: str) -> Table:
    return next(item for item in tables_of(found.blocks) if item.name == name)


def rows(found: Section, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(table(found, name)))))


def text(found: Section) -> str:
    return " ".join(part for block in found.blocks if isinstance(block, Prose) for part in block.paragraphs)


def test_planted_truths_get_their_words(study: Study) -> None:
    found = made(claims, study.evidence())
    shown = {row["claim"]: row for row in rows(found, "claims")}
    assert {name: row["verdict"] for name, row in shown.items()} == WORDS
    assert "Of 11 claims: 4 supported, 5 contradicted and 2 not decided." in text(found)
    most = shown["most"]
    assert (most["claim_says"], most["claim_source"]) == ("GP-VMs beat most SMAs.", "a paper")
    assert most["checked_as"] == (
        "every model of GP-VM is better than most of SMA, on every dataset, in pooled mDSC"
    )
    assert int(most["comparisons_supported"]) == 12
    ground = [row for row in rows(found, "claims-evidence") if row["group"] == "most"]
    assert len(ground) == 12
    # Of two SMAs most are both: the largest p-value of all pairs decides.
    assert float(most["p_for"]) == max(float(row["p_for"]) for row in ground)


def test_an_error_rate_gets_the_same_verdicts(study: Study) -> None:
    evidence = study.evidence()
    turned = tuple(item.model_copy(update={"metric": "merror"}) for item in evidence.spec.claims)
    spec = evidence.spec.model_copy(update={"claims": list(turned)})
    shown = {row["claim"]: row for row in rows(made(claims, replace(evidence, spec=spec)), "claims")}
    assert {name: row["verdict"] for name, row in shown.items()} == WORDS
    plain = {row["claim"]: row for row in rows(made(claims, evidence), "claims")}
    for name, row in shown.items():
        for key in ("p_for", "p_against"):
            assert float(row[key]) == pytest.approx(float(plain[name][key]), abs=1e-9)


def test_what_is_missing_decides_nothing_but_cannot_save_a_false_claim(tmp_path: Path) -> None:
    lacking = write_study(
        tmp_path,
        lambda job: evaluated(job) and (job.model.name, job.dataset.name) != ("loop", "hearts"),
        counts_of=counts,
        models="[broad, wide, ring, loop]",
        plugin=FOUR,
        more=MORE,
    )
    found = made(claims, lacking.evidence())
    shown = {row["claim"]: row for row in rows(found, "claims")}
    # Most of two are both, and one of them is missing on a dataset.
    assert (shown["most"]["verdict"], shown["most"]["comparisons_missing"]) == ("not decided", "2")
    assert (shown["gap"]["verdict"], shown["no-gap"]["verdict"]) == ("not decided", "contradicted")
    assert shown["ring-best"]["verdict"] == "contradicted"
    said = [
        row["by_itself_missing"] for row in rows(found, "claims-evidence") if row["by_itself"] == "missing"
    ]
    assert said and all("loop: no fold is finished" in item for item in said)


def test_the_command_has_the_verdicts_and_its_exit_code_does_not_depend_on_them(study: Study) -> None:
    path, store = str(study.loaded.path), str(study.store.path)
    out = str(study.loaded.base / "out")
    words = ["report", path, "--store", store, "--out", out, "--format", "csv"]
    done = CliRunner().invoke(bench, [*words, "--json"])
    assert done.exit_code == 0, done.output
    found = {item["claim"]: item for item in json.loads(done.stdout)["claims"]}
    assert {name: item["verdict"] for name, item in found.items()} == WORDS
    assert found["alike"]["comparisons"] == {
        "supported": 3, "contradicted": 0, "not decided": 0, "missing": 0,
    }  # fmt: skip
    shown = CliRunner().invoke(bench, words)
    assert (shown.exit_code, "claim reversed: contradicted" in shown.output) == (0, True)
    text = (Path(out) / "tables" / "claims.csv").read_text()
    assert len(list(csv.DictReader(io.StringIO(text)))) == len(WORDS)


def test_each_pool_is_computed_and_no_filter_of_another(study: Study) -> None:
    evidence = study.evidence()
    found = made(ranks, evidence)
    shown = {row["model"]: row for row in rows(found, "pools-mdsc")}
    assert [shown["ring"][f"pool{place}_{name}_rank"] for place, name in enumerate(("all", "gp"))] == [
        "3.0",
        "",
    ]
    assert [shown[label]["pool2_small_rank"] for label in ("ring", "loop", "broad")] == ["1.0", "2.0", ""]
    assert [shown[label]["pool4_pair_rank"] for label in ("wide", "ring")] == ["1.0", "2.0"]
    for place, name in enumerate(("all", "gp", "small", "large", "pair")):
        chances = [float(row[f"pool{place}_{name}_first"] or 0) for row in shown.values()]
        assert sum(chances) == pytest.approx(1)
    caption = table(found, "pools-mdsc").caption
    assert "small: fewer than 40M parameters, 2 models." in caption

    pair = made(comparisons, evidence, pool="pair")
    (row,) = rows(pair, "comparisons-pair-moles-mdsc")
    whole = next(
        item for item in rows(made(comparisons, evidence), "comparisons-moles-mdsc")
        if (item["model"], item["model_reference"]) == ("ring", "broad")
    )  # fmt: skip
    # One pair is corrected for no other, all four models for six.
    assert row["p_holm"] == row["p_raw"] and float(whole["p_holm"]) > float(whole["p_raw"])
    assert "corrected for 1 pair of models" in table(pair, "comparisons-pair-moles-mdsc").caption
    assert (
        "Pool pair: Moles'26: in pooled mDSC, WideNeXt, the leader of the table of these models, is"
        in text(pair)
    )
    alone = replace(evidence, models=evidence.models[1:3])
    assert rows(made(comparisons, alone), "comparisons-moles-mdsc") == rows(
        pair, "comparisons-pair-moles-mdsc"
    )


def test_a_pool_has_the_folds_that_its_models_share(tmp_path: Path) -> None:
    partial = write_study(
        tmp_path,
        lambda job: (
            job.stage == "evaluate"
            and job.dataset.name == "moles"
            and (job.fold.index < 2 or job.model.name in ("broad", "wide"))
        ),
        counts_of=counts,
        models="[broad, wide, ring, loop]",
        plugin=FOUR,
        more="pools: {sma: {family: SMA}}\n",
    )
    evidence = partial.evidence()
    assert {row["model"] for row in rows(made(ranks, evidence), "ranks-mdsc")} == {"broad", "wide"}
    assert {row["model"] for row in rows(made(ranks, evidence, pool="sma"), "ranks-sma-mdsc")} == {
        "ring",
        "loop",
    }
    shown = {row["model"]: row for row in rows(made(ranks, evidence), "pools-mdsc")}
    assert (shown["ring"]["pool0_all_rank"], shown["ring"]["pool1_sma_rank"]) == ("", "1.0")
    assert narrowed(evidence, ("ring", "loop")) is narrowed(evidence, ("loop", "ring"))


def test_a_model_without_results_is_in_no_pool_of_parameters_yet(tmp_path: Path) -> None:
    some = write_study(
        tmp_path,
        lambda job: evaluated(job) and job.model.name != "loop",
        counts_of=counts,
        models="[broad, wide, ring, loop]",
        plugin=FOUR,
        more=MORE + "  - {claim: best, name: of-small, model: ring, than: small}\n",
    )
    found = made(ranks, some.evidence())
    assert (
        "Not in it, for no result tells the number of parameters: LoopNet."
        in table(found, "pools-mdsc").caption
    )
    shown = {row["claim"]: row for row in rows(made(claims, some.evidence()), "claims")}
    assert shown["of-small"]["verdict"] == "not decided"
    assert shown["of-small"]["comparisons_reason"] == "no result tells yet how many parameters loop has"


def test_missing_cells_have_no_rank_unless_asked_and_are_marked(tmp_path: Path) -> None:
    lacking = write_study(
        tmp_path,
        lambda job: evaluated(job) and (job.model.name, job.dataset.name) != ("broad", "hearts"),
        counts_of=counts,
        models="[broad, wide, ring, loop]",
        plugin=FOUR,
        more="pools: {gp: {family: GP-VM}}\n",
    )
    evidence = lacking.evidence()
    plain = {row["model"]: row for row in rows(made(ranks, evidence), "ranks-mdsc")}
    assert plain["broad"]["by_rank_rank"] == ""
    found = made(ranks, evidence, impute="worst")
    shown = {row["model"]: row for row in rows(found, "ranks-mdsc")}
    # First or second twice, and behind all four on the third.
    assert float(shown["broad"]["by_rank_mean"]) == pytest.approx(
        (float(shown["broad"]["moles_rank"]) + float(shown["broad"]["polyps_rank"]) + 4) / 3
    )
    worst = min(float(plain[label]["hearts_score"]) for label in ("wide", "ring", "loop"))
    scores = [float(shown["broad"][f"{name}_score"]) for name in ("moles", "polyps")]
    assert float(shown["broad"]["by_score_mean"]) == pytest.approx((sum(scores) + worst) / 3)
    assert shown["loop"]["hearts_rank"] == plain["loop"]["hearts_rank"] == "3.0"
    marked = {
        (row.cells[0].values[0], place): cell.notes
        for row in table(found, "ranks-mdsc").rows
        for place, cell in enumerate(row.cells)
        if "†" in cell.notes
    }
    assert set(marked) == {("broad", place) for place in (3, 4, 5)}
    assert any(
        mark == "†" and "counted there as the worst" in said
        for mark, said in table(found, "ranks-mdsc").notes
    )
    assert "Counted as the worst where it has no result (†): BroadFormer (lacks Hearts)." in text(found)
    assert (
        "†"
        in table(found, "pools-mdsc").rows[0].cells[1].text + table(found, "pools-mdsc").rows[1].cells[1].text
    )
    for name in ("rank-without-mdsc", "pools-mdsc"):
        assert "†" in table(found, name).caption


def test_tracks_rank_and_mark_their_own_models(study: Study) -> None:
    evidence = study.evidence()
    tracks = {"broad": "zero-shot/oracle", "wide": "shared", "ring": "shared", "loop": "zero-shot/oracle"}
    models = tuple(replace(model, track=tracks[model.label]) for model in evidence.models)
    split = replace(evidence, models=models)
    found = made(ranks, split)
    assert [row["model"] for row in rows(found, "ranks-mdsc")] == ["wide", "ring"]
    assert [row["model"] for row in rows(found, "ranks-zero-shot-oracle-mdsc")] == ["broad", "loop"]
    assert [row["pool0_all_rank"] for row in rows(found, "pools-mdsc")] == ["1.0", "2.0", "1.0", "2.0"]
    own = rows(made(comparisons, split), "comparisons-zero-shot-oracle-moles-mdsc")
    assert [(row["model"], row["model_reference"]) for row in own] == [("loop", "broad")]
    shown = table(made(summary, split), "study-mdsc")
    order = [row.cells[0].values[0] for row in shown.rows]
    assert order == ["wide", "ring", "broad", "loop"]
    groups = [row.group for row in shown.rows]
    assert groups[0] == "GP-VM · shared protocol" and groups[-1] == "SMA · zero-shot/oracle"
    marks = {
        row.cells[0].values[0]: {mark for cell in row.cells for mark in cell.marks} for row in shown.rows
    }
    assert marks["broad"] == marks["loop"] == set() and "best" in marks["wide"]
    assert "prompts that come from the truth" in shown.caption
    answered = {row["claim"]: row for row in rows(made(claims, split), "claims")}
    # Only wide against ring is of one track; three more pairs on each of three datasets are missing.
    assert (answered["most"]["comparisons_missing"], answered["most"]["verdict"]) == ("6", "not decided")
    assert answered["family"]["verdict"] == "not decided"
    why = {row["by_itself_missing"] for row in rows(made(claims, split), "claims-evidence")}
    assert "broad is in track zero-shot/oracle, ring in track shared" in why


def test_a_track_is_ranked_over_the_folds_that_its_own_models_share(tmp_path: Path) -> None:
    partial = write_study(
        tmp_path,
        lambda job: (
            job.stage == "evaluate"
            and job.dataset.name == "moles"
            and (job.fold.index < 3 or job.model.name in ("broad", "wide"))
        ),
        counts_of=counts,
        models="[broad, wide, ring, loop]",
        plugin=FOUR,
    )
    evidence = partial.evidence()
    tracks = {"broad": "shared", "wide": "shared", "ring": "zero-shot/auto", "loop": "zero-shot/auto"}
    models = tuple(replace(model, track=tracks[model.label]) for model in evidence.models)
    shown = table(made(summary, replace(evidence, models=models)), "study-mdsc")
    marks = {row.cells[0].values[0]: row.cells[2].marks for row in shown.rows}
    assert marks["ring"] == marks["broad"] == {"best", "family"} or marks["ring"] == {"best"}
    assert marks["loop"] == frozenset()
    found = made(ranks, replace(evidence, models=models))
    assert [row["moles_rank"] for row in rows(found, "ranks-zero-shot-auto-mdsc")] == ["1.0", "2.0"]


def test_families_are_dealt_anew(study: Study) -> None:
    found = made(families, study.evidence())
    shown = {row["dataset"]: row for row in rows(found, "families-mdsc")}
    assert set(shown) == {"moles", "polyps", "hearts", ""}
    for row in shown.values():
        # Two and two: of six deals the observed one and its mirror image are as far apart.
        assert float(row["p_dealt"]) == pytest.approx(2 / 6) and row["p_dealt_deals"] == "6"
        assert float(row["p_raw"]) == max(float(row["p_dealt"]), float(row["p_unequal"]))
        assert float(row["difference_low"]) < float(row["difference_mean"]) < float(row["difference_high"])
    assert float(shown["polyps"]["difference_mean"]) == pytest.approx(0.055, abs=0.01)
    assert "so few models cannot show whether GP-VM is better than SMA" in text(found)
    gp = made(families, study.evidence(), pool="gp")
    assert gp.blocks == ()


def test_theirs_are_held_against_a_prediction_interval(study: Study) -> None:
    found = made(expected, study.evidence())
    shown = {row["model"]: row for row in rows(found, "expected-mdsc")}
    broad = shown["broad"]
    assert (broad["moles_theirs"], broad["moles_within"]) == ("0.85", "yes")
    assert (broad["polyps_theirs"], broad["polyps_within"]) == ("0.6", "no")
    mean, std = float(broad["moles_ours"]), float(broad["moles_ours_std"])
    ends = prediction(mean, std, 5, 5)
    assert (float(broad["moles_low"]), float(broad["moles_high"])) == (ends.low, ends.high)
    assert float(broad["moles_difference"]) == pytest.approx(mean - 0.85)
    assert shown["ring"]["polyps_theirs"] == ""
    assert "2 of 3 published scores lie within our intervals" in text(found)
    (wall,) = rows(found, "expected-mdsc-class")
    assert (wall["model"], wall["hearts_theirs"]) == ("wide", "0.85")
    assert "DSC of wall" in table(found, "expected-mdsc-class").title


def test_a_spec_without_them_has_no_such_parts(tmp_path: Path) -> None:
    plain = write_study(
        tmp_path, lambda job: evaluated(job) and job.dataset.name == "moles", counts_of=counts_of()
    )
    for part in (claims, expected):
        assert made(part, plain.evidence()).blocks == ()
    assert not any(item.name.startswith("pools") for item in tables_of(made(ranks, plain.evidence()).blocks))


def test_without_scipy_the_parts_say_so(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    for part in (claims, expected, families):
        (block,) = made(part, study.evidence()).blocks
        assert isinstance(block, Callout) and re.search("scipy", block.text)
