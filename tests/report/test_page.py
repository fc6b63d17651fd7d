"""The page: numbers, form, safety, stability and size, as a reader or a browser would meet them."""

from __future__ import annotations

import csv
import io
import re
import statistics
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from bench_core.errors import MissingDependencyError
from bench_core.install import install_command
from bench_core.plan.job import Job
from bench_core.report.blocks import Section
from bench_core.report.compose import Report, compose
from bench_core.report.delimited import to_csv
from bench_core.report.latex.render import to_latex
from bench_core.report.markdown import to_markdown
from bench_core.report.page import to_html
from bench_core.store.result import Result
from tests.helpers.fake_study import PLUGIN, Study, oracle_micro, with_provenance, write_study
from tests.helpers.page import Page


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return write_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def report(study: Study) -> Report:
    return report_of(study)


@pytest.fixture(scope="module")
def html(report: Report) -> str:
    return to_html(report)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def report_of(study: Study) -> Report:
    return compose(study.evidence(), study.loaded.registry)


def expected(study: Study, metric: str) -> dict[str, dict[str, tuple[float, float]]]:
    """Return mean and std by model title and dataset, recounted from the store without the analysis room."""
    titles = {"broad": "BroadFormer", "wide": "WideNeXt", "ring": "RingNet"}
    values: dict[str, dict[str, list[float]]] = {}
    for job in study.plan.jobs:
        if job.stage == "evaluate":
            cell = values.setdefault(titles[job.model.label], {}).setdefault(job.dataset.label, [])
            cell.append(oracle_micro(study.store.counts(job.digest))[metric])
    return {
        model: {name: (statistics.mean(cell), statistics.stdev(cell)) for name, cell in cells.items()}
        for model, cells in values.items()
    }


@pytest.mark.parametrize("metric", ["mdsc", "miou", "mrecall", "mprecision"])
def test_every_format_prints_the_recount(study: Study, report: Report, page: Page, metric: str) -> None:
    table = next(item for item in report.tables if item.name == f"study-{metric}")
    texts = {"markdown": to_markdown(table), "latex": to_latex(table)}
    rows = {re.sub(r"[ab]$", "", row[0]): row for row in page.tables[table.name] if len(row) > 1}
    numbers = {row["model"]: row for row in csv.DictReader(io.StringIO(to_csv(table)))}
    labels = {"BroadFormer": "broad", "WideNeXt": "wide", "RingNet": "ring"}
    for model, cells in expected(study, metric).items():
        average = statistics.mean(mean for mean, _ in cells.values())
        for position, (dataset, (mean, std)) in enumerate(cells.items()):
            shown = f"{100 * mean:.1f} ± {100 * std:.1f}"
            assert rows[model][2 + position].removeprefix("★ ") == shown
            line = next(line for line in texts["markdown"].splitlines() if model in line)
            assert re.search(rf"{100 * mean:.1f}(\*\*)?( ★)? ± {100 * std:.1f} ", line)
            line = next(line for line in texts["latex"].splitlines() if model in line)
            aligned = r"\}? & (\\makebox\[5pt\]\[l\]\{(\$\^\\star\$)?\})?\$\\pm\$ "
            assert re.search(rf"{100 * mean:.1f}{aligned}{100 * std:.1f} ", line)
            assert float(numbers[labels[model]][f"{dataset}_mean"]) == pytest.approx(mean, abs=1e-15)
            assert float(numbers[labels[model]][f"{dataset}_std"]) == pytest.approx(std, abs=1e-15)
        assert rows[model][5].removeprefix("★ ") == f"{100 * average:.1f}"


def test_the_leader_is_bold_and_starred(study: Study, html: str) -> None:
    best = max(expected(study, "mdsc").values(), key=lambda cells: cells["moles"][0])
    mean = f"{100 * best['moles'][0]:.1f}"
    assert f'<span class="star" title="best of all">★</span> <strong>{mean}</strong>' in html


def test_deviations_and_notes_are_footnotes_wherever_numbers_are(report: Report, page: Page) -> None:
    for table in report.tables:
        if table.name.startswith(("study-", "classes-", "folds")):
            assert [text for _, text in table.notes] == [
                "precision: fp32 instead of fp16, because a product overflows in fp16",
                "one weight tensor of the stem is new: four input channels",
            ]
            first = {row.cells[0].text: row.cells[0].notes for row in table.rows}
            assert first == {"BroadFormer": (), "WideNeXt": ("a",), "RingNet": ("b",)}
    assert "because a product overflows in fp16" in page.text


def test_many_notes_are_read_once_and_folded_up_below(report: Report) -> None:
    notes = tuple((mark, f"what {mark} says") for mark in "abcdef")
    first = next(table for table in report.tables if table.notes)
    tables = [
        replace(first, name=f"table-{index}", notes=shown)
        for index, shown in enumerate((notes[:5], notes, notes[1:], notes[:4]))
    ]
    section = Section("tables", "Tables", tuple(tables))
    page = to_html(replace(report, sections=(section,)))
    parts = page.split('<div class="table"')[1:]
    assert [part.count('<details class="notes">') for part in parts] == [0, 0, 1, 0]
    assert "Notes b to f, as above" in parts[2]
    assert all(f"what {mark} says" in parts[2] for mark in "bcdef")


def test_the_finding_says_what_the_numbers_say(study: Study, page: Page) -> None:
    averages = {
        model: statistics.mean(mean for mean, _ in cells.values())
        for model, cells in expected(study, "mdsc").items()
    }
    leader = max(averages, key=lambda model: averages[model])
    gap = averages[leader] - averages["RingNet"]
    assert f"{leader} (GP-VM) has the highest average micro mDSC" in page.text
    assert (
        f"{100 * averages[leader]:.1f} %, {100 * gap:.1f} points above the best SMA model, RingNet"
        in page.text
    )
    assert "it is not a significance test" in page.text


def test_nothing_is_loaded_from_anywhere(html: str, page: Page) -> None:
    assert page.loads == []
    outside = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", html)
    assert "http://" not in outside
    assert "https://" not in outside
    policy = next(attrs["content"] for tag, attrs in page.elements if attrs.get("http-equiv"))
    assert policy.startswith("default-src 'none'")


def test_the_page_is_small_and_every_anchor_exists(html: str, page: Page) -> None:
    assert len(html.encode()) < 5_000_000
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    targets = {attrs["href"][1:] for tag, attrs in page.elements if tag == "a"}
    assert targets <= set(ids)
    assert {"summary", "folds", "per-class", "search", "curves", "predictions", "provenance"} <= targets
    for tag, attrs in page.elements:
        if tag == "img":
            assert "alt" in attrs
        if tag == "svg" and attrs.get("class") == "chart":
            assert attrs["role"] == "img"
            assert len(attrs["aria-label"]) > 20


def test_equal_results_give_equal_bytes(study: Study, report: Report, html: str) -> None:
    again = report_of(study)
    assert to_html(again) == html
    assert [to_csv(table) for table in again.tables] == [to_csv(table) for table in report.tables]


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    plugin = PLUGIN.replace("BroadFormer", "<script>alert(1)</script>").replace(
        "Moles'26", '\\"><img src=x onerror=y>'
    )
    plugin = plugin.replace('"ventricle"', '"</td><b>"').replace("dermoscopy", "<i>{{ 7*7 }}</i>")

    def change(job: Job, result: Result) -> Result:
        return replace(result, network=replace(result.network, notes=("</style><script>bad()</script>",)))

    study = write_study(tmp_path, plugin=plugin, change=change)
    html = to_html(report_of(study))
    page = Page(html)
    assert html.count("<script>") == 1
    assert page.loads == []
    assert "<script>alert(1)</script> (GP-VM) has" in page.text
    assert "<i>{{ 7*7 }}</i>" in page.text
    assert not any("onerror" in attrs for _, attrs in page.elements)


def test_a_partial_study_says_what_is_missing_and_how_to_go_on(tmp_path: Path) -> None:
    study = write_study(tmp_path, keep=lambda job: job.dataset.label != "hearts" or job.model.label != "ring")
    page = Page(to_html(report_of(study)))
    assert "partial: 64 of 72 jobs" in page.text
    assert "8 jobs to do" in page.text
    assert "ring on hearts: 3 search jobs and 5 evaluate jobs" in page.text
    assert f"bench run study.yaml --store {tmp_path / 'results'}" in page.text
    assert "No average, for a dataset is missing or incomplete: RingNet." in page.text
    assert "ranks may still change" in page.text
    row = next(row for row in page.tables["study-mdsc"] if row[0].startswith("RingNet"))
    assert row[4:6] == ["–", "–"]


def test_a_study_with_searches_only_claims_nothing(tmp_path: Path) -> None:
    study = write_study(tmp_path, keep=lambda job: job.stage == "search")
    page = Page(to_html(report_of(study)))
    assert "No fold is finished yet, so there is nothing to compare." in page.text
    assert "not evaluated yet" in page.text
    assert "★" not in " ".join(cell for row in page.tables["study-mdsc"] for cell in row)


def test_one_fold_is_no_order(tmp_path: Path) -> None:
    study = write_study(tmp_path, keep=lambda job: job.stage == "search" or job.fold.index == 0)
    page = Page(to_html(report_of(study)))
    assert "With 1 shared fold in a dataset even the order is uncertain." in page.text
    row = next(row for row in page.tables["study-mdsc"] if row[0] == "BroadFormer")
    assert re.fullmatch(r"(★ )?\d\d\.\d \(1/5\)", row[2])


def test_different_environments_are_warned_of(tmp_path: Path) -> None:
    def change(job: Job, result: Result) -> Result:
        return with_provenance(job, result, torch="2.11.0") if job.model.label == "ring" else result

    page = Page(to_html(report_of(write_study(tmp_path, change=change))))
    assert "Jobs of this report ran under different conditions" in page.text
    assert "packages.torch: 2.14.1 (48 jobs), 2.11.0 (24 jobs)" in page.text


def test_the_spec_picks_orders_and_sets_parts(tmp_path: Path) -> None:
    more = (
        "analyses:\n  - search\n  - {name: summary, options: {metric: miou}}\n"
        "  - {name: provenance, options: {spec: false}}\n"
    )
    report = report_of(write_study(tmp_path, more=more))
    assert [section.name for section in report.sections] == ["search", "summary", "provenance"]
    page = Page(to_html(report))
    assert "has the highest average micro mIoU" in page.text
    assert "The resolved spec" not in page.text
    assert next(table.name for table in report.tables if table.name.startswith("study")) == "study-miou"


def test_a_missing_jinja_names_the_extra(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    with pytest.raises(MissingDependencyError) as caught:
        to_html(report)
    assert install_command("report") in str(caught.value)


def luminance(color: str) -> float:
    channels = [int(color[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def contrast(first: str, second: str) -> float:
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_colors_have_enough_contrast_in_both_themes() -> None:
    css = files("bench_core.report").joinpath("templates", "style.css").read_text()
    blocks = re.findall(r"(:root[^{]*)\{([^}]*)\}", css)
    themes = [dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", body)) for _, body in blocks]
    light, auto, dark = themes[0], themes[1], themes[2]
    assert auto == dark
    assert set(light) == set(dark)
    for theme in (light, dark):
        for name in ("ink", "soft", "accent"):
            assert contrast(theme[name], theme["paper"]) >= 4.5, name
            assert contrast(theme[name], theme["wash"]) >= 4.5, name
        assert contrast(theme["warn"], theme["warn-wash"]) >= 4.5
        assert contrast(theme["ink"], theme["warn-wash"]) >= 4.5
        assert contrast(theme["good"], theme["good-wash"]) >= 4.5
        for index in range(1, 9):
            assert contrast(theme[f"s{index}"], theme["paper"]) >= 3, index
