"""Exports: what is written is what is stored, under safe names, never over something else."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bench_core import open_study
from bench_core.cli.main import bench
from bench_core.data.resize import Fit, fit_square
from bench_core.errors import StoreError
from bench_core.export.label_maps import MOST_PIXELS, to_original, to_png
from bench_core.export.names import LONGEST, file_names
from bench_core.export.write import write_files
from tests.docs.test_steps_page import study as step_study
from tests.helpers.small_study import run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("study")
    loaded, plan, store = step_study(folder)
    for job in plan.jobs:
        if job.fold.index == 0:
            run(job, store, loaded.registry)
    return folder


def export(folder: Path, what: str, out: Path, *more: str) -> Result:
    arguments = [str(folder / "spec.yaml"), "--store", str(folder / "results"), "--out", str(out)]
    return CliRunner().invoke(bench, ["export", what, *arguments, *more], catch_exceptions=True)


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text())))


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")}


def test_label_maps_are_the_stored_ones_and_equal_each_time(folder: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        done = export(folder, "predictions", tmp_path / name, "--json")
        assert done.exit_code == 0 and json.loads(done.output)["files"] == 14, done.output
    assert content(tmp_path / "one") == content(tmp_path / "two")
    place = tmp_path / "one" / "dots-net" / "dots" / "fold-0"
    stored = open_study(folder / "spec.yaml", folder / "results").predictions("dots-net", "dots", 0)
    assert {row["id"] for row in rows(place / "index.csv")} == stored.keys()
    for row in rows(place / "index.csv"):
        picture = Image.open(place / row["file"])
        assert picture.mode == "P" and picture.size == (int(row["width"]), int(row["height"])) == (16, 16)
        np.testing.assert_array_equal(np.asarray(picture), stored[row["id"]])
        assert picture.getpalette()[:6] == [0, 0, 0, 230, 159, 0]
    assert rows(place / "classes.csv")[1] == {"label": "1", "class": "dot", "color": "#e69f00"}


def test_a_step_s_label_maps_and_counts_are_exported_by_its_label(folder: Path, tmp_path: Path) -> None:
    assert export(folder, "predictions", tmp_path / "maps", "--stage", "mirrored").exit_code == 0
    assert [path.name for path in (tmp_path / "maps").iterdir()] == ["dots-net"]
    done = export(folder, "counts", tmp_path / "counts", "--model", "bright")
    assert done.exit_code == 0, done.output
    found = rows(tmp_path / "counts" / "bright" / "dots" / "fold-0.csv")
    expected = open_study(folder / "spec.yaml", folder / "results").counts("bright", "dots")
    assert [[row["id"], int(row["tp"]), int(row["fp"])] for row in found] == [
        [row["id"], row["tp"], row["fp"]] for row in expected
    ]


def test_tables_are_the_report_s(folder: Path, tmp_path: Path) -> None:
    assert export(folder, "table", tmp_path / "one", "--name", "study-mdsc").exit_code == 0
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["study-mdsc.csv"]
    assert {row["model"] for row in rows(tmp_path / "one" / "study-mdsc.csv")} == {"dots-net", "bright"}
    assert export(folder, "table", tmp_path / "two", "--name", "study-mdcs").exit_code != 0


def test_scores_have_the_attributes_of_their_images(folder: Path, tmp_path: Path) -> None:
    done = export(folder, "scores", tmp_path / "out", "--metric", "mdsc")
    assert done.exit_code == 0, done.output
    known = {
        row["id"]: row for row in open_study(folder / "spec.yaml", folder / "results").attributes("dots")
    }
    names = {name for row in known.values() for name in row} - {"id", "group", "height", "width"}
    found = rows(tmp_path / "out" / "scores.csv")
    assert names and {name for name in found[0] if name.startswith("attribute.")} == {
        f"attribute.{name}" for name in names
    }
    for row in found:
        for name in names:
            value = known[row["image"]][name]
            assert row[f"attribute.{name}"] == ("" if value is None else str(value))


def test_nothing_is_overwritten(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    done = export(folder, "counts", tmp_path)
    assert isinstance(done.exception, StoreError) and "not empty" in str(done.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_sizes_that_are_not_known_are_asked_for(folder: Path, tmp_path: Path) -> None:
    done = export(folder, "predictions", tmp_path / "out", "--size", "original")
    assert done.exit_code == 0, done.output
    kept = folder / "results" / "datasets"
    kept.rename(folder / "away")
    done = export(folder, "predictions", tmp_path / "other", "--size", "original")
    (folder / "away").rename(kept)
    assert isinstance(done.exception, StoreError) and "no description" in str(done.exception)


@given(st.lists(st.text(max_size=150), unique=True, max_size=30))
def test_names_are_plain_different_and_the_same_each_time(texts: list[str]) -> None:
    names = file_names(texts)
    assert list(names) == texts and file_names(reversed(texts)) == names
    assert len({name.lower() for name in names.values()}) == len(texts)
    for name in names.values():
        assert 0 < len(name) <= LONGEST and name not in (".", "..") and name[0] not in ".-+"
        assert not set(name) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-")


def test_ids_that_are_paths_or_devices_stay_in_the_folder(tmp_path: Path) -> None:
    names = file_names(["../../x", "/etc/passwd", "con", "NUL.txt", "a", "A", "ok_1.png", "..", ""])
    assert names["ok_1.png"] == "ok_1.png" and names["a"] != names["A"].lower()
    assert not [name for name in names.values() if name.lower() in ("con", "nul.txt") or "/" in name]
    assert len({name.lower() for name in names.values()}) == len(names)
    given = file_names(["x/y"])["x/y"]
    assert len({name.lower() for name in file_names(["x/y", given]).values()}) == 2


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 24), st.sampled_from(["pad-square", "stretch"]))
def test_what_was_enlarged_comes_back_as_it_was(height: int, width: int, more: int, resize: str) -> None:
    mask = np.random.default_rng(height * 41 + width).integers(0, 4, (height, width), dtype=np.uint8)
    fit = Fit(max(height, width) + more, resize)
    _, grid = fit_square(np.zeros((height, width, 3), np.uint8), mask, fit)
    np.testing.assert_array_equal(to_original(grid, height, width, resize), mask)


def test_the_size_of_an_image_is_bounded_and_empty_names_write_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not exported"):
        to_original(np.zeros((8, 8), np.uint8), MOST_PIXELS, 2, "stretch")
    assert write_files(iter(()), tmp_path / "none") == 0
    labels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(to_png(labels)))), labels)
