"""Copies as large as what is published, made of links to few files: complete without any leave."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from bench_datasets.declared.study import CAMUS, ISIC2018, NEOPOLYP
from bench_datasets.readers.isic2018 import PARTS, names_of
from bench_datasets.readers.neopolyp_sessions import TABLE
from tests.helpers.study_copies import draw, problems, reader


@pytest.fixture(scope="module")
def isic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    small, root = tmp_path_factory.mktemp("small") / "isic", tmp_path_factory.mktemp("isic")
    draw(ISIC2018, small, samples=10)
    number = 0
    for part in PARTS:
        images, masks = names_of(part)
        image, mask = (next((small / name).glob(f"ISIC_*{end}")) for name, end in
                       ((images, ".jpg"), (masks, "_segmentation.png")))  # fmt: skip
        for name in (images, masks):
            (root / name).mkdir()
            (root / name / "LICENSE.txt").write_text("CC0")
        for _ in range(ISIC2018.parts[part]):
            os.link(image, root / images / f"ISIC_{number:07d}.jpg")
            os.link(mask, root / masks / f"ISIC_{number:07d}_segmentation.png")
            number += 1
    return root


@pytest.fixture(scope="module")
def neopolyp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    small, root = tmp_path_factory.mktemp("small") / "neopolyp", tmp_path_factory.mktemp("neopolyp")
    draw(NEOPOLYP, small, samples=12)
    sources = {name: next((small / name / name).glob("*.jpeg")) for name in ("train", "train_gt", "test")}
    for name in sources:
        (root / name / name).mkdir(parents=True)
    with TABLE.open(newline="") as file:
        for row in csv.DictReader(file):
            folders = ("train", "train_gt") if row["part"] == "train" else ("test",)
            for folder in folders:
                os.link(sources[folder], root / folder / folder / f"{row['name']}.jpeg")
    return root


@pytest.fixture(scope="module")
def camus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    small, root = tmp_path_factory.mktemp("small") / "camus", tmp_path_factory.mktemp("camus")
    draw(CAMUS, small, samples=12)
    (source, *_) = sorted((small / "CAMUS_public/database_nifti").iterdir())
    names = [f"patient{number:04d}" for number in range(1, 501)]
    for name in names:
        folder = root / "database_nifti" / name
        folder.mkdir(parents=True)
        for path in source.iterdir():
            os.link(path, folder / path.name.replace(source.name, name))
    (root / "database_split").mkdir()
    # In no order of numbers: every tenth patient validates, the one after it is tested.
    for part, rest in (("validation", {0}), ("testing", {1}), ("training", set(range(2, 10)))):
        lines = [name for place, name in enumerate(names) if place % 10 in rest]
        (root / "database_split" / f"subgroup_{part}.txt").write_text("\n".join(lines) + "\n")
    return root


def test_isic_is_complete(isic: Path) -> None:
    opened = reader(ISIC2018, isic, allow_missing=False)
    samples = opened.samples()
    assert len(samples) == ISIC2018.samples == 3694
    counts = {part: sum(sample.attributes["part"] == part for sample in samples) for part in PARTS}
    assert counts == ISIC2018.parts and not opened.remarks()


@pytest.mark.parametrize(("groups", "count"), [("none", 1000), ("session", 335)])
def test_neopolyp_is_complete(groups: str, count: int, neopolyp: Path) -> None:
    samples = reader(NEOPOLYP, neopolyp, allow_missing=False, groups=groups).samples()
    assert len(samples) == NEOPOLYP.samples == 1000
    # 327 sessions, and eight images whose clock cannot be read.
    assert len({sample.group for sample in samples}) == count


def test_camus_is_complete(camus: Path) -> None:
    opened = reader(CAMUS, camus, allow_missing=False)
    samples = opened.samples()
    assert len(samples) == CAMUS.samples == 2000 and not opened.remarks()
    parts = [sample.attributes["split"] for sample in samples]
    assert {part: parts.count(part) for part in set(parts)} == CAMUS.parts


def test_one_file_less_or_more_is_told(isic: Path) -> None:
    images, masks = (isic / name for name in names_of("validation"))
    path = sorted(masks.glob("*.png"))[0]
    kept = path.read_bytes()
    path.unlink()
    assert problems(ISIC2018, isic, allow_missing=False) == (
        f"{masks.name}/{path.name}: the mask is missing",
    )
    path.write_bytes(kept)
    extra = images / "ISIC_9999999.jpg", masks / "ISIC_9999999_segmentation.png"
    os.link(sorted(images.glob("*.jpg"))[0], extra[0])
    os.link(path, extra[1])
    try:
        assert problems(ISIC2018, isic, allow_missing=True) == (
            f"{images.name}: holds 101 images, 1 more than published",
        )
    finally:
        for one in extra:
            one.unlink()
