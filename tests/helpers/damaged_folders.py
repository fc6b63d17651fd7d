"""Folders of own images, each damaged in one way, and what is said of them once.

`python -m tests.helpers.damaged_folders` prints what each prints.
"""

from __future__ import annotations

import gzip
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import tifffile
from PIL import Image

from bench_core.data.check import Dealing, Wanted, prepare
from bench_core.data.opening import Source
from bench_core.data.resize import Fit
from bench_core.errors import BenchError
from bench_datasets.plugin import FOLDER
from tests.helpers.formats import GRAY, RGB, chunk, dicom, orientation_chunk, png
from tests.helpers.pictures import blob, folder_options, picture, write_folder

Damage = Callable[[Path], Any]
ONE, MASK = "images/case-01.png", "masks/case-01.png"
TWELVE = np.random.default_rng(2).integers(0, 4096, (20, 24), dtype=np.uint16)


@dataclass(frozen=True)
class Row:
    """One way to damage a folder of four samples."""

    damage: Damage
    said: str
    """Words that the message or a warning holds once."""
    options: Mapping[str, Any] = field(default_factory=dict)
    warning: bool = False
    """The folder is used, and the words are a warning."""


def outcome(root: Path, cache: Path, options: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Return the one message of a folder, empty if it can be used, and the warnings."""
    complete = folder_options(**options)
    try:
        task = FOLDER.task_for(complete)
        source = Source("mine", FOLDER, task, str(root), complete)
        wanted = Wanted(source, Fit(32, "pad-square", "background"), (Dealing(2, 0),))
        (ready,) = prepare([wanted], cache)
    except (BenchError, ValueError) as error:
        return str(error), ()
    return "", ready.warnings


def write(name: str, content: bytes) -> Damage:
    return lambda root: (root / name).write_bytes(content)


def save(name: str, values: np.ndarray, **given: Any) -> Damage:
    return lambda root: Image.fromarray(values).save(root / name, **given)


def replace(old: str, new: str, make: Callable[[Path], Any]) -> Damage:
    def damage(root: Path) -> None:
        (root / old).unlink()
        make(root / new)

    return damage


def cut(name: str, share: float) -> Damage:
    def damage(root: Path) -> None:
        content = (root / name).read_bytes()
        (root / name).write_bytes(content[: int(len(content) * share)])

    return damage


def tiff_cut(size: int) -> Callable[[Path], Any]:
    def make(path: Path) -> None:
        tifffile.imwrite(path, np.dstack([TWELVE] * 3), photometric="rgb")
        path.write_bytes(path.read_bytes()[:size])

    return make


def tiff(values: np.ndarray, **given: Any) -> Callable[[Path], Any]:
    return lambda path: tifffile.imwrite(path, values, **given)


def nifti(values: np.ndarray, affine: np.ndarray | None = None) -> Callable[[Path], Any]:
    place = np.eye(4) if affine is None else affine
    return lambda path: nibabel.Nifti1Image(values, place).to_filename(path)


def both_nifti(affine: np.ndarray) -> Damage:
    def damage(root: Path) -> None:
        replace(ONE, "images/case-01.nii", nifti(picture(1, channels=1)[:, :, 0].T))(root)
        replace(MASK, "masks/case-01.nii", nifti(blob(1).T, affine))(root)

    return damage


def all_images(make: Callable[[int], bytes], suffix: str = ".png") -> Damage:
    def damage(root: Path) -> None:
        for number, path in enumerate(sorted((root / "images").iterdir())):
            path.unlink()
            path.with_suffix(suffix).write_bytes(make(number))

    return damage


def all_masks(make: Callable[[int], np.ndarray]) -> Damage:
    def damage(root: Path) -> None:
        for number, path in enumerate(sorted((root / "masks").iterdir())):
            Image.fromarray(make(number)).save(path)

    return damage


def renamed(folder: str, to: Callable[[str], str]) -> Damage:
    def damage(root: Path) -> None:
        for path in sorted((root / folder).iterdir()):
            path.rename(path.with_name(to(path.stem) + path.suffix))

    return damage


def saved_dicom(**header: Any) -> Callable[[Path], Any]:
    return lambda path: dicom(TWELVE, **header).save_as(path, enforce_file_format=True)


def link(name: str, target: str) -> Damage:
    def damage(root: Path) -> None:
        (root / name).unlink()
        (root / name).symlink_to(target)

    return damage


def pipe(root: Path) -> None:
    (root / ONE).unlink()
    os.mkfifo(root / ONE)


def folder_instead(root: Path) -> None:
    (root / ONE).unlink()
    (root / ONE).mkdir()


def into_sub_folder(kind: str) -> Damage:
    def damage(root: Path) -> None:
        (root / kind / "p1").mkdir()
        for path in sorted((root / kind).glob("*.png")):
            path.rename(path.parent / "p1" / path.name)

    return damage


def further_mask(root: Path) -> None:
    renamed("masks", lambda stem: f"{stem}_gt")(root)
    shutil.copy(root / "masks/case-01_gt.png", root / "masks/case-01_gt_1.png")


def copies(root: Path) -> None:
    shutil.copy(root / ONE, root / "images/case-02.png")


def huge_header(side: int) -> bytes:
    header = side.to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"x\x9c") + chunk(b"IEND", b"")


def colored(seed: int) -> np.ndarray:
    return picture(seed)


FRAMES = [Image.fromarray(picture(number)) for number in range(3)]
ALPHA = np.dstack([np.full((20, 24, 3), 255, np.uint8), blob(1)])
BOMB = gzip.compress(nibabel.Nifti1Image(np.zeros((1, 1), np.uint8), None).header.binaryblock)
ODD = np.full((20, 24), np.nan, np.float32)
MOVED = np.array([[1, 0, 0, 5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
BMP = "images/case-01.bmp"
TIF = "images/case-01.tif"

ROWS: dict[str, Row] = {
    # Names and layout.
    "no root": Row(lambda root: shutil.rmtree(root), "the dataset's root is not a folder"),
    "no images folder": Row(lambda root: shutil.rmtree(root / "images"), "images: no such folder"),
    "no masks folder": Row(lambda root: shutil.rmtree(root / "masks"), "masks: no such folder"),
    "no masks": Row(lambda root: [p.unlink() for p in (root / "masks").iterdir()], "masks: holds no masks"),
    "a mask is missing": Row(lambda root: (root / MASK).unlink(), "images/case-01.png: has no mask"),
    "an image is missing": Row(lambda root: (root / ONE).unlink(), "masks/case-01.png: has no image"),
    "masks have an ending": Row(renamed("masks", lambda stem: f"{stem}_gt"), "case-01.png: has no mask"),
    "names differ in case": Row(renamed("masks", str.upper), "masks/CASE-01.png differs in upper and lower"),
    "two images of one name": Row(save(BMP, picture(1)), "second image for case-01"),
    "a folder as image": Row(folder_instead, "images/case-01.png: is a folder"),
    "a broken link": Row(link(ONE, "nowhere.png"), "images/case-01.png: is a broken link"),
    "no folder of its own": Row(
        lambda root: shutil.rmtree(root / "masks"), "1 problem in the folder", {"images": "images"}
    ),
    "a link in a circle": Row(link(ONE, "case-01.png"), "images/case-01.png: is a broken link"),
    "a pipe": Row(pipe, "images/case-01.png: is a broken link or no regular file"),
    "images in sub-folders": Row(into_sub_folder("images"), "write images/*/*"),
    "masks in sub-folders": Row(into_sub_folder("masks"), "write masks/*/*"),
    "a name with control signs": Row(
        lambda root: (root / ONE).rename(root / "images/a\x07.png"), "holds characters that cannot be printed"
    ),
    "another format": Row(
        lambda root: (root / ONE).rename(root / "images/case-01.jp2"), "images/case-01.jp2 is there"
    ),
    "a further mask": Row(further_mask, "`several_masks: union` joins", {"mask_suffix": "_gt"}, warning=True),
    "left over images": Row(
        write("images/x.heic", b"x"), "passed over: 1 file (images/x.heic)", warning=True
    ),
    # Files that are damaged.
    "an empty file": Row(write(ONE, b""), "images/case-01.png: is an empty file"),
    "a page of text": Row(write(ONE, b"<html>404</html>" * 9), "is not an image in a known format"),
    "a PNG that is cut off": Row(cut(ONE, 0.5), "images/case-01.png: cannot be decoded"),
    "a mask that is cut off": Row(cut(MASK, 0.6), "masks/case-01.png: cannot be decoded"),
    "a TIFF without pixels": Row(replace(ONE, TIF, tiff_cut(700)), "is a TIFF that is cut off or damaged"),
    "a TIFF without header": Row(replace(ONE, TIF, tiff_cut(20)), "is a TIFF that is cut off or damaged"),
    "a header of 60,000 pixels": Row(
        write(ONE, huge_header(60_000)), "its header promises more than 134217728 pixels"
    ),
    "an animation": Row(
        lambda root: FRAMES[0].save(root / ONE, save_all=True, append_images=FRAMES[1:]), "holds 3 frames"
    ),
    "a NIfTI of nothing": Row(
        replace(ONE, "images/case-01.nii.gz", lambda p: p.write_bytes(BOMB)), "case-01.nii.gz"
    ),
    "text as NIfTI": Row(
        replace(ONE, "images/case-01.nii", lambda p: p.write_bytes(b"x" * 999)), "is not a NIfTI file"
    ),
    "text as DICOM": Row(
        replace(ONE, "images/case-01.dcm", lambda p: p.write_bytes(b"x" * 999)), "is not a DICOM"
    ),
    # Pixels of another kind.
    "float TIFF": Row(
        replace(ONE, TIF, tiff(TWELVE.astype(np.float32))), "holds float32 values, whose range"
    ),
    "signed TIFF": Row(replace(ONE, TIF, tiff(TWELVE.astype(np.int16))), "holds int16 values, whose range"),
    "five channels": Row(
        replace(ONE, TIF, tiff(np.dstack([TWELVE] * 5), photometric="minisblack", planarconfig="contig")),
        "has 5 channels",
    ),
    "color under channels: 1": Row(lambda root: None, "images/case-01.png: a color image", {"channels": 1}),
    "a volume": Row(
        replace(ONE, "images/case-01.nii", nifti(np.zeros((24, 20, 3), np.uint8))),
        "is a volume of 24 x 20 x 3",
    ),
    "NaN in NIfTI": Row(
        replace(ONE, "images/case-01.nii", nifti(ODD.T)), "values that are not finite", {"intensity": [0, 1]}
    ),
    "HU in DICOM": Row(
        replace(ONE, "images/case-01.dcm", saved_dicom(RescaleIntercept="-1024", RescaleSlope="1")),
        "holds float64 values, whose range",
    ),
    "12 of 16 bits": Row(
        all_images(lambda number: png(TWELVE + number % 2, 16, GRAY)), "of 0 to 65535", warning=True
    ),
    "a window that clips": Row(
        all_images(lambda number: png(np.roll(TWELVE, number, axis=0) // (12 - number), 16, GRAY)),
        "lie outside of 0 to 255",
        {"intensity": [0, 255]},
        warning=True,
    ),
    # Masks that do not fit.
    "another size": Row(
        save(MASK, blob(1, 18, 24)), "the mask is 24 x 18 pixels, its image case-01.png is 24 x 20"
    ),
    "another label": Row(save(MASK, blob(1, value=7)), "values that mean no class: 7 (90 pixels)"),
    "a JPEG as mask": Row(
        replace(MASK, "masks/case-01.jpg", lambda path: Image.fromarray(blob(1)).save(path, quality=60)),
        "masks/case-01.jpg: the mask holds values that mean no class",
    ),
    "a mask in color": Row(save(MASK, picture(9)), "the mask is in color, but the classes are label values"),
    "a mask in alpha": Row(save(MASK, ALPHA), "the mask is drawn in its alpha channel"),
    "no alpha": Row(lambda root: None, "masks/case-01.png: has no alpha channel", {"mask_channel": "alpha"}),
    "parts of pixels": Row(
        replace(MASK, "masks/case-01.tif", tiff(np.full((20, 24), 0.5, np.float32))), "not whole numbers"
    ),
    "NIfTI of another place": Row(both_nifti(MOVED), "the mask lies elsewhere than its image case-01.nii"),
    "turned by EXIF": Row(
        write(ONE, png(picture(1), 8, RGB, orientation_chunk(6))), "must be turned (EXIF orientation 6)"
    ),
    "mirrored by EXIF": Row(
        write(ONE, png(picture(1), 8, RGB, orientation_chunk(2))), "case-01: of image and mask", warning=True
    ),
    "masks without foreground": Row(all_masks(lambda n: blob(n) * 0), "no pixel of any class", warning=True),
    "masks of nothing else": Row(
        all_masks(lambda n: blob(n) * 0 + 255), "are of nothing but class 'lesion'", warning=True
    ),
    "a class that is nowhere": Row(
        lambda root: None, "class 'b' is in none", {"classes": {"a": 255, "b": 9}}, warning=True
    ),
    # Tables and options.
    "groups for others": Row(
        write("groups.csv", b"x,1\n"), "case-01.png: has no line in groups.csv", {"group_file": "groups.csv"}
    ),
    "no table of groups": Row(lambda root: None, "gone.csv: cannot be read", {"group_file": "gone.csv"}),
    "a table outside": Row(lambda root: None, "lies outside of the root", {"group_file": "../x.csv"}),
    "attributes for others": Row(
        write("a.csv", b"id,age\nx,1\n"), "a.csv: none of its ids is a sample", {"attribute_file": "a.csv"}
    ),
    "a pattern without group": Row(
        lambda root: None, "case-01.png: group_pattern", {"group_pattern": "x(.)"}
    ),
    "no part": Row(
        write("p.csv", b"id,split\ncase-00,train\ncase-02,test\n"),
        "case-01.png: is in no part",
        {"part_file": "p.csv"},
    ),
    "images out of the root": Row(lambda root: None, "leads out of the root", {"images": "../x"}),
    "a range upside down": Row(lambda root: None, "low < high", {"intensity": [5, 1]}),
    "equal images, unequal masks": Row(copies, "equal, but their masks are not", warning=True),
}


def main() -> None:
    """Print what each row prints."""
    for name, row in ROWS.items():
        with tempfile.TemporaryDirectory() as folder:
            root = write_folder(Path(folder) / "data", 4)
            row.damage(root)
            message, warnings = outcome(root, Path(folder) / "cache", row.options)
            said = [message] if message else [f"warning: {text}" for text in warnings]
            text = "\n  ".join(said).replace(folder, "")
            sys.stdout.write(f"## {name}\n  {text}\n")


if __name__ == "__main__":
    main()
