"""Declares the datasets of this package; imports no reader and nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench_core import Dataset, Option, Task, hookimpl
from bench_datasets.declared import PUBLISHED
from bench_datasets.declared.layouts import LAYOUTS
from bench_datasets.folder.classes import folder_task

LOOKS = {
    "dermoscopy": Task(classes=("lesion",), channels=3),
    "endoscopy": Task(classes=("non-neoplastic", "neoplastic"), channels=3),
    "ultrasound": Task(classes=("left ventricle", "left ventricular wall", "left atrium"), channels=1),
}
"""What `synthetic` can draw."""


def synthetic_task(options: Mapping[str, Any]) -> Task:
    """Return the task of a look; raise ValueError for one that does not exist."""
    look = options.get("look", "dermoscopy")
    if look not in LOOKS:
        raise ValueError(f"option 'look' cannot be {look!r} (choices are: {', '.join(LOOKS)})")
    return LOOKS[look]


SYNTHETIC = Dataset(
    name="synthetic",
    version=1,
    task=synthetic_task,
    open="bench_datasets.synthetic.reader:open_synthetic",
    title="Synthetic",
    modality="generated: dermoscopy, endoscopy or ultrasound",
    modality_of=lambda options: str(options["look"]),
    license="CC0-1.0: drawn by this package",
    how_to_get="nothing to get: images are drawn on the spot",
    needs_root=False,
    requires=("PIL",),
    install="data",
    options={
        "look": Option(
            type=str,
            default="dermoscopy",
            choices=tuple(LOOKS),
            help="the modality: dermoscopy (RGB, 1 class), endoscopy (RGB, 2 classes), ultrasound (gray, 3)",
        ),
        "samples": Option(type=int, default=60, minimum=5, maximum=100_000, help="number of images"),
        "size": Option(type=int, default=128, minimum=16, maximum=2048, help="longer side in pixels"),
        "difficulty": Option(
            type=float,
            default=0.3,
            minimum=0,
            maximum=1,
            help="0: strong contrast, nothing in the way; 1: faint borders, noise and distractors",
        ),
        "seed": Option(type=int, default=0, minimum=0, help="another seed draws other images"),
        "groups": Option(
            type=int,
            default=0,
            minimum=0,
            help="number of patients, who share anatomy and light; 0: one an image",
        ),
    },
)


MNI152 = Dataset(
    name="mni152",
    version=1,
    task=Task(classes=("gray matter", "white matter"), channels=1),
    open="bench_datasets.mni152:open_mni152",
    loose="bench_datasets.loose.openers:open_like_mni152",
    title="MNI152",
    modality="brain MRI (T1), average of 152 adults",
    license=(
        "ICBM 2009a nonlinear symmetric, copyright 1993-2009 Louis Collins, McConnell Brain Imaging Centre, "
        "McGill University: free to use, copy, modify and distribute with this notice"
    ),
    how_to_get="in the wheel of nilearn, which the extra `torch` brings",
    needs_root=False,
    requires=("nilearn", "nibabel"),
    install="torch",
    options={
        "plane": Option(
            type=str,
            default="axial",
            choices=("axial", "coronal", "sagittal"),
            help="direction of the slices; sagittal ones come from one half, since the halves are mirrored",
        ),
        "spacing": Option(
            type=int, default=2, minimum=1, maximum=20, help="mm from slice to slice in a slab"
        ),
        "slab": Option(
            type=int, default=8, minimum=1, maximum=60, help="mm; the slices of one slab are one group"
        ),
        "gap": Option(
            type=int, default=4, minimum=0, maximum=40, help="mm left out between slabs, so that none leaks"
        ),
    },
)

FOLDER = Dataset(
    name="folder",
    version=2,
    task=folder_task,
    open="bench_datasets.folder.reader:open_folder",
    loose="bench_datasets.loose.openers:open_like_folder",
    title="Folder",
    modality="your own",
    license="that of your data",
    how_to_get="put images and masks of the same names into two folders under `root`",
    own_files=True,
    requires=("PIL", "nibabel", "cv2", "tifffile"),
    install="data",
    options={
        "images": Option(
            type=str, default="images", help="sub-folder of the root, or a pattern such as */image*.png"
        ),
        "masks": Option(type=str, default="masks", help="sub-folder of the root, or a pattern"),
        "image_suffix": Option(type=str, default="", help="end of image names that mask names lack"),
        "mask_suffix": Option(type=str, default="", help="end of mask names that image names lack: _gt"),
        "pair_by": Option(
            type=str,
            default="",
            help="regular expression on the paths of images and masks; its (parentheses) are the sample's id",
        ),
        "several_masks": Option(
            type=str,
            default="",
            choices=("", "union"),
            help="union: an image's further masks (NAME_1, NAME_2, or of the same id by pair_by) are joined",
        ),
        "slices": Option(
            type=str,
            default="",
            choices=("", "acquired", "axial", "coronal", "sagittal"),
            help="cut NIfTI volumes along this plane, and TIFF stacks page by page; one group per file",
        ),
        "empty_slices": Option(
            type=str, default="keep", choices=("keep", "drop"), help="slices without foreground"
        ),
        "classes": Option(
            type=dict, default={}, help="needed: name to mask value, '#rrggbb' color, or a list of these"
        ),
        "background": Option(
            type=object, default=None, help="value(s) or color(s), absent: 0 or black; rest: all others"
        ),
        "ignore": Option(
            type=object,
            default=None,
            help="value(s) or color(s) that count neither in the loss nor in a metric; rest: all others",
        ),
        "nearest": Option(
            type=bool, default=False, help="take the nearest value or color, for masks stored as JPEG"
        ),
        "channels": Option(
            type=int,
            default=3,
            minimum=1,
            maximum=16,
            help="1 gray, 3 RGB (gray images are repeated), others as stored, with protocol.channels: native",
        ),
        "intensity": Option(
            type=object,
            default="dtype",
            help="range that becomes 0..255: dtype (8 or 16 bits in full), image (its own), [low, high], "
            "{percentiles: [1, 99]}, one [low, high] per channel, or window (DICOM)",
        ),
        "missing_masks": Option(
            type=str,
            default="",
            choices=("", "background"),
            help="background: an image without a mask file shows none of the classes; else it is an error",
        ),
        "mask_channel": Option(
            type=str,
            default="color",
            choices=("color", "alpha"),
            help="where masks are drawn: in their color (values), or in their transparency",
        ),
        "orientation": Option(
            type=str,
            default="exif",
            choices=("exif", "stored"),
            help="exif: turn pictures as their camera noted; stored: leave them as they are stored",
        ),
        "group_pattern": Option(
            type=str,
            default="",
            help="regular expression on the id; its (parentheses) are the group",
        ),
        "group_file": Option(type=str, default="", help="CSV file under the root with lines id,group"),
        "part_pattern": Option(
            type=str,
            default="",
            counts=False,
            help="regular expression on the image's path; its (parentheses) are the attribute `part`",
        ),
        "part_file": Option(
            type=object,
            default="",
            counts=False,
            help="file under the root that says each sample's part (as `folds:`), or {train: train.txt, ...}",
        ),
        "attribute_file": Option(
            type=str,
            default="",
            counts=False,
            help="CSV file under the root: a column id, the others are attributes such as age, sex",
        ),
    },
)


@hookimpl
def bench_datasets() -> list[Dataset]:
    """Return the study's datasets and those that need no download."""
    return [*PUBLISHED, SYNTHETIC, MNI152, FOLDER, *LAYOUTS]
