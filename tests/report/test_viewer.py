"""Viewer and scatter plot in a real browser: each pixel, each list, each control."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from bench_core.analysis.pictured import image_scores, kept_images, with_label_maps
from bench_core.report import errormap
from bench_core.report.colors import standing_out
from bench_core.report.compose import compose
from bench_core.report.page import to_html
from tests.helpers.browsing import CATCH, chosen, opened, pixels, press, settled
from tests.helpers.chromium import CHROMIUM, MISSING, Browser
from tests.helpers.fake_study import Study
from tests.helpers.pictured_study import drawn, write_pictured

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
FEW = {"moles": 5, "polyps": 5, "hearts": 5}


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
        lined = errormap.error_outlines(image.mask, image.maps["ring"], colors)
        inked = lined[..., 3] > 0
        assert (lines[inked] == lined[inked][:, :3]).all()
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


def test_what_is_set_in_the_viewer_is_in_the_address(chromium: Browser, page: str) -> None:
    opened(chromium, f"{page}#?image=hearts/hearts-0003&view.opacity=0&view.zoom=3&view.class=wall")
    settled(chromium, "error map")
    ranges = (
        "Array.from(document.querySelectorAll('#viewer .control input[type=range]')).map((it) => it.value)"
    )
    assert chromium.run(ranges) == ["0", "3"]
    # Nothing is drawn at opacity 0, and at 1 the one class that is chosen.
    bare = pixels(chromium, 2)
    assert (bare == pixels(chromium, 0)).all()
    chromium.run(
        "(() => { const box = document.querySelector('#viewer .control input[type=range]'); box.value = 1;"
        " box.dispatchEvent(new Event('input')); })()"
    )
    chromium.until("!location.hash.includes('view.opacity')")
    # The canvases of before stay until the others are drawn.
    chromium.until(
        "(() => { const all = Array.from(document.querySelectorAll('#viewer canvas'), (c) => c.toDataURL());"
        " return all.length > 3 && all[0] !== all[1]; })()"
    )
    truth = pixels(chromium, 1)
    _, mask = drawn("hearts", 3, 3, 1, 40)
    changed = (truth != pixels(chromium, 0)).any(axis=2)
    assert (changed == (mask == 2)).all()
    for label in ("Show", "Layout", "Colors"):
        texts = chromium.run(
            "(() => { const box = Array.from(document.querySelectorAll('#viewer .control'))"
            f".find((it) => it.firstChild.textContent === {json.dumps(label)}).lastChild;"
            " return Array.from(box.options).map((it) => it.textContent); })()"
        )
        for text in texts:
            chosen(chromium, label, text)
            chromium.run("new Promise((done) => setTimeout(done, 30))")
    assert chromium.heard() == []
