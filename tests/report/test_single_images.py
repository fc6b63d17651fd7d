"""Pictures of single images: which are taken, where they lie, and what the page may load of them."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from bench_core.analysis.pictured import image_scores
from bench_core.report.bitmap import bitmap
from bench_core.report.blocks import Explorer
from bench_core.report.compose import compose
from bench_core.report.explorer import by_interest
from bench_core.report.page import to_html
from bench_core.report.pictures import sheet
from bench_core.spec.model import AnalysisEntry
from tests.helpers.bench import call_bench
from tests.helpers.chromium import CHROMIUM, MISSING, browser
from tests.helpers.fake_study import PLUGIN, Study
from tests.helpers.pictured_study import IMAGES, READERS, drawn, predicted, write_pictured


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    folder = tmp_path_factory.mktemp("pictured")
    yield write_pictured(folder, plugin=READERS, searches=False, cache=folder / "results" / "cache")


def explorer_of(study: Study, **options: object) -> Explorer | None:
    evidence = study.evidence()
    spec = evidence.spec.model_copy(update={"analyses": [AnalysisEntry(name="predictions", options=options)]})
    report = compose(replace(evidence, spec=spec), study.loaded.registry)
    found = [block for part in report.sections for block in part.blocks if isinstance(block, Explorer)]
    return found[0] if found else None


def test_tiles_of_a_sheet_are_the_areas() -> None:
    random = np.random.default_rng(0)
    areas = [random.random((5, 7)) < 0.4 for _ in range(7)]
    alpha = np.asarray(Image.open(io.BytesIO(sheet(areas))).convert("RGBA"))[..., 3]
    assert alpha.shape == (15, 21)
    for number, area in enumerate(areas):
        top, left = number // 3 * 5, number % 3 * 7
        assert (alpha[top : top + 5, left : left + 7] == 255 * area).all()
    assert (alpha[10:, 7:] == 0).all()


def test_data_give_a_picture_of_every_image(study: Study, tmp_path: Path) -> None:
    paths = study.loaded.base / "study.yaml", study.store.path
    out = tmp_path / "out"
    (out / "images").mkdir(parents=True)
    (out / "images" / "9-9.jpg").write_bytes(b"of an earlier report")
    (out / "images" / "mine.jpg").write_bytes(b"somebody's own")
    command = ("report", paths[0], "--store", paths[1], "--images", "data", "--pages", "folder", "--out", out)
    done = call_bench(*command, "--format", "html")
    assert done.returncode == 0, done.stderr
    number = sum(IMAGES.values())
    names = {path.name for path in (out / "images").iterdir()}
    assert len(names) == 2 * number + 1
    assert "mine.jpg" in names and "9-9.jpg" not in names
    assert f"wrote {2 * number} files of pictures to {out / 'images'}" in done.stdout
    html = (out / "report.html").read_text()
    data = json.loads(re.search(r'id="explorer-data">(.*?)</script>', html).group(1))  # type: ignore[union-attr]
    assert set(data["files"].values()) == {f"images/{name}" for name in names - {"mine.jpg"}}
    for item in data["datasets"]:
        assert len(item["pictures"]) == IMAGES[item["label"]]
    # An image that no result keeps a picture of: its truth and label maps are those of the data.
    hearts = data["datasets"][2]
    for row, sample in enumerate(hearts["ids"]):
        _, sheet_name, width, height, models, ignored = hearts["pictures"][str(row)]
        alpha = np.asarray(Image.open(out / "images" / sheet_name).convert("RGBA"))[..., 3] > 0
        assert (width, height, models, ignored) == (40, 40, [0, 1, 2], 0)
        place = int(sample[-4:])
        _, mask = drawn("hearts", place, 3, 1, 40)
        maps = [predicted(mask, name, "hearts", place, by) for name, by in (("broad", 0), ("wide", 1))]
        for number, labels in enumerate((mask, *maps)):
            for label in range(3):
                tile = number * 3 + label
                top, left = tile // 4 * 40, tile % 4 * 40
                assert (alpha[top : top + 40, left : left + 40] == (labels == label + 1)).all()


@pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
def test_a_page_shows_what_lies_beside_it_and_nothing_else(study: Study, tmp_path: Path) -> None:
    paths = study.loaded.base / "study.yaml", study.store.path
    command = ("report", paths[0], "--store", paths[1], "--pages", "folder", "--out", tmp_path)
    assert call_bench(*command, "--format", "html").returncode == 0
    with browser(tmp_path / "profile") as chromium:
        chromium.screen(1200)
        chromium.open((tmp_path / "report.html").as_uri())
        chromium.run("document.querySelector('#explorer .open').click()")
        for key in ("i", "o", "c", "e"):
            chromium.press(key)
        chromium.until("document.querySelectorAll('#viewer canvas').length === 4")
        assert chromium.run("document.querySelectorAll('#viewer canvas')[2].width") == 40
        assert chromium.heard() == []
        answer = "new Promise((done) => { const it = new Image(); it.onload = () => done('loaded');"
        answer += " it.onerror = () => done('refused'); it.src = 'http://127.0.0.1:9/x.png'; })"
        assert chromium.run(answer) == "refused"
        assert any("Content Security Policy" in text for text in chromium.heard())


def test_other_data_are_not_shown_beside_results(tmp_path: Path) -> None:
    study = write_pictured(tmp_path, plugin=READERS, searches=False, models="[broad, ring]")
    paths = study.loaded.base / "study.yaml", study.store.path
    done = call_bench("report", paths[0], "--store", paths[1], "--images", "data")
    assert done.returncode == 2
    assert "are not those of the results" in done.stderr
    assert "leave --images data out" in done.stderr


def test_pictures_keep_within_their_room(study: Study) -> None:
    usual = explorer_of(study)
    assert usual is not None
    assert explorer_of(study, megabytes=0) is None
    report = compose(study.evidence(), study.loaded.registry)
    assert len(to_html(report)) < 5_000_000
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench_core.report.sections.predictions.MEGABYTE", 20_000)
        small = explorer_of(study, megabytes=1)
    assert small is not None
    assert 0 < len(small.files) < len(usual.files)
    assert sum(len(content) * 4 / 3 for content in small.files.values()) < 40_000
    # What is left out is what says least.
    scores = image_scores(study.evidence(), "polyps")
    order = by_interest(scores, scores.ids)
    assert sorted(order) == sorted(scores.ids)
    means = {sample: np.nanmean(list(scores.of(sample).values())) for sample in scores.ids}
    assert means[order[0]] == min(means.values())


def test_hostile_names_end_no_script(tmp_path: Path) -> None:
    evil = "</script><img src=x onerror=alert(1)>"
    plugin = PLUGIN.replace("BroadFormer", evil).replace('"ventricle"', f'"{evil}"')
    study = write_pictured(tmp_path, plugin=plugin, searches=False)
    html = to_html(compose(study.evidence(), study.loaded.registry))
    content = re.search(r'id="explorer-data">(.*?)</script>', html)
    assert content is not None
    data = json.loads(content.group(1))
    assert data["models"][0]["title"] == evil
    assert data["datasets"][2]["classes"][0] == evil
    assert html.count("</script>") == 2


@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 40))))
def test_a_bitmap_is_read_as_it_was_written(areas: np.ndarray) -> None:
    with Image.open(io.BytesIO(bitmap(areas))) as read:
        read.verify()
    shown = np.asarray(Image.open(io.BytesIO(bitmap(areas))).convert("RGBA"))
    assert (shown[..., 3] == 255 * areas).all() and not shown[..., :3].any()
