"""Own masks with values that count nowhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench_core.errors import DataError
from bench_datasets.plugin import FOLDER
from tests.helpers.folders import read_one, save_pair
from tests.helpers.pictures import blob, cache_folder, folder_options, picture


def test_ignored_values_count_nowhere(tmp_path: Path) -> None:
    mask = np.array([[0, 1, 255], [2, 254, 0]], dtype=np.uint8)
    save_pair(tmp_path, picture(0, 2, 3), mask)
    classes = {"a": 1, "b": 2}
    assert read_one(tmp_path, classes=classes, ignore=[254, 255])[1].tolist() == [[0, 1, 255], [2, 255, 0]]
    assert read_one(tmp_path, classes=classes, ignore="rest")[1].tolist() == [[0, 1, 255], [2, 255, 0]]
    assert read_one(tmp_path, classes=classes, ignore=255, background="rest")[1].tolist() == [
        [0, 1, 255],
        [2, 0, 0],
    ]
    assert read_one(tmp_path, classes=classes, ignore=0, background=[254, 255])[1].tolist() == [
        [255, 1, 0],
        [2, 0, 255],
    ]
    with pytest.raises(DataError, match=r"values that mean no class: 254 \(1 pixels\)"):
        read_one(tmp_path, classes=classes, ignore=255)
    assert FOLDER.task_for(folder_options(ignore=7)).ignore
    assert not FOLDER.task_for(folder_options()).ignore


def test_ignored_colors_and_wide_values(tmp_path: Path) -> None:
    mask = np.zeros((2, 3, 3), dtype=np.uint8)
    mask[0, 0], mask[0, 1] = (255, 0, 0), (255, 255, 255)
    save_pair(tmp_path / "color", picture(0, 2, 3), mask)
    labels = read_one(tmp_path / "color", classes={"a": "#ff0000"}, ignore="#ffffff")[1]
    assert labels.tolist() == [[1, 255, 0], [0, 0, 0]]
    wide = np.array([[0, 300, 65535]], dtype=np.uint16)
    save_pair(tmp_path / "wide", picture(0, 1, 3), wide)
    labels = read_one(tmp_path / "wide", classes={"a": 300}, ignore=65535)[1]
    assert labels.tolist() == [[0, 1, 255]]


def test_ignored_pixels_reach_the_cache_and_are_no_class(tmp_path: Path) -> None:
    mask = blob(0, 32, 32, value=255)
    mask[20:, 20:] = 7
    save_pair(tmp_path / "data", picture(0, 32, 32), mask)
    arrays = cache_folder(tmp_path / "data", tmp_path / "cache", image_size=32, ignore=7)
    assert (arrays.masks[0] == np.where(mask == 7, 255, mask > 0)).all()
    assert dict(arrays.labels[0]) == {0: 32 * 32 - 90 - 144, 1: 90, 255: 144}
