"""CVC-ClinicDB: 29 sequences as groups, and two layouts."""

from __future__ import annotations

from pathlib import Path

import pytest
import tifffile
from PIL import Image

from bench_datasets.readers.cvc_clinicdb import LAST_FRAMES, sequence_of
from tests.helpers.published import (
    copy,
    draw,
    edit,
    reader,
    remove,
    told,
)

TOP = "CVC-ClinicDB"
IMAGE, MASK = f"{TOP}/Original/1.tif", f"{TOP}/Ground Truth/1.tif"
MIRRORED = "CVC-ClinicDB/metadata.csv"


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
