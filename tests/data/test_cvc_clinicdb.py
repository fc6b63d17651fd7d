"""CVC-ClinicDB: 29 sequences as groups, two layouts, and what is told of damaged folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from bench_datasets.readers.cvc_clinicdb import LAST_FRAMES, sequence_of
from tests.helpers.published import (
    Damage,
    check_damage,
    copy,
    cut,
    draw,
    edit,
    names,
    reader,
    remove,
    repaint,
    smaller,
    told,
    write,
)

TOP = "CVC-ClinicDB"
IMAGE, MASK = f"{TOP}/Original/1.tif", f"{TOP}/Ground Truth/1.tif"
DAMAGES = [
    Damage("no mask", remove(MASK), MASK, "is missing: the mask", missing=True),
    Damage("no image", remove(IMAGE), IMAGE, "is missing: the image", missing=True),
    Damage("image cut off", cut(IMAGE), IMAGE, "cannot be decoded"),
    Damage("mask is text", write(MASK, "404: not found"), MASK, "not an image in a known format"),
    Damage("a mask of another size", smaller(MASK), MASK, "is 192 x 144 pixels"),
    Damage("an image of another size", smaller(IMAGE), IMAGE, "published are 384 x 288"),
    Damage("an empty mask", repaint(MASK, np.zeros_like), MASK, "shows nothing"),
    Damage("the picture as mask", copy(IMAGE, MASK), MASK, "is in color"),
    Damage("a frame twice", copy(IMAGE, f"{TOP}/Original/1.png"), "1.tif", "is a second image for 1"),
    Damage("no folder of masks", remove(f"{TOP}/Ground Truth"), f"{TOP}/Ground Truth", "no such folder"),
]
MIRRORED = "CVC-ClinicDB/metadata.csv"
TABLES = [
    Damage("no columns", write(MIRRORED, "a,b\n1,2\n"), MIRRORED, "names no columns frame_id"),
    Damage("not numbers", edit(MIRRORED, lambda t: t + "x,y,,,,\n"), f"{MIRRORED}:6", "expected a number"),
    Damage(
        "two sequences", edit(MIRRORED, lambda t: t + "1,9,,,,\n"), f"{MIRRORED}:6", "in a second sequence"
    ),
    Damage(
        "a frame without a line",
        edit(MIRRORED, lambda t: "".join(line for line in t.splitlines(True) if not line.startswith("612,"))),
        "Original/612.png",
        "has no line in metadata.csv",
    ),
    Damage("no CSV", write(MIRRORED, b"frame_id,\xff\n"), MIRRORED, "cannot be read as CSV"),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cvc")
    draw("cvc-clinicdb", root, 4)
    return root


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mirrored")
    draw("cvc-clinicdb", root, 4, seed=1)
    return root


@pytest.mark.parametrize("damage", DAMAGES, ids=names(DAMAGES))
def test_damage_is_told_once(damage: Damage, whole: Path, tmp_path: Path) -> None:
    check_damage(damage, "cvc-clinicdb", whole, tmp_path)


@pytest.mark.parametrize("damage", TABLES, ids=names(TABLES))
def test_damage_of_the_mirrored_table_is_told_once(damage: Damage, mirrored: Path, tmp_path: Path) -> None:
    check_damage(damage, "cvc-clinicdb", mirrored, tmp_path)


def test_frames_are_dealt_into_29_sequences_without_gaps() -> None:
    groups = [sequence_of(frame) for frame in range(1, 613)]
    assert groups == sorted(groups) and set(groups) == set(range(1, 30))
    assert [frame for frame in range(1, 612) if groups[frame] != groups[frame - 1]] == list(LAST_FRAMES[:-1])


def test_the_table_of_a_mirror_decides_about_sequences(mirrored: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    draw("cvc-clinicdb", root, 4, seed=1)
    edit(MIRRORED, lambda text: text.replace("\n1,1,", "\n1,17,"))(root)
    samples = reader("cvc-clinicdb", root, allow_missing=True).samples()
    assert (
        samples[0].group == "sequence-17"
        and samples[1].group == f"sequence-{sequence_of(int(samples[1].id)):02d}"
    )


def test_png_is_read_where_both_are_there_and_tiff_is_told(mirrored: Path) -> None:
    opened = reader("cvc-clinicdb", mirrored, allow_missing=True)
    assert all(path.suffix == ".png" for sample in opened.samples() for path in sample.files)
    assert any("TIF/: the same frames" in remark for remark in opened.remarks())


@pytest.mark.parametrize("kind", ["1-bit", "white is zero", "palette"])
def test_masks_of_other_kinds_are_read_as_they_look(kind: str, whole: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    draw("cvc-clinicdb", root, 4)
    first = reader("cvc-clinicdb", whole, allow_missing=True)
    expected = first.read(first.samples()[0])[1]
    white = Image.fromarray(expected * 255)
    if kind == "1-bit":
        white.convert("1").save(root / MASK)
    elif kind == "palette":
        white.convert("P").save(root / MASK)
    else:
        tifffile.imwrite(root / MASK, 255 - expected * 255, photometric="miniswhite")
    opened = reader("cvc-clinicdb", root, allow_missing=True)
    assert (opened.read(opened.samples()[0])[1] == expected).all()


def test_the_fuller_of_two_copies_is_read(mirrored: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    draw("cvc-clinicdb", root, 4, seed=1)
    for folder in ("Original", "Ground Truth"):
        remove(f"{TOP}/PNG/{folder}/1.png")(root)
    samples = reader("cvc-clinicdb", root, allow_missing=True).samples()
    assert len(samples) == 4 and {path.suffix for sample in samples for path in sample.files} == {".tif"}


def test_numbers_beyond_the_published_ones_and_gaps_are_told(whole: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    draw("cvc-clinicdb", root, 4)
    for folder in ("Original", "Ground Truth"):
        copy(f"{TOP}/{folder}/1.tif", f"{TOP}/{folder}/613.tif")(root)
    lines = told("cvc-clinicdb", root, tmp_path / "cache")
    assert lines == [
        f"{TOP}/Original: holds a number 613: the published frames are 1 to 612",
        f"{TOP}/Original: 608 of 612 frames are missing: 2-203, 205-407, 409-611",
    ]
