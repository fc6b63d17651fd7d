"""The page in a real browser: its controls, what it saves, its address, its policy."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench_core.analysis.pictured import image_scores, kept_images, with_label_maps
from bench_core.report import errormap
from bench_core.report.colors import standing_out
from bench_core.report.compose import Report, compose
from bench_core.report.delimited import to_csv
from bench_core.report.page import to_html
from tests.helpers.chromium import CHROMIUM, MISSING, Browser, browser
from tests.helpers.fake_study import Study
from tests.helpers.pictured_study import write_pictured

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)

FEW = {"moles": 5, "polyps": 5, "hearts": 5}
CATCH = """(() => {
  window.saved = [];
  URL.createObjectURL = (blob) => { window.saved.push(blob.text()); return "#"; };
  HTMLAnchorElement.prototype.click = function () { window.saved.push(this.download); };
})()"""
"""Keeps what the page would save: content, then name."""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return write_pictured(tmp_path_factory.mktemp("pictured"))


@pytest.fixture(scope="module")
def report(study: Study) -> Report:
    found = compose(study.evidence(), study.loaded.registry)
    return replace(found, name="<b>hostile</b> & name")


@pytest.fixture(scope="module")
def page(report: Report, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(to_html(report), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as found:
        found.screen(1200)
        yield found


def opened(chromium: Browser, url: str) -> Browser:
    chromium.complaints.clear()
    chromium.open(url)
    chromium.until("document.documentElement.dataset.ready")
    return chromium


def table(name: str) -> str:
    return f"document.querySelector('.table[data-name={json.dumps(name)}]')"


def press(chromium: Browser, within: str, label: str) -> None:
    """Press the one button of this text inside an element."""
    chromium.run(
        f"(() => {{ const found = Array.from({within}.querySelectorAll('button'))"
        f".filter((item) => item.textContent === {json.dumps(label)});"
        " if (found.length !== 1) throw new Error('buttons: ' + found.length); found[0].click(); })()"
    )


def column(chromium: Browser, name: str, place: int) -> list[str]:
    """Return what a reader sees of a column, from top to bottom."""
    found = chromium.run(
        f"Array.from({table(name)}.querySelectorAll('tbody tr:not(.group)')).filter((row) =>"
        f" row.getClientRects().length).map((row) => JSON.parse(row.cells[{place}].dataset.v)[0])"
    )
    return [str(value) for value in found]


def test_every_table_saves_what_its_file_holds(chromium: Browser, page: str, report: Report) -> None:
    opened(chromium, page).run(CATCH)
    for item in report.tables:
        chromium.run("window.saved.length = 0")
        press(chromium, table(item.name), "Save CSV")
        content, name = chromium.run("Promise.all(window.saved)")
        assert name == f"{item.name}.csv"
        assert content == to_csv(item)
    assert chromium.heard() == []


def test_tables_sort_by_their_numbers_and_filter_by_words(
    chromium: Browser, page: str, report: Report
) -> None:
    opened(chromium, f"{page}#folds")
    chromium.run("document.querySelectorAll('details').forEach((item) => { item.open = true; })")
    rows = list(
        csv.DictReader(io.StringIO(to_csv(next(item for item in report.tables if item.name == "folds"))))
    )
    place = list(rows[0]).index("miou")
    numbers = [row["miou"] for row in rows]
    head = f"{table('folds')}.querySelector('th[data-key=miou]')"
    assert column(chromium, "folds", place) == numbers
    # With the keyboard alone: the heading is a button.
    chromium.run(f"{head}.querySelector('button').focus()")
    for direction, expected in (
        ("descending", sorted(numbers, key=float, reverse=True)),
        ("ascending", sorted(numbers, key=float)),
        (None, numbers),
    ):
        chromium.press("Enter")
        assert chromium.run(f"{head}.getAttribute('aria-sort')") == direction
        assert column(chromium, "folds", place) == expected
    chromium.run(f"{head}.querySelector('button').click()")
    chromium.run(
        f"(() => {{ const box = {table('folds')}.querySelector('input[type=search]');"
        " box.value = 'ring hearts'; box.dispatchEvent(new Event('input')); })()"
    )
    found = [row["miou"] for row in rows if (row["model"], row["dataset"]) == ("ring", "hearts")]
    assert column(chromium, "folds", place) == sorted(found, key=float, reverse=True)
    assert chromium.run(f"{table('folds')}.querySelector('.count').textContent") == "5 of 45 rows"
    address = chromium.run("location.href")
    assert address.endswith("#folds?sort.folds=-miou&find.folds=ring+hearts")
    # Who gets the address sees the same.
    opened(chromium, address)
    assert column(chromium, "folds", place) == sorted(found, key=float, reverse=True)
    assert chromium.run(f"{head}.getAttribute('aria-sort')") == "descending"
    # Going to another part keeps it, and what is saved is what is seen.
    chromium.run("document.querySelector('nav a[href=\"#summary\"]').click()")
    chromium.until("location.hash.startsWith('#summary?')")
    chromium.run(CATCH)
    press(chromium, table("folds"), "Save CSV")
    content, _ = chromium.run("Promise.all(window.saved)")
    assert [row["miou"] for row in csv.DictReader(io.StringIO(content))] == sorted(
        found, key=float, reverse=True
    )
    assert chromium.heard() == []


def test_figures_are_saved_with_their_numbers(chromium: Browser, page: str) -> None:
    opened(chromium, page).run(CATCH)
    panel = "document.querySelector('#folds .panel')"
    press(chromium, panel, "SVG")
    press(chromium, panel, "CSV")
    drawing, name, numbers, table_name = chromium.run("Promise.all(window.saved)")
    assert name == "b-hostile-b-name-moles-26.svg"
    assert table_name == "b-hostile-b-name-moles-26.csv"
    rows = list(csv.DictReader(io.StringIO(numbers)))
    assert len(rows) == 15
    assert {row["model"] for row in rows} == {"BroadFormer", "WideNeXt", "RingNet"}
    assert numbers.splitlines()[-1] in drawing
    assert drawing.startswith("<svg xmlns=")
    assert "class=" not in drawing
    # A viewer without the page's style sheet draws the same colors.
    chromium.run(f"document.body.innerHTML = {json.dumps(drawing)}")
    assert (
        chromium.run("getComputedStyle(document.querySelector('circle[data-row]')).fill")
        == "rgb(0, 114, 178)"
    )
    opened(chromium, page)
    chromium.run(
        "HTMLAnchorElement.prototype.click = function () { window.last = [this.download, this.href]; }"
    )
    press(chromium, panel, "PNG")
    assert chromium.until("window.last") == ["b-hostile-b-name-moles-26.png", chromium.run("window.last[1]")]
    # The policy lets no script fetch anything, not even this: an image can show it.
    size = chromium.run(
        "new Promise((done) => { const image = new Image(); image.onload = () => done(image.width);"
        " image.onerror = () => done(0); image.src = window.last[1]; })"
    )
    assert size > 1000
    press(chromium, panel, "Numbers")
    assert chromium.run(f"{panel}.querySelectorAll('.numbers tbody tr').length") == 15
    press(chromium, panel, "Numbers")
    assert chromium.run(f"{panel}.querySelector('.numbers')") is None
    assert chromium.heard() == []


def test_nothing_else_runs_and_nothing_is_loaded(chromium: Browser, page: str) -> None:
    opened(chromium, page)
    chromium.run(
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.bad = 1\">');"
        "(() => { const more = document.createElement('script'); more.textContent = 'window.bad = 2';"
        " document.body.append(more); })()"
    )
    assert chromium.run("window.bad") is None
    asked = chromium.run("fetch('data:text/plain,x').then(() => 'loaded', () => 'refused')")
    assert asked == "refused"
    assert any("Content Security Policy" in text for text in chromium.heard())


def test_choices_get_into_the_address(chromium: Browser, page: str) -> None:
    opened(chromium, page)
    chromium.run("document.getElementById('layers-predictions-1-outline').click()")
    chromium.run("document.getElementById('large-predictions-2').click()")
    address = chromium.run("location.href")
    assert address.endswith("#?layers-predictions-1=outline&large-predictions-2=1")
    opened(chromium, address)
    assert chromium.run("document.getElementById('layers-predictions-1-outline').checked")
    assert chromium.run("document.getElementById('large-predictions-2').checked")
    shown = "getComputedStyle(document.querySelector('#comparison-predictions-1 image.{}')).display"
    assert chromium.run(shown.format("fill")) == "none"
    assert chromium.run(shown.format("outline")) == "inline"
    assert chromium.heard() == []


def test_without_a_script_everything_is_there(chromium: Browser, page: str, report: Report) -> None:
    chromium.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        chromium.open(page)
        chromium.call("Emulation.setScriptExecutionDisabled", value=False)
        assert chromium.run("document.documentElement.dataset.ready") is None
        assert chromium.run("document.querySelectorAll('.table table').length") == len(report.tables)
        assert chromium.run("document.querySelectorAll('svg.chart').length") > 10
        assert chromium.run("document.querySelectorAll('.tools, button.sort').length") == 0
    finally:
        chromium.call("Emulation.setScriptExecutionDisabled", value=False)


def chosen(chromium: Browser, label: str, text: str) -> None:
    """Choose an entry of a labelled select in the viewer."""
    chromium.run(
        "(() => { const box = Array.from(document.querySelectorAll('#viewer .control'))"
        f".find((item) => item.firstChild.textContent === {json.dumps(label)}).lastChild;"
        f" box.value = Array.from(box.options).find((item) => item.textContent === {json.dumps(text)}).value;"
        " box.dispatchEvent(new Event('change')); })()"
    )


def pixels(chromium: Browser, place: int) -> np.ndarray:
    """Return what the viewer's panel shows as RGB [H, W, 3]."""
    found = chromium.run(
        f"(() => {{ const canvas = document.querySelectorAll('#viewer canvas')[{place}];"
        " const all = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);"
        " return [canvas.height, canvas.width, Array.from(all.data)]; })()"
    )
    return np.array(found[2]).reshape(found[0], found[1], 4)[..., :3]


def settled(chromium: Browser, what: str) -> None:
    """Wait until the viewer's first model is shown as `what`."""
    chromium.until(
        "(document.querySelectorAll('#viewer canvas')[2]?.getAttribute('aria-label') || '')"
        f".includes({json.dumps(what)})"
    )


def test_the_viewer_draws_every_pixel_as_it_is_counted(chromium: Browser, page: str, study: Study) -> None:
    evidence = study.evidence()
    kept = with_label_maps(evidence, "hearts", kept_images(evidence, "hearts"))
    colors = standing_out([])
    for image in list(kept)[:3]:
        address = f"{page}#predictions?image=hearts/{image.id}&view.a=ring&view.colors={colors.name}"
        opened(chromium, address)
        settled(chromium, "error map")
        assert chromium.run("document.querySelector('#viewer h2').textContent") == image.id
        error = pixels(chromium, 2)
        chromium.press("i")
        settled(chromium, "image alone")
        bare = pixels(chromium, 2)
        found = errormap.kinds(image.mask, image.maps["ring"])
        assert (error[found == errormap.NEITHER] == bare[found == errormap.NEITHER]).all()
        for kind, color in zip((1, 2, 3, 4), colors.all, strict=True):
            here = found == kind
            share = 0.5 if kind == errormap.HIT else 0.82
            expected = (1 - share) * bare[here] + share * np.array(color)
            assert np.abs(error[here] - expected).max(initial=0) <= 3
        chromium.press("o")
        settled(chromium, "outlines")
        lines = pixels(chromium, 2)
        drawn = errormap.error_outlines(image.mask, image.maps["ring"], colors)
        inked = drawn[..., 3] > 0
        assert (lines[inked] == drawn[inked][:, :3]).all()
        assert (lines[~inked] == bare[~inked]).all()
    assert chromium.heard() == []


def test_the_viewer_steps_through_lists_with_the_keyboard(chromium: Browser, page: str, study: Study) -> None:
    scores = image_scores(study.evidence(), "moles")
    title = "document.querySelector('#viewer h2').textContent"
    opened(chromium, page)
    chromium.run("document.querySelector('#explorer .open').click()")
    settled(chromium, "error map")
    means = {sample: np.nanmean(list(scores.of(sample).values())) for sample in scores.ids}
    worst = min(means, key=lambda sample: means[sample])
    assert chromium.run(title) == worst
    # The Dice of each panel is that of the counts.
    for place, model in ((2, "broad"), (3, "wide")):
        said = chromium.run(f"document.querySelectorAll('#viewer canvas')[{place}].ariaLabel")
        assert f"Dice {100 * scores.of(worst)[model]:.1f} %" in said
    chosen(chromium, "A", "WideNeXt")
    chosen(chromium, "B", "RingNet")
    chosen(chromium, "Order", "A ahead of B first")
    ahead = max(scores.ids, key=lambda sample: scores.of(sample)["wide"] - scores.of(sample)["ring"])
    chromium.until(f"{title} === {json.dumps(ahead)}")
    chromium.press("ArrowRight")
    chromium.until(f"{title} !== {json.dumps(ahead)}")
    second = chromium.run(title)
    assert "2 of 15" in chromium.run("document.querySelector('#viewer .where').textContent")
    chromium.press("ArrowLeft")
    chromium.until(f"{title} === {json.dumps(ahead)}")
    chromium.press("ArrowRight")
    chromium.press("s")
    chromium.until("!!document.querySelector('#viewer .split')")
    chromium.run(
        "(() => { const box = document.querySelector('#viewer .split'); box.value = 20;"
        " box.dispatchEvent(new Event('input')); })()"
    )
    assert chromium.run("document.querySelector('#viewer .over').style.clipPath") == "inset(0px 80% 0px 0px)"
    address = chromium.run("location.href")
    assert "view.a=wide&view.b=ring&view.list=ahead" in address.replace("&view.layout=slider", "")
    opened(chromium, address)
    chromium.until(f"{title} === {json.dumps(second)} && !!document.querySelector('#viewer .split')")
    chromium.press("Escape")
    chromium.until("!document.getElementById('viewer').open && !location.hash.includes('image=')")
    # A picture of the page opens the same image.
    chromium.run("document.querySelector('#comparison-predictions-2 button.enlarge').click()")
    chromium.until("document.getElementById('viewer').open")
    row = chromium.run("JSON.parse(document.querySelector('#comparison-predictions-2 .view').dataset.image)")
    chromium.until(f"{title} === {json.dumps(row[1])}")
    chromium.press("Escape")
    # So does one of the images that models fail on.
    failed = "document.querySelector('#comparison-failures-0 .view')"
    chromium.run(f"{failed}.querySelector('button.enlarge').click()")
    chromium.until(f"{title} === JSON.parse({failed}.dataset.image)[1]")
    find = "document.querySelector('#viewer input[type=search]')"
    chosen(chromium, "Dataset", "Polyps & more")
    chromium.run(f"{find}.value = 'polyps-0001'; {find}.dispatchEvent(new Event('change'))")
    chromium.until(f"{title} === 'polyps-0001'")
    assert chromium.heard() == []


def test_dots_are_picked_and_lead_to_images(chromium: Browser, page: str, study: Study) -> None:
    scores = image_scores(study.evidence(), "polyps")
    opened(chromium, f"{page}#?scatter.data=polyps&scatter.x=model+broad&scatter.y=model+ring")
    place = "document.querySelector('.scatter-place')"
    numbers = {sample: scores.of(sample) for sample in scores.ids}
    low = sorted(
        (sample for sample in scores.ids if numbers[sample]["ring"] < 0.5),
        key=lambda sample: (round(numbers[sample]["ring"], 3), scores.ids.index(sample)),
    )
    assert 0 < len(low) < len(scores.ids)
    chromium.run(
        f"(() => {{ const box = {place}.querySelectorAll('input')[3]; box.value = 49.99;"
        " box.dispatchEvent(new Event('change')); })()"
    )
    listed = f"Array.from({place}.querySelectorAll('.picked li')).map((item) => item.textContent)"
    shown = chromium.run(listed)
    assert [text.split(" ")[0] for text in shown] == low
    assert f"RingNet {100 * numbers[low[0]]['ring']:.1f} %" in shown[0]
    address = chromium.run("location.href")
    opened(chromium, address)
    assert chromium.run(listed) == shown
    chromium.run(CATCH)
    press(chromium, f"{place}.querySelector('.picked')", "Save CSV")
    content, _ = chromium.run("Promise.all(window.saved)")
    rows = list(csv.DictReader(io.StringIO(content)))
    assert [row["image"] for row in rows] == low
    assert float(rows[0]["Dice of RingNet (%)"]) == round(100 * numbers[low[0]]["ring"], 1)
    press(chromium, f"{place}.querySelector('.picked')", "Look at them")
    chromium.until("document.getElementById('viewer').open")
    chromium.until(f"document.querySelector('#viewer .where').textContent === '1 of {len(low)}'")
    chromium.press("Escape")
    press(chromium, place, "Pick none")
    assert chromium.run(listed) == []
    # The mouse: drag over everything.
    chromium.run(f"{place}.querySelector('svg').scrollIntoView({{behavior: 'instant', block: 'center'}})")
    box = chromium.run(f"{place}.querySelector('svg').getBoundingClientRect().toJSON()")
    chromium.drag((box["x"] + 60, box["y"] + 14), (box["right"] - 16, box["bottom"] - 50))
    chromium.until(f"{listed}.length === {len(scores.ids)}")
    assert chromium.heard() == []


def test_pictures_made_smaller_drop_no_thin_line(chromium: Browser, tmp_path: Path) -> None:
    more = "analyses: [predictions]\n"
    study = write_pictured(tmp_path, FEW, 280, models="[broad, ring]", searches=False, more=more)
    path = tmp_path / "report.html"
    path.write_text(to_html(compose(study.evidence(), study.loaded.registry)), encoding="utf-8")
    opened(chromium, path.as_uri())
    # The truth of the first image is a line of one pixel, and pictures are drawn at a third of its size.
    small = chromium.run("document.querySelector('#comparison-predictions-1 svg').clientWidth")
    assert small < 200
    for view in ("1", "2", "3"):
        drawn_as = chromium.run(
            "getComputedStyle(document.querySelectorAll('#comparison-predictions-1 .view')"
            f"[{view}].querySelector('image')).imageRendering"
        )
        assert drawn_as == "auto"
    chromium.run("document.querySelector('#explorer .open').click()")
    settled(chromium, "error map")
    shown = (
        "Array.from(document.querySelectorAll('#viewer canvas')).map((it) => [it.clientWidth, it.className])"
    )
    assert all((width >= 280) == ("enlarged" in name) for width, name in chromium.run(shown))
    assert any(width < 280 for width, _ in chromium.run(shown))


def test_paper_has_pictures_and_tables_and_no_buttons(chromium: Browser, page: str) -> None:
    opened(chromium, page)
    chromium.screen(1200, paper=True)
    seen = "Array.from(document.querySelectorAll({})).filter((item) => item.checkVisibility()).length"
    try:
        chromium.run("document.querySelectorAll('details').forEach((item) => { item.open = true; })")
        for part in (".view svg", ".table table", "svg.chart:not(.scatter)"):
            every = chromium.run(f"document.querySelectorAll({json.dumps(part)}).length")
            shown = chromium.run(seen.format(json.dumps(part)))
            # Of a choice, paper has what is chosen.
            assert shown == every if part == ".view svg" else 0 < shown <= every
        for part in (".tools", "#explorer", "button:not(.sort, .enlarge)", "dialog"):
            assert chromium.run(seen.format(json.dumps(part))) == 0
    finally:
        chromium.screen(1200)
