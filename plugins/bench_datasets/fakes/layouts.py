"""Small data in the layouts of other tools, drawn: with them a folder of one's own can be compared.

The layouts have no published content, so that these functions choose one and tell the options that read it.
"""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench_core import FakeRequest
from bench_core.data.samples import UInt8Array
from bench_datasets.fakes.scenes import Pair, row, save, save_text, skin
from bench_datasets.synthetic import endoscopy
from bench_datasets.synthetic.canvas import Canvas, Dice, blur, ellipse, step

POLYPS = {"non-neoplastic": 1, "neoplastic": 2}
SIDE = 160
"""Pixels of the longer side of a picture."""
SLICES = 6
VOLUME = (48, 40, SLICES)
SPACING = (0.8, 0.9, 4.0)
"""mm, as the third axis of most volumes is the widest."""
SQUARE = 64
PARTS = ("train", "val", "test")


def fake_nnunet(request: FakeRequest) -> Mapping[str, Any]:
    """Draw Dataset901_Polyps with RGB pictures; return the truth."""
    folder, samples = request.root / "Dataset901_Polyps", []
    for number in range(request.samples):
        case = f"polyp_{number:03d}"
        image, mask = _polyp("nnunet", request.seed, number)
        save(folder / f"imagesTr/{case}_0000.png", image)
        save(folder / f"labelsTr/{case}.png", mask)
        samples.append(_row(case, case, mask))
    table = {
        "channel_names": {"0": "R", "1": "G", "2": "B"},
        "labels": {"background": 0, **POLYPS},
        "numTraining": request.samples,
        "file_ending": ".png",
    }
    save_text(folder / "dataset.json", json.dumps(table, indent=1))
    return _truth(samples, {"classes": POLYPS, "channels": 3}, ["three channels in one file of each case"])


def fake_decathlon(request: FakeRequest) -> Mapping[str, Any]:
    """Draw volumes of two tissues, six slices each; return the truth, in which each slice is a sample."""
    training, samples = [], []
    for number in range(max(3, -(-request.samples // SLICES))):
        case = f"organ_{number:03d}"
        values, labels = _volume(request.seed, number)
        files = {"image": f"imagesTr/{case}.nii.gz", "label": f"labelsTr/{case}.nii.gz"}
        for kind, content in zip(files, (values, labels), strict=True):
            _save_nifti(request.root / files[kind], content)
        training.append({kind: f"./{file}" for kind, file in files.items()})
        # A slice's rows run along the volume's second axis.
        samples += [
            _row(f"{case}-{place:03d}", case, labels[:, :, place].T) for place in range(labels.shape[2])
        ]
    table = {
        "name": "Organ",
        "modality": {"0": "MRI"},
        "labels": {"0": "background", "1": "front", "2": "back"},
        "numTraining": len(training),
        "numTest": 0,
        "training": training,
        "test": [],
    }
    save_text(request.root / "dataset.json", json.dumps(table, indent=1))
    return _truth(samples, {"classes": {"front": 1, "back": 2}}, ["slices without foreground at both ends"])


def fake_medsegbench(request: FakeRequest) -> Mapping[str, Any]:
    """Draw drawn_64.npz with the parts train, val and test; return the truth."""
    arrays: dict[str, UInt8Array] = {}
    samples = []
    tested = max(1, request.samples // 4)
    counts = (request.samples - tested - max(1, tested // 2), max(1, tested // 2), tested)
    numbers = itertools.count()
    for part, count in zip(PARTS, counts, strict=True):
        pairs = [skin("medsegbench", request.seed, next(numbers), (SQUARE, SQUARE)) for _ in range(count)]
        arrays[f"{part}_images"] = np.stack([image for image, _ in pairs])
        arrays[f"{part}_label"] = np.stack([mask for _, mask in pairs])
        for place, (_, mask) in enumerate(pairs):
            name = f"{part}-{place:05d}"
            samples.append(_row(name, name, mask, attributes={"part": part}))
    np.savez_compressed(request.root / f"drawn_{SQUARE}.npz", **arrays)  # type: ignore[arg-type]
    return _truth(samples, {"classes": {"lesion": 1}, "channels": 3}, ["all images of a part in one array"])


def fake_coco(request: FakeRequest) -> Mapping[str, Any]:
    """Draw pictures with run lengths and, every third one, polygons as annotations; return the truth."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    samples = []
    for number in range(request.samples):
        image, mask = _polyp("coco", request.seed, number)
        name, height, width = f"frame_{number:03d}", *mask.shape
        save(request.root / f"images/{name}.jpg", image, quality=95)
        images.append({"id": 100 + number, "file_name": f"{name}.jpg", "width": width, "height": height})
        for label in POLYPS.values():
            region = mask == label
            if region.any():
                form = (
                    _polygons(region)
                    if number % 3 == 2
                    else {"size": [height, width], "counts": _runs(region)}
                )
                annotations.append(
                    {"id": 1 + len(annotations), "image_id": 100 + number, "category_id": label,
                     "iscrowd": int(number % 3 != 2), "area": int(region.sum()), "segmentation": form}
                )  # fmt: skip
        samples.append(_row(name, name, mask))
    categories = [{"id": label, "name": name} for name, label in POLYPS.items()]
    table = {"images": images, "categories": categories, "annotations": annotations}
    save_text(request.root / "annotations.json", json.dumps(table, indent=1))
    traps = ["image ids that are not the files' names", "polygons, which move the rim by half a pixel"]
    return _truth(samples, {"classes": POLYPS}, traps)


def _truth(
    samples: list[Mapping[str, Any]], options: Mapping[str, Any], traps: list[str]
) -> Mapping[str, Any]:
    return {"samples": samples, "options": options, "traps": traps}


def _row(name: str, group: str, mask: UInt8Array, **more: Any) -> Mapping[str, Any]:
    counts = np.bincount(mask.reshape(-1), minlength=3)
    return row(name, group, mask, pixels={"1": int(counts[1]), "2": int(counts[2])}, **more)


def _polyp(dataset: str, seed: int, number: int) -> Pair:
    who, what = (Dice("fake", dataset, seed, kind, number) for kind in ("patient", "image"))
    return endoscopy.draw(who, what, SIDE, 0.3, number)


def _volume(seed: int, number: int) -> tuple[Any, UInt8Array]:
    """Return int16 values as MRI has them, and labels: an egg whose two halves are of two tissues."""
    dice = Dice("fake", "monai-decathlon", seed, number)
    width, height, depth = VOLUME
    canvas = Canvas(height, width)
    x, y = canvas.warp(dice, 4, 0.05)
    center = (dice.between(-0.15, 0.15), dice.between(-0.1, 0.1))
    radius, turned = dice.between(0.18, 0.26), dice.between(-0.5, 0.5)
    coarse, fine = canvas.noise(dice, 3, 2), canvas.noise(dice, 9, 2)
    body = step(1.05, 0.95, ellipse(canvas.x, canvas.y, (0.0, 0.0), (0.48, 0.4), 0.0))
    values, labels = [], []
    for place in range(depth):
        # The first and the last slice lie outside.
        along = (place - (depth - 1) / 2) / ((depth - 1) / 2)
        size = radius * max(0.0, 1 - along * along) ** 0.5
        inside = ellipse(x, y, center, (max(size, 1e-3), max(0.8 * size, 1e-3)), turned)
        front = x < center[0]
        tissue = np.where(front, 700.0, 450.0) * step(1.1, 0.9, inside) * (size > 0)
        values.append(blur(body * (300 + 400 * coarse + 150 * along * fine) + tissue, 0.7))
        labels.append(np.where(inside <= 1, np.where(front, 1, 2), 0) * int(size > 0.01))
    stacked = np.stack(values, axis=2).swapaxes(0, 1), np.stack(labels, axis=2).swapaxes(0, 1)
    return np.round(stacked[0]).astype(np.int16), stacked[1].astype(np.uint8)


def _save_nifti(path: Path, values: Any) -> None:
    import nibabel

    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(values, np.diag([*SPACING, 1.0]))
    path.write_bytes(gzip.compress(image.to_bytes(), 6, mtime=0))


def _runs(region: Any) -> list[int]:
    """Return how many pixels in turn are outside and inside, column by column, as COCO counts them."""
    flat = np.concatenate([[0], region.ravel(order="F").astype(np.int8)])
    ends = np.flatnonzero(np.diff(flat))
    return [int(count) for count in np.diff([0, *ends, region.size])]


def _polygons(region: Any) -> list[list[float]]:
    """Return outlines through the middles of the outermost pixels, as drawing programs export them."""
    import cv2

    found, _ = cv2.findContours(region.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [
        [float(place) for place in (line.reshape(-1, 2) + 0.5).ravel()] for line in found if len(line) > 2
    ]
