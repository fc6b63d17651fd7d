"""What can be wrong with each published dataset's files, and what must be told of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench_datasets.fakes.kvasir_seg import _digest
from tests.helpers.published import (
    Damage,
    both,
    copy,
    cut,
    edit,
    link,
    remove,
    repaint,
    smaller,
    write,
)


def usual(
    image: str, mask: str, *, in_color: str = "is in color", no_image: str = "is missing", share: float = 0.5
) -> list[Damage]:
    """Return what can happen to any pair of files.

    `in_color` is said of a picture in the mask's place; `share` of a mask is left when it is cut off.
    """
    return [
        Damage("no mask", remove(mask), mask, "is missing", missing=True),
        Damage("no image", remove(image), Path(image).name, no_image, missing=True),
        Damage("image cut off", cut(image), image, "cannot be decoded"),
        Damage("mask cut off", cut(mask, share), mask, "cannot be decoded"),
        Damage("mask is a page", write(mask, "<html>404"), mask, "not an image in a known format"),
        Damage("image is empty", write(image, b""), image, "is empty (0 bytes)"),
        Damage("mask is a link to nowhere", link(mask), mask, "is a broken link"),
        Damage("mask of another size", smaller(mask), mask, "pixels, its image"),
        Damage("mask without foreground", repaint(mask, np.zeros_like), mask, "shows nothing"),
        Damage("the picture as mask", copy(image, mask), mask, in_color),
    ]


def _ph2() -> list[Damage]:
    top, table = "PH2Dataset/PH2 Dataset images", "PH2Dataset/PH2_dataset.txt"
    case = f"{top}/IMD004"
    lesion = f"{case}/IMD004_lesion/IMD004_lesion.bmp"
    unknown: Callable[[str], str] = lambda t: t.replace(  # noqa: E731
        "|| IMD004 ||              ||      1", "|| IMD004 || ||  7"
    )
    return [
        *usual(f"{case}/IMD004_Dermoscopic_Image/IMD004.bmp", lesion),
        Damage("no case", remove(case), case, "is missing: a case", missing=True),
        Damage("no table", remove(table), table, "is missing: the table", missing=True),
        Damage("a gray mask", repaint(lesion, lambda p: p.astype(np.uint8) * 100), lesion, "100 ("),
        Damage("case twice", edit(table, lambda t: t + "|| IMD004 || || 0 || ||\n"), table, "a second line"),
        Damage("a diagnosis unknown", edit(table, unknown), table, "is '7', not 0, 1 or 2"),
        Damage("a table of nothing", write(table, "nothing"), table, "holds no lines"),
    ]


KVASIR_SEED = 3


def _kvasir() -> list[Damage]:
    key = "cju" + _digest(KVASIR_SEED, 0)[:22]
    top = "Kvasir-SEG"
    image, mask, table = f"{top}/images/{key}.jpg", f"{top}/masks/{key}.jpg", f"{top}/kavsir_bboxes.json"

    def unlisted(text: str) -> str:
        return json.dumps({name: box for name, box in json.loads(text).items() if name != key})

    return [
        *usual(image, mask, share=0.3),
        Damage("neither", both(remove(image), remove(mask)), image, "but has a box", missing=True),
        Damage("no table", remove(table), table, "is missing: the table of boxes", missing=True),
        Damage("gray values", repaint(mask, lambda p: p // 2), mask, "neither black nor white"),
        Damage("values of 0 and 1", repaint(mask, lambda p: p // 255, quality=100), mask, "shows nothing"),
        Damage("a broken table", write(table, "{"), table, "cannot be read as JSON"),
        Damage("a table of lists", write(table, "[]"), table, "holds no table"),
        Damage("an unlisted image", edit(table, unlisted), image, "is not in the published table"),
        Damage("no folder of masks", remove(f"{top}/masks"), f"{top}/masks", "no such folder"),
    ]


def _clinicdb() -> list[Damage]:
    top = "CVC-ClinicDB"
    image, mask = f"{top}/Original/1.tif", f"{top}/Ground Truth/1.tif"
    return [
        *usual(image, mask),
        Damage("an image of another size", smaller(image), image, "published are 384 x 288"),
        Damage("a frame twice", copy(image, f"{top}/Original/1.png"), "1.tif", "is a second image for 1"),
        Damage("no folder of masks", remove(f"{top}/Ground Truth"), f"{top}/Ground Truth", "no such folder"),
    ]


def _mirrored() -> list[Damage]:
    table = "CVC-ClinicDB/metadata.csv"

    def shorter(text: str) -> str:
        return "".join(line for line in text.splitlines(True) if not line.startswith("612,"))

    return [
        Damage("no columns", write(table, "a,b\n1,2\n"), table, "names no columns frame_id"),
        Damage("not numbers", edit(table, lambda t: t + "x,y,,,,\n"), f"{table}:6", "expected a number"),
        Damage("two sequences", edit(table, lambda t: t + "1,9,,,,\n"), f"{table}:6", "in a second sequence"),
        Damage("no line", edit(table, shorter), "Original/612.png", "has no line in metadata.csv"),
        Damage("no CSV", write(table, b"frame_id,\xff\n"), table, "cannot be read as CSV"),
    ]


def _colondb() -> list[Damage]:
    top = "CVC-ColonDB"
    twice = Damage("a frame twice", copy(f"{top}/2.bmp", f"{top}/2.png"), f"{top}/2.png", "is a second frame")
    return [*usual(f"{top}/2.bmp", f"{top}/p2.bmp"), twice]


def _colondb_circulating() -> list[Damage]:
    top = "CVC-ColonDB"
    gone = Damage("no masks", remove(f"{top}/masks"), f"{top}/masks", "no such folder")
    return [*usual(f"{top}/images/2.png", f"{top}/masks/2.png"), gone]


def _etis() -> list[Damage]:
    top = "ETIS-LaribPolypDB"
    image, mask, masks = f"{top}/{top}/1.tif", f"{top}/Ground Truth/p1.tif", f"{top}/Ground Truth"
    without: Callable[[Path], object] = lambda r: (r / mask).rename(r / f"{masks}/1.tif")  # noqa: E731
    half = both(smaller(image), smaller(mask))
    return [
        *usual(image, mask),
        Damage("no prefix", without, mask, "is missing", missing=True),
        Damage("another size of both", half, image, "published are 1225 x 966"),
        Damage("no folder of masks", remove(masks), masks, "no such folder"),
    ]


def _ham10000() -> list[Damage]:
    image, table = "HAM10000_images_part_1/ISIC_0024306.jpg", "HAM10000_metadata"
    masks, line = "HAM10000_segmentations_lesion_tschandl", "HAM_0000000,ISIC_0024306"
    mask = f"{masks}/ISIC_0024306_segmentation.png"
    other = "HAM10000_images_part_2/ISIC_0024306.jpg"
    again = f"{line},nv,histo,50,male,back,x\n"
    return [
        *usual(image, mask, no_image="in neither folder of images"),
        Damage("an image of another size", smaller(image), image, "published are 600 x 450"),
        Damage("a gray mask", repaint(mask, lambda p: p // 3), mask, "values beside 0 and 255: 85"),
        Damage("an image twice", copy(image, other), "part_2/ISIC_0024306", "a second image"),
        Damage("no metadata", remove(table), table, "images of one lesion would lie in two folds"),
        Damage("a line twice", edit(table, lambda t: t + again), f"{table}:8", "second line"),
        Damage("no lesion", edit(table, lambda t: t.replace(line, line[11:])), f"{table}:2", "no lesion_id"),
        Damage("no columns", edit(table, lambda t: t.replace("lesion_id", "x")), table, "lacks the columns"),
        Damage("not a line", edit(table, lambda t: t + "a,b\n"), f"{table}:8", "expected a line of an image"),
        Damage("no masks", remove(masks), masks, "no such folder of masks"),
    ]


def _busi() -> list[Damage]:
    top = "Dataset_BUSI_with_GT"
    one, two, normal = f"{top}/benign/benign (1)", f"{top}/benign/benign (2)", f"{top}/normal/normal (1)"
    mask, first, second = f"{one}_mask.png", f"{two}_mask.png", f"{two}_mask_1.png"
    white: Callable[[Any], Any] = lambda p: np.full(p.shape[:2], 255, np.uint8)  # noqa: E731
    deep: Callable[[Any], Any] = lambda p: p.astype(np.uint16) * 65535  # noqa: E731
    return [
        *usual(f"{one}.png", mask, in_color="beside 0 and 255"),
        Damage("first of two masks", remove(first), first, "is missing: a mask", missing=True),
        Damage("a second mask cut off", cut(second), second, "cannot be decoded"),
        Damage("a second mask is empty", write(second, b""), second, "is empty"),
        Damage("a second mask of another size", smaller(second), second, "pixels, its image"),
        Damage("a normal one with a lesion", repaint(f"{normal}_mask.png", white), normal, "shows a lesion"),
        Damage("no folder", remove(f"{top}/malignant"), f"{top}/malignant", "no such folder"),
        Damage("a mask twice", copy(mask, f"{one}_mask_0.png"), f"{one}_mask_0.png", "is a second mask"),
        Damage("16 bits", repaint(mask, deep), mask, "holds uint16 values instead of 8 bits"),
    ]


LAYOUTS: Mapping[str, tuple[str, int, int, list[Damage]]] = {
    "ph2": ("ph2", 2, 0, _ph2()),
    "kvasir-seg": ("kvasir-seg", 2, KVASIR_SEED, _kvasir()),
    "cvc-clinicdb": ("cvc-clinicdb", 2, 0, _clinicdb()),
    "cvc-clinicdb, mirrored": ("cvc-clinicdb", 4, 1, _mirrored()),
    "cvc-colondb": ("cvc-colondb", 2, 0, _colondb()),
    "cvc-colondb, circulating": ("cvc-colondb", 2, 1, _colondb_circulating()),
    "etis": ("etis", 2, 0, _etis()),
    "ham10000": ("ham10000", 6, 0, _ham10000()),
    "busi": ("busi", 7, 0, _busi()),
}
"""By layout: dataset, samples and seed of its small copy, and what is done to it."""
