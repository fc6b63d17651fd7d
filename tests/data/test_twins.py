"""Copies that are not equal byte by byte, and patients that were not told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench_core.data.check import Dealing, Wanted, prepare
from bench_core.data.opening import Source
from bench_core.data.resize import Fit
from bench_core.data.twins import group_hints
from bench_core.options import complete_options
from bench_datasets.plugin import FOLDER, MNI152, SYNTHETIC
from tests.helpers.pictures import blob, folder_options, write_folder


def smooth(seed: int, height: int = 60, width: int = 80) -> np.ndarray:
    """A picture that survives being resized."""
    field = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(field).resize((width, height), Image.Resampling.BICUBIC))


def found(tmp_path: Path, source: Source) -> list[str]:
    (ready,) = prepare([Wanted(source, Fit(32), (Dealing(3, 1),))], tmp_path / "cache")
    return [text for text in ready.warnings if "copies" in text]


def test_copies_in_other_formats_and_sizes_are_found(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_folder(root, 0)
    for number in range(9):
        image = Image.fromarray(smooth(number))
        image.save(root / f"images/s{number}.png")
        Image.fromarray(blob(number, 60, 80)).save(root / f"masks/s{number}.png")
    options = folder_options()
    mine = Source("mine", FOLDER, FOLDER.task_for(options), str(root), options)
    assert found(tmp_path, mine) == []
    for number, name in ((1, "jpeg.jpg"), (2, "small.png"), (3, "bit.png")):
        image = Image.fromarray(smooth(number))
        mask = Image.fromarray(blob(number, 60, 80))
        if name == "small.png":
            image, mask = image.resize((40, 30)), mask.resize((40, 30), Image.Resampling.NEAREST)
        if name == "bit.png":
            image.putpixel((0, 0), (1, 2, 3))
        image.save(root / "images" / name, quality=85)
        mask.save(root / "masks" / f"{name.partition('.')[0]}.png")
    folds = dict.fromkeys(("jpeg", "small", "bit"), 0) | {f"s{number}": 1 + number % 2 for number in range(9)}
    (tmp_path / "folds.csv").write_text("".join(f"{name},{fold}\n" for name, fold in folds.items()))
    given_folds = Source(
        "mine", FOLDER, FOLDER.task_for(options), str(root), options, str(tmp_path / "folds.csv")
    )
    assert found(tmp_path, given_folds) == [
        "3 clusters of images in different folds look like copies of each other: bit and s3; jpeg and s1; "
        "s2 and small"
    ]


@pytest.mark.parametrize(
    ("declared", "options"),
    [
        (MNI152, {"plane": "axial"}),
        (MNI152, {"plane": "sagittal"}),
        (SYNTHETIC, {"look": "dermoscopy", "samples": 40, "size": 64}),
        (SYNTHETIC, {"look": "ultrasound", "samples": 40, "size": 64}),
    ],
)
def test_what_is_only_similar_is_no_copy(
    tmp_path: Path, declared: object, options: dict[str, object]
) -> None:
    complete = complete_options(declared.options, options)
    source = Source("data", declared, declared.task_for(complete), None, complete)
    assert found(tmp_path, source) == []


@pytest.mark.parametrize(
    ("ids", "groups", "hint"),
    [
        (
            ["patient0_slice0", "patient0_slice1", "patient1_slice0", "patient1_slice1"],
            None,
            "patient0_slice0 and",
        ),
        (["p01-1", "p01-2", "p02-1", "p02-2", "odd"], None, "p01-1 and p01-2"),
        (["a/p1/3", "a/p1/4", "a/p2/3", "a/p2/4"], None, "a/p1/3 and a/p1/4"),
        (["p1_1", "p1_2", "p2_1", "p2_2"], ["p1", "p1", "p2", "p2"], None),
        ([f"ISIC_{number:07d}" for number in range(9)], None, None),
        ([f"case-{number:02d}" for number in range(9)], None, None),
        ([str(number) for number in range(9)], None, None),
        (["x", "y", "z"], ["P1", "p1 ", "p2"], "'P1' and 'p1 ' differ in case or spaces only"),
    ],
)
def test_hints_at_groups(ids: list[str], groups: list[str] | None, hint: str | None) -> None:
    hints = group_hints(ids, groups or ids)
    assert len(hints) == (hint is not None)
    if hint is not None:
        assert hint in hints[0]
