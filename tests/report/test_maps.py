"""Heat maps in the report: numbers equal to a recount, layers named, and nothing hidden."""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.explained import KindNumbers, kind_numbers, map_sets, more_numbers
from bench_core.analysis.heat import read_heat
from bench_core.analysis.inference.compare import Settings
from bench_core.analysis.measured import StepTables
from bench_core.analysis.pictured import PicturedImage
from bench_core.analysis.wanted import with_maps_of
from bench_core.files.bounded import BoundError
from bench_core.metrics.map_tables import (
    INTERVENED,
    INTERVENTIONS,
    NUMBERS,
    ONE_MAP,
    RANDOMIZATION,
    read_maps,
    read_numbers,
)
from bench_core.metrics.tables import TableError
from bench_core.options import complete_options
from bench_core.report import comparing
from bench_core.report.blocks import Callout, Choice, Comparison, Details, Figure, Prose, Section, tables_of
from bench_core.report.compose import Report
from bench_core.report.delimited import to_csv
from bench_core.report.heatmap import heat_layer
from bench_core.report.page import to_html
from bench_core.report.sections import map_pictures
from bench_core.report.sections.map_pictures import comparison
from bench_core.report.sections.maps import section
from tests.helpers.chromium import CHROMIUM, MISSING, Browser
from tests.helpers.explained_study import STEP, as_read, map_rows, with_maps
from tests.helpers.fake_study import Study

SETTINGS = Settings(samples=200)
Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def evidence(study: Study) -> Evidence:
    return with_maps(study.evidence(), targets=("predicted", "truth"))


@pytest.fixture(scope="module")
def part(evidence: Evidence, study: Study) -> Section:
    options = complete_options(study.loaded.registry.analysis("grad-cam").options, {"samples": 200})
    return section(evidence, options)


def numbers(evidence: Evidence, dataset: str) -> list[KindNumbers]:
    (found,) = (item for item in map_sets(evidence) if item.dataset == dataset)
    return list(kind_numbers(evidence, found, SETTINGS))


def test_numbers_are_those_of_a_recount(evidence: Evidence) -> None:
    for row in numbers(evidence, "polyps"):
        folds = evidence.finished(STEP, row.model, "polyps")
        maps, dice, own = [], [], []
        for fold in folds:
            table = fold.tables.maps
            assert table is not None
            places = [place for place, kind in enumerate(table.kinds) if kind == row.kind]
            mine = {name: table.values[name][places] for name in NUMBERS}
            maps.append(mine)
            own.append(float(np.nanmean(mine["lift"])))
            counts = fold.counts
            column = counts.classes.index(row.kind.of_class)
            for place in places:
                hit, extra, missed = counts.values[counts.ids.index(table.images[place]), column].tolist()
                total = 2 * hit + extra + missed
                dice.append(2 * hit / total if total else math.nan)
        lift = np.concatenate([mine["lift"] for mine in maps])
        assert row.maps == len(lift)
        assert row.statuses["constant"] == int(np.isnan(lift).sum())
        assert row.numbers["lift"].value == pytest.approx(np.nanmean(lift))
        assert row.spread["lift"] == pytest.approx(np.std(own, ddof=1))
        iou = np.concatenate([mine["iou"] for mine in maps])
        known = ~(np.isnan(iou) | np.isnan(dice))
        assert row.with_dice["iou"] == pytest.approx(spearmanr(iou[known], np.array(dice)[known]).statistic)


def test_intervals_are_over_groups_and_missing_where_these_are_few(evidence: Evidence, study: Study) -> None:
    rows = numbers(evidence, "moles")
    assert all(row.groups == row.images for row in rows if row.statuses["ok"] == row.maps)
    for row in rows:
        found = row.numbers["energy"]
        if row.groups >= 10:
            assert found.interval is not None
            assert found.interval.low < found.value < found.interval.high
    few = with_maps(study.evidence(), images=1)
    assert all(row.numbers["energy"].interval is None for row in numbers(few, "moles"))


def test_layers_are_labelled_that_restate_the_prediction(part: Section, evidence: Evidence) -> None:
    table = next(table for table in tables_of(part.blocks) if table.name == f"grad-cam-{STEP}-moles-0")
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert {row["layer"] for row in rows if row["restates"] == "yes"} == {"decoder.0"}
    assert {row["layer"] for row in rows} == {"encoder.1", "encoder.3", "decoder.0"}
    assert all((float(row["logits_mean"]) > 0.9) == (row["restates"] == "yes") for row in rows)
    for row in rows:
        counts = [int(row[f"count_{key}"]) for key in ("maps", "usable", "constant", "nan", "no_pixels")]
        assert counts[0] == sum(counts[1:])
    assert any(int(row["count_constant"]) for row in rows)
    said = [block for block in _inside(part) if isinstance(block, Prose)]
    assert any("decoder.0" in text for block in said for text in block.paragraphs)


def test_each_class_target_and_dataset_has_its_table_and_sweep(part: Section) -> None:
    names = {table.name for table in tables_of(part.blocks)}
    for dataset, choices in (("moles", 2), ("polyps", 4), ("hearts", 6)):
        assert {f"grad-cam-{STEP}-{dataset}-{place}" for place in range(choices)} <= names
        assert f"grad-cam-{STEP}-{dataset}-{choices}" not in names
    figures = [block for block in _inside(part) if isinstance(block, Figure)]
    assert len(figures) == 12
    for figure in figures:
        assert len(figure.panels) == 2
        for layer in ("encoder.1", "encoder.3", "decoder.0"):
            assert all(layer in panel.svg for panel in figure.panels)


def test_maps_that_no_weight_decides_are_called_so(evidence: Evidence, study: Study, part: Section) -> None:
    def stays(tables: StepTables) -> StepTables:
        found = tables.more_maps[RANDOMIZATION]
        ones = {"similarity": np.ones_like(found.values["similarity"])}
        return replace(tables, more_maps={**tables.more_maps, RANDOMIZATION: replace(found, values=ones)})

    options = complete_options(study.loaded.registry.analysis("grad-cam").options, {"samples": 200})
    assert not [block for block in _inside(part) if isinstance(block, Callout)]
    cells = {
        key: replace(
            cell,
            steps={
                STEP: tuple(replace(done, tables=stays(done.tables)) for done in cell.steps[STEP])
                if key == ("ring", "moles")
                else cell.steps[STEP]
            },
        )
        for key, cell in evidence.cells.items()
    }
    (warning,) = (
        block
        for block in _inside(section(replace(evidence, cells=cells), options))
        if isinstance(block, Callout)
    )
    assert any("RingNet, encoder.1" in item for item in warning.items)
    assert len(warning.items) == 6


def test_further_tables_keep_imputers_and_steps_apart(evidence: Evidence) -> None:
    found = map_sets(evidence)[0]
    rows = more_numbers(evidence, found, INTERVENTIONS, SETTINGS)
    assert {row.more for row in rows} == {("blur",), ("mean",)}
    first = rows[0]
    table = evidence.finished(STEP, first.model, found.dataset)
    values = np.concatenate(
        [
            done.tables.more_maps[INTERVENTIONS].values["leakage"][
                done.tables.more_maps[INTERVENTIONS].where(replace(first.kind, of_class="lesion"), first.more)
            ]
            for done in table
        ]
    )
    assert first.numbers["leakage"].value == pytest.approx(values.mean())
    steps = more_numbers(evidence, found, RANDOMIZATION, SETTINGS)
    assert {row.more for row in steps} == {("1", "2"), ("2", "2")}


@pytest.fixture(scope="module")
def pictured(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Section:
    layers = {"broad": ("encoder.1", "encoder.3", "decoder.0", "fuse")}
    evidence = with_maps(
        study.evidence(), layers=layers, more=False, heat=tmp_path_factory.mktemp("heat"), targets=("truth",)
    )
    options = complete_options(study.loaded.registry.analysis("grad-cam").options, {"samples": 200})
    return section(evidence, options)


def shown(part: Section) -> Comparison:
    (found,) = (block for block in _inside(part) if isinstance(block, Comparison))
    return found


def test_each_picture_names_its_layer_and_all_models_share_the_images(pictured: Section) -> None:
    found = shown(pictured)
    assert len({(row.facets["dataset"], row.facets["class"]) for row in found.rows}) == 6
    assert {row.facets["images"] for row in found.rows} == {STEP}
    for row in found.rows:
        assert [view.label for view in row.views[:2]] == ["image", "ground truth"]
        maps = [view for view in row.views if "layer" in view.facets]
        assert {view.facets["model"] for view in maps} == {"BroadFormer", "WideNeXt", "RingNet"}
        for view in maps:
            assert view.detail.split(",")[0] in ("encoder.1", "encoder.3", "decoder.0", "fuse")
            assert view.detail.split(",")[0] in view.alt
            assert bool(view.fill) != ("one value everywhere" in view.detail)
    first = found.rows[0]
    usual = [view for view in first.views if view.facets.get("layer") == found.filters["layer"]]
    assert {view.facets["model"] for view in usual} == {"BroadFormer", "WideNeXt", "RingNet"}


@pytest.mark.parametrize(
    ("given", "rows"), [({"pictures": 0}, 0), ({"megabytes": 0}, 0), ({"pictures": 1}, 6)]
)
def test_pictures_are_as_many_as_asked_for(
    study: Study, tmp_path: Path, given: dict[str, int], rows: int
) -> None:
    evidence = with_maps(study.evidence(), images=2, more=False, heat=tmp_path)
    options = complete_options(study.loaded.registry.analysis("grad-cam").options, {"samples": 200, **given})
    found = [block for block in _inside(section(evidence, options)) if isinstance(block, Comparison)]
    assert sum(len(block.rows) for block in found) == rows


def test_pictures_keep_within_their_room_and_no_class_is_left_out_for_another(
    study: Study, tmp_path: Path
) -> None:
    evidence = with_maps(study.evidence(), images=3, more=False, heat=tmp_path)
    sets = map_sets(evidence)
    whole = comparison(evidence, sets, 3, 10**9)
    assert whole is not None
    sizes = sum(map(comparing.size, whole.rows))
    half = comparison(evidence, sets, 3, sizes // 2)
    assert half is not None
    assert sum(map(comparing.size, half.rows)) <= sizes // 2
    assert {tuple(row.facets.values()) for row in half.rows} == {
        tuple(row.facets.values()) for row in whole.rows
    }
    assert comparison(evidence, sets, 3, 10) is None


def test_a_damaged_file_of_maps_costs_its_pictures_alone(study: Study, tmp_path: Path) -> None:
    evidence = with_maps(study.evidence(), images=2, more=False, heat=tmp_path)
    for path in tmp_path.glob("*/maps-0.npz"):
        path.write_bytes(path.read_bytes()[:200])
    options = complete_options(study.loaded.registry.analysis("grad-cam").options, {"samples": 200})
    part = section(evidence, options)
    assert tables_of(part.blocks)
    fills = [
        view.fill
        for block in _inside(part)
        if isinstance(block, Comparison)
        for row in block.rows
        for view in row.views
        if "layer" in view.facets
    ]
    assert not any(fills)


@pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
def test_the_reader_chooses_what_is_shown_and_the_address_keeps_it(
    pictured: Section, report: Report, chromium: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    path.write_text(to_html(replace(report, sections=(pictured,))), encoding="utf-8")
    seen = (
        "[...document.querySelectorAll('#comparison-maps .view')].filter((view) => view.offsetParent)"
        ".map((view) => [view.closest('.compared').querySelector('h4').textContent, view.innerText])"
    )
    choose = (
        "(() => { const box = [...document.querySelectorAll('#comparison-maps label.control')]"
        ".find((item) => item.textContent.startsWith('%s')).querySelector('select'); box.value = '%s'; "
        "box.dispatchEvent(new Event('change')); return [...box.options].map((item) => item.value); })()"
    )
    chromium.screen(1200)
    chromium.open(path.as_uri())
    usual = chromium.run(seen)
    assert {title.split(":")[0] for title, _ in usual} == {"Moles'26"}
    assert {text.split(",")[0].split()[-1] for _, text in usual if "grad-cam" in text} == {"encoder.3"}
    assert "" in chromium.run(choose % ("Dataset", "Hearts"))
    hearts = chromium.run(seen)
    assert {title.split(":")[0] for title, _ in hearts} == {"Hearts"}
    assert len({title.split(" ")[1] for title, _ in hearts}) == 1
    chromium.run(choose % ("Model", "RingNet"))
    chromium.run(choose % ("Layer", ""))
    one = chromium.run(seen)
    assert {text.split()[0] for _, text in one} == {"image", "ground", "RingNet"}
    assert {"encoder.1", "encoder.3", "decoder.0"} <= {
        text.split(",")[0].split()[-1] for _, text in one if "grad-cam" in text
    }
    shared = (
        "[...document.querySelectorAll('#comparison-maps .view:not([hidden]) use.outline')]"
        ".filter((one) => one.closest('.compared').offsetParent)"
        ".map((one) => one.getBoundingClientRect().width)"
    )
    widths = chromium.run(shared)
    assert widths and min(widths) > 50, "an outline is drawn where it is held elsewhere"
    address = chromium.run("location.href")
    chromium.open("about:blank")
    chromium.open(address)
    assert chromium.run(seen) == one


def test_without_a_script_one_layer_of_one_class_is_shown(pictured: Section, report: Report) -> None:
    page = to_html(replace(report, sections=(pictured,)))
    found = shown(pictured)
    assert found.filters["layer"]
    rows = page.split('<div class="compared"')[1:]
    assert sum(not row.split(">")[0].endswith("hidden") for row in rows) == sum(
        all(row.facets[name] == found.filters[name] for name in row.facets) for row in found.rows
    )


def test_maps_are_read_by_their_rows_and_within_bounds(tmp_path: Path) -> None:
    maps = {row: np.full((row + 1, 3), row, dtype=np.uint8) for row in (0, 2, 5)}
    files = [tmp_path / "maps-0.npz", tmp_path / "maps-1.npz"]
    np.savez(files[0], **{str(row): maps[row] for row in (0, 2)})
    np.savez(files[1], **{str(row): maps[row] for row in (5,)})
    read = dict(read_heat(files, (2, 5, 9)))
    assert sorted(read) == [2, 5]
    assert all(np.array_equal(read[row], maps[row]) for row in read)
    for strange in (
        np.zeros((0, 3), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((2, 2)),
        np.zeros((1, 5000), np.uint8),
    ):
        np.savez(files[0], **{"2": strange})
        with pytest.raises(BoundError):
            dict(read_heat(files, (2,)))
    files[1].write_bytes(files[1].read_bytes()[:-40])
    with pytest.raises(BoundError):
        dict(read_heat(files[1:], (5,)))


def test_colors_rise_with_the_map_and_a_silent_map_is_clear() -> None:
    ramp = heat_layer(np.linspace(0, 3, 40)[None, :])
    light = ramp[0].astype(float) @ np.array([0.2126, 0.7152, 0.0722, 0])
    assert (np.diff(light) >= 0).all()
    assert (np.diff(ramp[0, :, 3].astype(int)) >= 0).all()
    assert not heat_layer(np.zeros((3, 3))).any()
    assert not heat_layer(np.full((3, 3), np.nan)).any()
    assert heat_layer(np.random.default_rng(0).random((300, 300))).shape[0] <= 64


def test_steps_of_shuffling_stand_side_by_side_and_imputers_below_each_other(
    part: Section, evidence: Evidence
) -> None:
    found = {table.name: table for table in tables_of(part.blocks)}
    shuffled = list(csv.DictReader(io.StringIO(to_csv(found[f"grad-cam-{STEP}-polyps-{RANDOMIZATION}-0"]))))
    assert len(shuffled) == 9
    assert {row["unchanged"] for row in shuffled} == {"no"}
    replaced = list(csv.DictReader(io.StringIO(to_csv(found[f"grad-cam-{STEP}-polyps-{INTERVENTIONS}-1"]))))
    assert Counter(row["imputer"] for row in replaced) == {"blur": 9, "mean": 9}
    sets = next(item for item in map_sets(evidence) if item.dataset == "polyps")
    for rows, record, column, name in (
        (shuffled, RANDOMIZATION, "step2_mean", "similarity"),
        (replaced[1::2], INTERVENTIONS, "leakage_mean", "leakage"),
    ):
        target = "predicted" if record == RANDOMIZATION else "truth"
        wanted = [
            row
            for row in more_numbers(evidence, sets, record, SETTINGS)
            if row.kind.target == target and row.more in (("2", "2"), ("mean",))
        ]
        assert [float(row[column]) for row in rows] == pytest.approx(
            [row.numbers[name].value for row in wanted]
        )


def test_a_study_without_such_a_step_has_no_part(study: Study) -> None:
    options = complete_options(study.loaded.registry.analysis("grad-cam").options, {})
    assert section(study.evidence(), options).blocks == ()


def _edit(**changes: str) -> Callable[[Rows], None]:
    return lambda rows: rows[0].update(changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_edit(image="another"), "not among those"),
        (_edit(**{"class": "another"}), "not among those"),
        (_edit(status="fine"), "status 'fine'"),
        (_edit(status="constant"), "has numbers"),
        (_edit(energy="1.5"), "not possible"),
        (_edit(lift="-1"), "not possible"),
        (_edit(logits="2"), "not possible"),
        (_edit(lift="inf"), "not possible"),
        (_edit(iou="much"), "not a number"),
        (_edit(depth="nan"), "not possible"),
        (_edit(stride="1e300"), "not possible"),
        (lambda rows: rows.append(dict(rows[0])), "twice"),
        (lambda rows: rows[0].pop("auprc"), "columns"),
    ],
)
def test_a_table_that_is_not_what_it_says_is_refused(
    study: Study, change: Callable[[Rows], None], message: str
) -> None:
    counts = study.evidence().folds[0].counts
    rows = as_read(map_rows(counts, 2, ("stem", "out"), ("grad-cam",), ("truth",), "seed"))
    rows = [row for row in rows if row["status"] == "ok"]
    read_maps(rows, counts.ids, counts.classes)
    change(rows)
    with pytest.raises(TableError, match=message):
        read_maps(rows, counts.ids, counts.classes)


def test_interventions_may_gain_as_well_as_lose(study: Study) -> None:
    counts = study.evidence().folds[0].counts
    row = {
        **dict(
            zip(
                ONE_MAP[:-1],
                (counts.ids[0], counts.classes[0], "truth", "stem", 0, 2, "grad-cam"),
                strict=True,
            )
        ),
        "imputer": "blur",
        **dict.fromkeys(INTERVENED, -1.5),
    }
    found = read_numbers(as_read([row]), counts.ids, counts.classes, ("imputer",), INTERVENED)
    assert found.values["leakage"].tolist() == [-1.5]


def _inside(part: Section) -> list[object]:
    found: list[object] = []

    def walk(blocks: tuple[object, ...]) -> None:
        for block in blocks:
            found.append(block)
            if isinstance(block, Details):
                walk(block.blocks)
            if isinstance(block, Choice):
                for _, inner in block.options:
                    walk(inner)

    walk(part.blocks)
    return found


def test_label_maps_are_read_of_images_that_are_shown_alone_and_once(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence = with_maps(study.evidence(), images=6, more=False, heat=tmp_path)
    asked: list[tuple[str, set[str]]] = []

    def noted(*arguments: Any) -> dict[str, PicturedImage]:
        _, dataset, images, _ = arguments
        asked.append((dataset, set(images)))
        return with_maps_of(*arguments)

    monkeypatch.setattr(map_pictures, "with_maps_of", noted)
    found = comparison(evidence, map_sets(evidence), 1, 10**9)
    assert found is not None
    assert len(asked) == len({dataset for dataset, _ in asked}) == len(evidence.datasets)
    shown = {(row.title.split(":")[0], row.detail.split(",")[0]) for row in found.rows}
    titles = {data.label: data.title for data in evidence.datasets}
    assert {(titles[dataset], image) for dataset, images in asked for image in images} == shown


def test_equal_outlines_are_in_the_page_once(pictured: Section, report: Report) -> None:
    found = shown(pictured)
    page = to_html(replace(report, sections=(pictured,)))
    for row, text in zip(found.rows, page.split('<div class="compared"')[1:], strict=True):
        outlines = [view.outline for view in row.views if view.outline]
        assert len(set(outlines)) < len(outlines), "each model has several layers"
        fills = [view.fill for view in row.views]
        assert all(text.count(f'"{each}"') - fills.count(each) == 1 for each in set(outlines))
        assert text.count('class="outline"') == len(outlines)
        links = re.findall(r'<use class="outline" href="#([^"]+)"', text)
        assert links and all(text.count(f'id="{link}"') == 1 for link in links)
    whole = sum(len(view.fill) for row in found.rows for view in row.views)
    whole += sum(len(outline) for row in found.rows for outline in {view.outline for view in row.views})
    assert sum(map(comparing.size, found.rows)) == whole + sum(len(row.photo) for row in found.rows)
