"""The page in a real browser: its controls, what it saves, its address, its policy."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import shutil
import subprocess

import pytest

from bench_core.report.compose import Report
from bench_core.report.delimited import to_csv
from tests.helpers.browsing import CATCH, opened, press
from tests.helpers.chromium import CHROMIUM, MISSING, Browser

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)


def table(name: str) -> str:
    return f"document.querySelector('.table[data-name={json.dumps(name)}]')"


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


def test_a_figure_is_printed_alone_on_a_page_of_its_size_with_its_numbers_behind(
    chromium: Browser, page: str
) -> None:
    """What the browser prints is the PDF: vectors and fonts, and nothing else of the page."""
    chromium.screen(1200, dark=True)
    opened(chromium, page).run("window.print = () => { window.asked = document.title; }")
    panel = "document.querySelector('#folds .panel')"
    title = chromium.run("document.title")
    address = chromium.run("location.href")
    width, height = chromium.run(f"{panel}.querySelector('svg.chart').getAttribute('viewBox')").split()[2:]
    drawn = chromium.run(
        f"Array.from({panel}.querySelectorAll('svg.chart text'), (mark) => mark.firstChild.textContent)"
    )
    chromium.run(CATCH)
    press(chromium, panel, "CSV")
    numbers, _ = chromium.run("Promise.all(window.saved)")
    press(chromium, panel, "PDF")
    paper = "getComputedStyle(document.documentElement).getPropertyValue('--paper')"
    chromium.call("Emulation.setEmulatedMedia", media="print")
    assert chromium.run(paper) == "#ffffff", "paper is white, whatever the screen is"
    chromium.screen(1200, dark=True)
    assert chromium.run("window.asked") == "b-hostile-b-name-moles-26"
    found = chromium.call("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
    content = base64.b64decode(found["data"])
    boxes = re.findall(rb"/MediaBox \[0 0 ([0-9.]+) ([0-9.]+)\]", content)
    # A pixel of CSS is 0.75 points. The numbers follow on paper of the usual size.
    margins = [float(box) - 0.75 * float(side) for box, side in zip(boxes[0], (width, height), strict=True)]
    assert all(0 < margin < 20 for margin in margins), (boxes, width, height)
    assert len(boxes) == 2 and tuple(map(float, boxes[1]))[1] > 780
    assert b"/Font" in content and b"/Subtype /Image" not in content
    if shutil.which("pdftotext"):
        words = ["pdftotext", "-f", "1", "-l", "1", "-", "-"]
        first = subprocess.run(words, input=content, capture_output=True, check=True).stdout.decode()
        assert sorted(first.split()) == sorted(" ".join(drawn).split()), "the figure and nothing else"
        words[2:5] = "2", "-l", "2"
        rest = subprocess.run(words, input=content, capture_output=True, check=True).stdout.decode()
        assert rest.split()[-1] == numbers.split(",")[-1].strip(), "all numbers, the last one too"
    # The page is as it was, and prints as a whole.
    chromium.run("window.dispatchEvent(new Event('afterprint'))")
    assert chromium.run("document.title") == title and chromium.run("location.href") == address
    assert chromium.run("document.querySelector('.alone')") is None
    found = chromium.call("Page.printToPDF", preferCSSPageSize=True)
    assert len(re.findall(rb"/MediaBox", base64.b64decode(found["data"]))) > 5
    chromium.screen(1200)
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


@pytest.mark.parametrize(
    "fragment",
    [
        "%zz?image=%zz",
        "predictions?image=moles/none&view.a=nobody&view.zoom=x&view.mode=constructor&view.colors=__proto__",
        "folds?sort.folds=-nothing&sort.nothing=miou&find.folds=%3Cimg+src%3Dx+onerror%3Dalert(1)%3E",
        "?scatter.data=nothing&scatter.x=attribute+__proto__&scatter.y=model+x&scatter.pick=a+b+c+d",
        "?layers-predictions-1=nothing&choice-x=1&image=&view.class=nothing",
    ],
)
def test_no_address_breaks_the_page(chromium: Browser, page: str, fragment: str) -> None:
    opened(chromium, f"{page}#{fragment}")
    chromium.run("new Promise((done) => setTimeout(done, 50))")
    assert chromium.heard() == []
    assert chromium.run("document.querySelectorAll('.scatter-place svg').length") == 1
