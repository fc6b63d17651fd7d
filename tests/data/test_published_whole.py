"""Folders with every published file: nothing is told of them, and one file less or more is."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bench_datasets.fakes.scenes import breast, polyp, save, skin
from bench_datasets.readers import cvc_clinicdb, cvc_colondb, etis, ham10000
from tests.helpers.published import DECLARED, reader


def links(source: Path, targets: list[Path]) -> None:
    """Give one file many names."""
    for target in targets:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, target)


def pairs(
    root: Path, drawn: Path, names: list[tuple[str, str]], size: tuple[int, int], kind: str = "png"
) -> Path:
    """Write one drawn pair under all of these names, and return the root."""
    image, mask = polyp("whole", 0, 1, size)
    how = {"quality": 95} if kind == "jpg" else {}
    save(drawn / f"image.{kind}", image, **how)
    save(drawn / f"mask.{kind}", mask * 255, **how)
    links(drawn / f"image.{kind}", [root / image for image, _ in names])
    links(drawn / f"mask.{kind}", [root / mask for _, mask in names])
    return root


def whole_kvasir(root: Path, drawn: Path) -> None:
    keys = [f"cju{number:022d}" for number in range(1000)]
    pairs(root, drawn, [(f"images/{key}.jpg", f"masks/{key}.jpg") for key in keys], (64, 48), "jpg")
    (root / "kavsir_bboxes.json").write_text(json.dumps({key: {"bbox": []} for key in keys}))


def whole_clinicdb(root: Path, drawn: Path) -> None:
    names = [(f"Original/{each}.tif", f"Ground Truth/{each}.tif") for each in range(1, 613)]
    pairs(root, drawn, names, cvc_clinicdb.SIZE, "tif")


def whole_colondb(root: Path, drawn: Path) -> None:
    pairs(
        root, drawn, [(f"images/{each}.png", f"masks/{each}.png") for each in range(1, 381)], cvc_colondb.SIZE
    )


def whole_colondb_official(root: Path, drawn: Path) -> None:
    pairs(
        root, drawn, [(f"{each}.tiff", f"p{each}.tiff") for each in range(1, 301)], cvc_colondb.SIZE, "tiff"
    )


def whole_etis(root: Path, drawn: Path) -> None:
    names = [(f"{etis.NAME}/{each}.tif", f"Ground Truth/p{each}.tif") for each in range(1, 197)]
    pairs(root, drawn, names, etis.SIZE, "tif")


def whole_ph2(root: Path, drawn: Path) -> None:
    cases = [f"IMD{each:03d}" for each in range(2, 202)]
    top = "PH2 Dataset images"
    names = [
        (f"{top}/{c}/{c}_Dermoscopic_Image/{c}.bmp", f"{top}/{c}/{c}_lesion/{c}_lesion.bmp") for c in cases
    ]
    pairs(root, drawn, names, (76, 57), "bmp")
    lines = [f"|| {case} ||  || {number % 3} || 0 | T ||" for number, case in enumerate(cases)]
    (root / "PH2_dataset.txt").write_text("|| Name || x || y ||\n" + "\n".join(lines))


def whole_ham10000(root: Path, drawn: Path) -> None:
    image, mask = skin("whole", 0, 1, ham10000.SIZE)
    save(drawn / "image.jpg", image)
    save(drawn / "mask.png", mask * 255)
    ids = [f"ISIC_{each:07d}" for each in range(ham10000.FIRST, ham10000.LAST + 1)]
    links(
        drawn / "image.jpg",
        [root / f"HAM10000_images_part_{1 + (n > 5000)}/{i}.jpg" for n, i in enumerate(ids)],
    )
    links(drawn / "mask.png", [root / ham10000.MASK_FOLDER / f"{each}_segmentation.png" for each in ids])
    rows = [f"HAM_{n % 7470:07d},{each},nv,histo,40,male,back" for n, each in enumerate(ids)]
    text = "lesion_id,image_id,dx,dx_type,age,sex,localization\n" + "\n".join(rows)
    (root / "HAM10000_metadata").write_text(text)


def whole_busi(root: Path, drawn: Path) -> None:
    image, masks = breast(0, 1, (64, 48), 1)
    save(drawn / "image.png", image)
    save(drawn / "mask.png", masks[0] * 255)
    for kind, count in (("benign", 437), ("malignant", 210), ("normal", 133)):
        links(drawn / "image.png", [root / kind / f"{kind} ({each}).png" for each in range(1, count + 1)])
        links(drawn / "mask.png", [root / kind / f"{kind} ({each})_mask.png" for each in range(1, count + 1)])
    links(drawn / "mask.png", [root / f"benign/benign ({each})_mask_1.png" for each in range(100, 116)])
    links(
        drawn / "mask.png",
        [root / "malignant/malignant (9)_mask_1.png", root / "benign/benign (100)_mask_2.png"],
    )


WHOLE: list[tuple[str, Callable[[Path, Path], None], int, int]] = [
    ("kvasir-seg", whole_kvasir, 1000, 1000),
    ("cvc-clinicdb", whole_clinicdb, 612, 29),
    ("cvc-colondb", whole_colondb, 380, 380),
    ("cvc-colondb", whole_colondb_official, 300, 300),
    ("etis", whole_etis, 196, 196),
    ("ph2", whole_ph2, 200, 200),
    ("busi", whole_busi, 780, 780),
    # 18 pairs of lesions show one, and at most so many are joined.
    pytest.param("ham10000", whole_ham10000, 10015, 7452, marks=pytest.mark.slow),  # type: ignore[list-item]
]


@pytest.mark.parametrize(("name", "write", "samples", "groups"), WHOLE)
def test_nothing_is_told_of_a_whole_folder(
    name: str, write: Callable[[Path, Path], None], samples: int, groups: int, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    write(root, tmp_path / "drawn")
    opened = reader(name, root)
    found = opened.samples()
    assert len(found) == samples and len({each.group for each in found}) == groups
    assert not any("missing" in remark for remark in opened.remarks())
    assert samples == DECLARED[name].samples or write is whole_colondb_official


def test_what_is_the_same_in_two_datasets_is_said_by_both() -> None:
    for name, declared in DECLARED.items():
        for other in declared.same_images:
            if other in DECLARED:
                assert name in DECLARED[other].same_images
