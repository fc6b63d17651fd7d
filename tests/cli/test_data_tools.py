"""bench data info, check NAME, prepare, show and fake: datasets looked at without a study."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from bench_core.cli.main import bench
from bench_core.data.describe import large_groups
from bench_core.errors import BenchError, DataError, PluginError, UnknownNameError
from bench_core.report.contact.sheet import sheet, spread, tile
from bench_core.report.pictures import class_color
from tests.helpers.pictures import in_memory, write_folder

PLUGIN = """
from bench_core import Dataset, FakeRequest, Task, hookimpl


def draw(request: FakeRequest):
    for number in range(request.samples):
        (request.root / f"{number}-{request.seed}.txt").write_text("drawn")
    return {"samples": [{"id": str(number), "group": "all"} for number in range(request.samples)]}


def silent(request: FakeRequest):
    return None


@hookimpl
def bench_datasets():
    task = Task(classes=("lesion",), channels=3)
    shared = dict(version=1, task=task, license="free", how_to_get="nowhere", unavailable="a test")
    return [
        Dataset(name="drawn", fake="mine:draw", citation="Nobody 2020", parts={"train": 3, "test": 2},
                samples=5, same_images={"other": "all of them"}, **shared),
        Dataset(name="silent", fake="mine:silent", **shared),
    ]
"""


def call(*arguments: object) -> Result:
    return CliRunner().invoke(bench, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN.replace('"mine:draw"', "draw").replace('"mine:silent"', "silent"))
    return path


def test_info_prints_all_that_is_declared(plugin: Path) -> None:
    text = call("data", "info", "drawn", "--plugin", plugin).output
    for wanted in ("labelled images: 5 (train 3, test 2)", "Nobody 2020", "shares images with other",
                   "bench data fake drawn"):  # fmt: skip
        assert wanted in text
    told = json.loads(call("data", "info", "synthetic", "--json").output)
    assert told["options"]["look"]["default"] == "dermoscopy" and told["classes"] is None
    with pytest.raises(UnknownNameError):
        call("data", "info", "drawm", "--plugin", plugin)


def test_a_small_copy_is_drawn_with_its_truth_and_never_over_something(plugin: Path, tmp_path: Path) -> None:
    made = call(
        "data", "fake", "drawn", "--samples", 4, "--seed", 7, "--out", tmp_path / "out", "--plugin", plugin
    )
    assert made.exit_code == 0
    assert sorted(path.name for path in (tmp_path / "out/drawn").iterdir()) == [
        f"{n}-7.txt" for n in range(4)
    ]
    truth = json.loads((tmp_path / "out/drawn-truth.json").read_text())
    assert [row["id"] for row in truth["samples"]] == ["0", "1", "2", "3"]
    with pytest.raises(DataError, match="there is something already"):
        call("data", "fake", "drawn", "--out", tmp_path / "out", "--plugin", plugin)
    with pytest.raises(PluginError, match="does not tell its truth"):
        call("data", "fake", "silent", "--out", tmp_path / "out", "--plugin", plugin)
    with pytest.raises(DataError, match="has no small copy"):
        call("data", "fake", "folder", "--out", tmp_path / "out")


def test_a_dataset_is_checked_by_its_name(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "own")
    done = call("data", "check", "folder", "--root", root, "--option", "classes={lesion: 255}")
    assert "folder: 6 images in 6 groups" in done.output
    with pytest.raises(DataError, match="reads files"):
        call("data", "check", "folder", "--option", "classes={lesion: 255}")
    with pytest.raises(UnknownNameError, match="cannot take these options"):
        call("data", "check", "folder", "--root", root, "--option", "class={lesion: 255}")
    wrong = CliRunner().invoke(bench, ["data", "check", "folder", "--option", "classes"])
    assert wrong.exit_code == 2 and "write NAME=VALUE" in wrong.output
    (root / "masks/case-01.png").unlink()
    with pytest.raises(BenchError) as caught:
        call("data", "check", "folder", "--root", root, "--option", "classes={lesion: 255}")
    assert str(caught.value).count("case-01.png") == 1


def test_a_folder_that_is_called_like_a_dataset_is_no_spec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path / "folder")
    monkeypatch.chdir(tmp_path)
    done = call("data", "check", "folder", "--root", "folder", "--option", "classes={lesion: 255}")
    assert done.exit_code == 0 and "6 images" in done.output


def test_a_spec_without_a_subcommand_is_told_what_to_write() -> None:
    done = CliRunner().invoke(bench, ["data", "study.yaml"])
    assert done.exit_code == 2 and "bench data check study.yaml" in done.output


def test_prepare_takes_a_spec_alone() -> None:
    done = CliRunner().invoke(bench, ["data", "prepare", "synthetic"])
    assert done.exit_code == 2 and "bench data check synthetic" in done.output


def test_prepare_says_where_the_caches_are_and_show_draws_them(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "version: 1\nname: study\nmodels: [{name: u-net, options: {width: 2}}]\n"
        "datasets: [{name: synthetic, options: {samples: 9, size: 32, groups: 4}}]\n"
        "protocol: {image_size: 32, pretrained: none, learning_rate: 1e-3, batch_size: 2,"
        " evaluate: {folds: 3, epochs: 1}}\n"
    )
    store = tmp_path / "store"
    row = json.loads(call("data", "prepare", spec, "--store", store, "--json").output)["datasets"][0]
    assert row["samples"] == 9 and row["groups"] == 4 and row["bytes"] == 9 * 32 * 32 * 4
    assert Path(row["cache"]).is_dir() and Path(row["cache"]).is_relative_to(store)
    out = tmp_path / "sheets"
    done = call("data", "show", spec, "--store", store, "--out", out, "--images", 5)
    assert done.output.count("wrote ") == 2
    page = (out / "index.html").read_text()
    assert page.count("<figure>") == 5
    assert "9, of which 5 are shown" in page and page.count('<th scope="row">') == 4
    with Image.open(next(out.glob("*.png"))) as drawn:
        assert drawn.width > 5 * 160 and drawn.height > 160


def test_names_from_the_data_are_escaped_on_the_page(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "own")
    for kind in ("images", "masks"):
        (root / kind / "case-00.png").rename(root / kind / "<img src=x onerror=1>.png")
    call("data", "show", "folder", "--root", root, "--out", tmp_path / "out",
         "--option", "classes={'<i>lesion': 255}")  # fmt: skip
    page = (tmp_path / "out/index.html").read_text()
    assert "<img src=x" not in page and "&lt;img src=x onerror=1&gt;" in page
    assert "<i>lesion" not in page and "&lt;i&gt;lesion" in page


def test_copies_are_shown_side_by_side(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "own")
    for kind in ("images", "masks"):
        copy = (root / kind / "case-02.png").read_bytes()
        (root / kind / "another.png").write_bytes(copy)
    call("data", "show", "folder", "--root", root, "--out", tmp_path / "out", "--images", 1,
         "--option", "classes={lesion: 255}")  # fmt: skip
    page = (tmp_path / "out/index.html").read_text()
    cluster = page[page.index("Copies") :]
    assert cluster.count("<figure>") == 2 and "another" in cluster and "case-02" in cluster


def test_a_group_larger_than_a_fold_is_told() -> None:
    assert large_groups(["a"] * 6 + ["b", "c", "d"], 3) == [
        "group 'a' holds 6 of 9 images, more than one of 3 folds should: folds differ in size"
    ]
    assert large_groups(["a"] * 4 + ["b", "c", "d", "e", "f"], 3) == []


def test_a_contour_lies_where_the_class_ends() -> None:
    image = np.full((64, 64, 3), 90, np.uint8)
    mask = np.zeros((64, 64), np.uint8)
    mask[16:48, 20:40] = 2
    drawn = tile(image, mask, 64)
    border = np.zeros((64, 64), bool)
    border[16:48, 20:40] = True
    border[17:47, 21:39] = False
    assert (drawn[border] == class_color(2)).all()
    assert (drawn[30, 30] == 90).all() and (drawn[5, 5] == 90).all() and (drawn[15, 30] == 0).all()


def test_a_sheet_holds_every_sample_that_is_asked_for() -> None:
    arrays = in_memory(12)
    assert sheet(arrays, range(12)).size[0] > 10 * 160
    assert spread(100, 3) == [0, 50, 99]
    assert spread(4, 9) == [0, 1, 2, 3] and spread(5, 1) == [0]
