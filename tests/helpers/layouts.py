"""Small folders in the layouts of other tools, with the arrays that they hold."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from PIL import Image

from bench_core import DatasetRequest
from bench_core.data.cache import open_cache
from bench_core.data.layout import LayoutError
from bench_core.data.samples import UInt8Array
from bench_core.declarations import resolve_entry
from bench_core.errors import DataError
from bench_core.options import complete_options
from bench_datasets.declared.layouts import LAYOUTS
from tests.helpers.pictures import picture

DECLARED = {declared.name: declared for declared in LAYOUTS}
Arrays = dict[str, tuple[Any, Any]]
"""Image and labels by case."""
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "nnunet": {"classes": {"cup": 1, "disc": 2}, "channels": 3},
    "monai-decathlon": {"classes": {"Anterior": 1, "Posterior": 2}},
    "medsegbench": {"classes": {"foreground": 1}, "channels": 3},
    "coco": {"classes": {"polyp": 1, "tool": 7}},
}


def opened(name: str, root: Path, **given: Any) -> Any:
    """Open a layout with the options that fit its fixture, and those given."""
    declared = DECLARED[name]
    assert declared.open is not None
    options = complete_options(declared.options, {**OPTIONS[name], **given})
    declared.task_for(options)
    return resolve_entry(declared.open)(DatasetRequest(root=root, options=options))


def told(name: str, root: Path, cache: Path, **given: Any) -> list[str]:
    """Return each line that a user is told when this folder is prepared, paths below the root."""
    declared = DECLARED[name]
    options = complete_options(declared.options, {**OPTIONS[name], **given})
    try:
        open_cache(
            opened(name, root, **given),
            dataset=name,
            version=declared.version,
            options=options,
            image_size=16,
            resize="stretch",
            root=cache,
            task=declared.task_for(options),
        )
    except LayoutError as error:
        return list(error.problems)
    except DataError as error:
        lines = error.message.splitlines()
        found = [f"{error.place}: {error.message}"] if len(lines) == 1 else lines[1:]
        return [line.strip().replace(f"{root}/", "") for line in found]
    return []


def labels(seed: int, shape: tuple[int, ...], classes: int = 2) -> UInt8Array:
    """Return boxes of labels 1 to `classes` on zeros, none at the rim of the first and last slice."""
    found = np.zeros(shape, dtype=np.uint8)
    inner = tuple(slice(side // 4 + seed % 2, side - side // 4) for side in shape)
    found[inner] = 1
    if classes > 1:
        found[(*inner[:-1], slice(shape[-1] // 2, shape[-1] - shape[-1] // 4))] = 2
    return found


def write_nnunet(root: Path, cases: int = 6, *, together: bool = True) -> Arrays:
    """Write Dataset901_Eyes with RGB PNGs, in one file each or one per channel."""
    folder = root / "Dataset901_Eyes"
    arrays: Arrays = {}
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    for number in range(cases):
        case = f"eye_{number:02d}"
        image, mask = picture(number, 20, 24), labels(number, (20, 24))
        arrays[case] = image, mask
        for channel in range(1 if together else 3):
            pixels = image if together else np.ascontiguousarray(image[:, :, channel])
            Image.fromarray(pixels).save(folder / f"imagesTr/{case}_{channel:04d}.png")
        Image.fromarray(mask).save(folder / f"labelsTr/{case}.png")
    table = {
        "channel_names": {"0": "R", "1": "G", "2": "B"},
        "labels": {"background": 0, "cup": 1, "disc": 2},
        "numTraining": cases,
        "file_ending": ".png",
    }
    (folder / "dataset.json").write_text(json.dumps(table))
    return arrays


def write_decathlon(root: Path, cases: int = 4, *, ending: str = ".nii.gz", channels: int = 1) -> Arrays:
    """Write a task of volumes of different sizes, int16 as CT is, spacing 0.5 x 0.7 x 3 mm."""
    arrays: Arrays = {}
    training = []
    for name in ("imagesTr", "labelsTr"):
        (root / name).mkdir(parents=True)
    for number in range(cases):
        case = f"hippocampus_{number:03d}"
        shape = (12 + number, 10, 8)
        values = np.random.default_rng(number).integers(-1000, 1000, (*shape, channels)).astype(np.int16)
        values = values[..., 0] if channels == 1 else values
        mask = labels(number, shape)
        affine = np.diag([0.5, 0.7, 3.0, 1.0])
        nibabel.save(nibabel.Nifti1Image(values, affine), root / f"imagesTr/{case}{ending}")
        nibabel.save(nibabel.Nifti1Image(mask, affine), root / f"labelsTr/{case}{ending}")
        arrays[case] = values, mask
        training.append({"image": f"./imagesTr/{case}{ending}", "label": f"./labelsTr/{case}{ending}"})
    table = {
        "name": "Hippocampus",
        "modality": {str(each): f"MRI {each}" for each in range(channels)},
        "labels": {"0": "background", "1": "Anterior", "2": "Posterior"},
        "numTraining": cases,
        "numTest": 0,
        "training": training,
        "test": [],
    }
    (root / "dataset.json").write_text(json.dumps(table))
    return arrays


def write_medsegbench(root: Path, *, counts: tuple[int, int, int] = (5, 2, 3), gray: bool = False) -> Arrays:
    """Write kvasir_32.npz as MedSegBench keeps its sets."""
    root.mkdir(parents=True, exist_ok=True)
    stored: dict[str, Any] = {}
    arrays: Arrays = {}
    for place, (part, count) in enumerate(zip(("train", "val", "test"), counts, strict=True)):
        images = np.stack([picture(100 * place + each, 32, 32) for each in range(count)])
        masks = np.stack([labels(each, (32, 32), 1) for each in range(count)])
        images = images[..., 0] if gray else images
        stored |= {f"{part}_images": images, f"{part}_label": masks}
        arrays |= {f"{part}-{each:05d}": (images[each], masks[each]) for each in range(count)}
    np.savez_compressed(root / "kvasir_32.npz", **stored)
    return arrays


def write_coco(root: Path, count: int = 6) -> Arrays:
    """Write images with a box of each class, as polygon, RLE and compressed RLE in turn."""
    from pycocotools import mask as coco

    (root / "images").mkdir(parents=True)
    arrays: Arrays = {}
    table: dict[str, Any] = {
        "images": [],
        "categories": [{"id": 1, "name": "polyp"}, {"id": 7, "name": "tool"}],
        "annotations": [],
    }
    for number in range(count):
        image = picture(number, 20, 24)
        Image.fromarray(image).save(root / f"images/{number}.png")
        table["images"].append({"id": 10 + number, "file_name": f"{number}.png", "width": 24, "height": 20})
        mask = np.zeros((20, 24), np.uint8)
        for label, category in ((1, 1), (2, 7)):
            top, left = 3 + number % 3, 2 + 10 * (label - 1)
            box = np.zeros((20, 24), np.uint8)
            box[top : top + 8, left : left + 9] = 1
            mask[box > 0] = label
            code = coco.encode(np.asfortranarray(box))
            form: Any = [[left, top, left + 9, top, left + 9, top + 8, left, top + 8]]
            if number % 3 == 1:
                form = {"size": [20, 24], "counts": _runs(box)}
            elif number % 3 == 2:
                form = {"size": [20, 24], "counts": code["counts"].decode()}
            table["annotations"].append(
                {"id": len(table["annotations"]), "image_id": 10 + number, "category_id": category,
                 "iscrowd": int(number % 3 > 0), "segmentation": form, "area": int(box.sum())}
            )  # fmt: skip
        arrays[str(number)] = image, mask
    (root / "annotations.json").write_text(json.dumps(table))
    return arrays


def _runs(box: UInt8Array) -> list[int]:
    flat = [0, *box.ravel(order="F").tolist()]
    counts = [0]
    for before, now in itertools.pairwise(flat):
        if now != before:
            counts.append(0)
        counts[-1] += 1
    return counts


WRITERS: Mapping[str, Callable[[Path], Arrays]] = {
    "nnunet": write_nnunet,
    "monai-decathlon": write_decathlon,
    "medsegbench": write_medsegbench,
    "coco": write_coco,
}
