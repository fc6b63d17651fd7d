"""The page for everybody: checked by axe-core (WCAG 2.2 A and AA), large and small, light and dark."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench_core.report.compose import compose
from bench_core.report.page import to_html
from tests.helpers.chromium import CHROMIUM, MISSING, Browser, browser
from tests.helpers.pictured_study import write_pictured

pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason=MISSING), pytest.mark.slow]
AXE = Path(__file__).parents[1] / "vendored" / "axe-core" / "axe.min.js.gz"
WIDTHS = {"desktop": 1280, "phone": 390}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("pictured")
    study = write_pictured(folder)
    path = folder / "report.html"
    path.write_text(to_html(compose(study.evidence(), study.loaded.registry)), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as found:
        yield found


def findings(chromium: Browser) -> list[str]:
    """Return what axe-core calls serious or critical, with the first element of each."""
    chromium.run(gzip.decompress(AXE.read_bytes()).decode() + ";0")
    found = chromium.run(
        "axe.run(document, {resultTypes: ['violations']}).then((all) => JSON.stringify(all))"
    )
    return [
        f"{item['impact']}: {item['id']}: {item['help']}: {node['html'][:300]} {node['failureSummary'][:300]}"
        for item in json.loads(found)["violations"]
        if item["impact"] in ("serious", "critical")
        for node in item["nodes"][:2]
    ]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_axe_finds_nothing_serious(chromium: Browser, page: str, width: int, dark: bool) -> None:
    chromium.screen(width, dark=dark)
    chromium.open(f"{page}#folds?sort.folds=-miou")
    chromium.until("document.documentElement.dataset.ready")
    chromium.run("document.querySelectorAll('details').forEach((item) => { item.open = true; })")
    chromium.run("document.querySelector('.scatter-place input').focus()")
    assert findings(chromium) == []
    # No part of the page is wider than the window; wide tables scroll by themselves.
    assert chromium.run("document.documentElement.scrollWidth") <= width
    chromium.run("document.querySelector('#explorer .open').click()")
    chromium.until("document.querySelectorAll('#viewer canvas').length === 4")
    assert findings(chromium) == []
    assert chromium.run("document.getElementById('viewer').scrollWidth") <= width
    chromium.press("s")
    chromium.until("!!document.querySelector('#viewer .split')")
    assert findings(chromium) == []
    chromium.press("Escape")
    chromium.until("!document.getElementById('viewer').open")
    assert chromium.heard() == []


def test_every_control_is_reached_with_the_keyboard(chromium: Browser, page: str) -> None:
    chromium.screen(1280)
    chromium.open(page)
    chromium.until("document.documentElement.dataset.ready")
    visible = "(item) => item.checkVisibility()"
    wanted = chromium.run(
        "Array.from(document.querySelectorAll('a[href], button, input, select, summary'))"
        f".filter({visible}).filter((item) => !(item.type === 'radio' && !item.checked))"
        ".map((item, place) => { item.dataset.place = place; return place; })"
    )
    reached = set()
    for _ in range(3 * len(wanted)):
        chromium.press("Tab")
        place = chromium.run("document.activeElement.dataset.place || ''")
        if place in reached:
            break
        if place:
            reached.add(place)
    assert {str(place) for place in wanted} - reached == set()
