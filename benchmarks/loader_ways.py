"""One way of turning stored images into training batches, measured in a process of its own.

    python benchmarks/loader_ways.py WAY FOLDER SIZE WORKERS ROUNDS

FOLDER holds images/*.jpg with masks/*.png, and small.npy with small_masks.npy, the same images decoded at
SIZE x SIZE. Prints one JSON object. `benchmarks/loader.py` calls it; WAYS lists what there is.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

BATCH = 8
AFFINE = {"degrees": 180.0, "translate": [0.25, 0.25], "scale": [0.75, 1.25], "shear": 17.5}
BLUR = {"kernel_size": 25, "sigma": [0.001, 2.0]}
STUDY: tuple[tuple[str, dict[str, Any]], ...] = (
    ("RandomAffine", {**AFFINE, "interpolation": "bilinear"}),
    ("RandomHorizontalFlip", {"p": 0.5}),
    ("RandomVerticalFlip", {"p": 0.5}),
    ("GaussianBlur", BLUR),
    (
        "RandomPhotometricDistort",
        {
            "brightness": [0.875, 1.125],
            "contrast": [0.5, 1.5],
            "saturation": [0.5, 1.5],
            "hue": [-0.05, 0.05],
            "p": 0.5,
        },
    ),
)
"""The augmentation of specs/paper.yaml."""
Pixels = NDArray[np.uint8]
Pair = tuple[Any, Any]
Epoch = Callable[[int], Iterator[Any]]


class Pairs(Dataset[Any]):
    """Images and masks by number: a function reads one, another treats it."""

    def __init__(self, count: int, read: Callable[[int], Any], treat: Callable[[Any], Any]) -> None:
        self.count, self.read, self.treat = count, read, treat

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Any:
        return self.treat(self.read(number))


def segtrial_cached(folder: Path, size: int, workers: int) -> Epoch:
    from bench_core.data.loader import Loader, Split
    from bench_core.protocol.augmentation import build_augmentation

    split = Split(arrays_of(folder), range(count_of(folder)), "rgb")
    augment = build_augmentation(STUDY, 3, size)
    return Loader(split, BATCH, seed=0, augment=augment, workers=workers, narrow=True).epoch


def segtrial_cold(folder: Path, size: int, workers: int) -> Epoch:
    from bench_core import DatasetRequest
    from bench_core.data.resize import Fit, fit_square
    from bench_core.declarations import resolve_entry
    from bench_core.options import complete_options
    from bench_core.protocol.augmentation import build_augmentation
    from bench_datasets.plugin import FOLDER

    options = complete_options(FOLDER.options, {"classes": {"lesion": 255}})
    reader = resolve_entry(FOLDER.open)(DatasetRequest(root=folder, options=options))  # type: ignore[arg-type]
    samples = list(reader.samples())
    augment = build_augmentation(STUDY, 3, size)
    assert augment is not None

    def treat(pair: Pair) -> Pair:
        image, mask = fit_square(*pair, Fit(size))
        planes = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
        return augment(planes, torch.from_numpy(np.array(mask)), int(torch.randint(2**40, ())))

    return loaded(Pairs(len(samples), lambda number: reader.read(samples[number]), treat), workers)


def mmseg_stock(folder: Path, size: int, workers: int, decoded: bool = False) -> Epoch:
    """The list that MMSegmentation's dataset configurations share, without affine transform and blur."""
    from mmcv.transforms import Compose, LoadImageFromFile, RandomResize
    from mmengine.dataset import pseudo_collate
    from mmseg.datasets.transforms import (
        LoadAnnotations,
        PackSegInputs,
        PhotoMetricDistortion,
        RandomCrop,
        RandomFlip,
        Resize,
    )

    assert Resize  # registers what RandomResize builds
    wide = (4 * size, size)
    pipeline: list[Any] = [
        RandomResize(scale=wide, ratio_range=(0.5, 2.0), keep_ratio=True, resize_type=Resize),
        RandomCrop(crop_size=(size, size), cat_max_ratio=0.75),
        RandomFlip(prob=0.5),
        PhotoMetricDistortion(),
        PackSegInputs(),
    ]
    if not decoded:
        pipeline = [LoadImageFromFile(), LoadAnnotations(), *pipeline]
    images = sorted((folder / "images").iterdir())
    small = np.load(folder / "small.npy", mmap_mode="r")
    masks = np.load(folder / "small_masks.npy", mmap_mode="r")

    def read(number: int) -> dict[str, Any]:
        if decoded:
            image = np.array(small[number][..., ::-1])
            found = {"img": image, "gt_seg_map": np.array(masks[number]), "seg_fields": ["gt_seg_map"]}
            return {**found, "img_shape": image.shape[:2], "ori_shape": image.shape[:2], "img_path": ""}
        path = images[number]
        place = {"img_path": str(path), "seg_map_path": str(folder / f"masks/{path.stem}.png")}
        return {**place, "seg_fields": [], "reduce_zero_label": False, "label_map": {255: 1}}

    return loaded(Pairs(len(images), read, Compose(pipeline)), workers, pseudo_collate)


def torchvision_list(folder: Path, size: int, workers: int, decoded: bool = False) -> Epoch:
    from torchvision import tv_tensors
    from torchvision.io import ImageReadMode, decode_image
    from torchvision.transforms import InterpolationMode, v2

    affine = v2.RandomAffine(**AFFINE, interpolation=InterpolationMode.BILINEAR)
    flips = (v2.RandomHorizontalFlip(), v2.RandomVerticalFlip())
    steps = [affine, *flips, v2.GaussianBlur(**BLUR), v2.RandomPhotometricDistort(**STUDY[4][1])]
    treat = v2.Compose(steps if decoded else [v2.Resize((size, size), antialias=True), *steps])
    images = sorted((folder / "images").iterdir())
    small = np.load(folder / "small.npy", mmap_mode="r")
    masks = np.load(folder / "small_masks.npy", mmap_mode="r")

    def read(number: int) -> Pair:
        if decoded:
            image = torch.from_numpy(np.ascontiguousarray(small[number].transpose(2, 0, 1)))
            return tv_tensors.Image(image), tv_tensors.Mask(torch.from_numpy(np.array(masks[number]))[None])
        path = images[number]
        mask = decode_image(str(folder / f"masks/{path.stem}.png"), ImageReadMode.GRAY)
        return tv_tensors.Image(decode_image(str(path), ImageReadMode.RGB)), tv_tensors.Mask(mask)

    return loaded(Pairs(len(images), read, lambda pair: treat(*pair)), workers)


def albumentations_list(folder: Path, size: int, workers: int, decoded: bool = False) -> Epoch:
    import cv2

    # Not a dependency of the project: whoever compares with it installs it.
    albumentations = importlib.import_module("albumentations")

    cv2.setNumThreads(1)
    shift = (-0.25, 0.25)
    steps: list[Any] = [
        albumentations.Affine(
            rotate=(-180, 180), translate_percent={"x": shift, "y": shift}, scale=(0.75, 1.25),
            shear={"x": (-17.5, 17.5), "y": (0, 0)}, p=1.0,
        ),
        albumentations.HorizontalFlip(p=0.5),
        albumentations.VerticalFlip(p=0.5),
        albumentations.GaussianBlur(blur_limit=(25, 25), sigma_limit=(0.001, 2.0), p=1.0),
        albumentations.ColorJitter((0.875, 1.125), (0.5, 1.5), (0.5, 1.5), (-0.05, 0.05), p=0.5),
        albumentations.ChannelShuffle(p=0.5),
    ]  # fmt: skip
    treat = albumentations.Compose(steps if decoded else [albumentations.Resize(size, size), *steps])
    images = sorted((folder / "images").iterdir())
    small = np.load(folder / "small.npy", mmap_mode="r")
    masks = np.load(folder / "small_masks.npy", mmap_mode="r")

    def read(number: int) -> Pair:
        if decoded:
            return np.array(small[number]), np.array(masks[number])
        path = images[number]
        mask = cv2.imread(str(folder / f"masks/{path.stem}.png"), cv2.IMREAD_GRAYSCALE)
        return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), mask

    def treated(pair: Pair) -> Pair:
        found = treat(image=pair[0], mask=pair[1])
        planes = np.ascontiguousarray(found["image"].transpose(2, 0, 1))
        return torch.from_numpy(planes), torch.from_numpy(found["mask"])

    return loaded(Pairs(len(images), read, treated), workers)


WAYS: dict[str, Callable[[Path, int, int], Epoch]] = {
    "segtrial, cache": segtrial_cached,
    "segtrial, files": segtrial_cold,
    "MMSegmentation, files": mmseg_stock,
    "torchvision, files": torchvision_list,
    "albumentations, files": albumentations_list,
    "MMSegmentation, decoded": partial(mmseg_stock, decoded=True),
    "torchvision, decoded": partial(torchvision_list, decoded=True),
    "albumentations, decoded": partial(albumentations_list, decoded=True),
}


def loaded(data: Dataset[Any], workers: int, collate: Callable[[Any], Any] | None = None) -> Epoch:
    loader: DataLoader[Any] = DataLoader(
        data, BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0, collate_fn=collate
    )
    return lambda number: iter(loader)


def count_of(folder: Path) -> int:
    return len(np.load(folder / "small.npy", mmap_mode="r"))


def arrays_of(folder: Path) -> Any:
    """Return the decoded images as a cache that loader processes map by its path."""
    from bench_core.data.arrays import IMAGES, MASKS, CachedArrays

    for name, link in (("small.npy", IMAGES), ("small_masks.npy", MASKS)):
        with contextlib.suppress(FileExistsError):
            (folder / link).symlink_to(name)
    images, masks = (np.load(folder / name, mmap_mode="r") for name in (IMAGES, MASKS))
    ids = tuple(f"{number:05d}" for number in range(len(images)))
    return CachedArrays(ids, ids, images, masks, fingerprint="", pixel_hashes=ids, path=folder)


def measure(epoch: Epoch, images: int, rounds: int) -> dict[str, Any]:
    """Time epochs after a first one that starts processes; return the median epoch's figures."""
    rates, costs = [], []
    for number in range(rounds + 1):
        start, busy = time.perf_counter(), processor_seconds()
        for _ in epoch(number):
            pass
        rates.append(images / (time.perf_counter() - start))
        costs.append(1000 * (processor_seconds() - busy) / images)
    return {
        "images_per_second": statistics.median(rates[1:]),
        "cpu_ms_per_image": statistics.median(costs[1:]),
    }


def processor_seconds() -> float:
    """Return what this process and its loader processes have worked, in all of their threads."""
    # Linux' clock of another process: clock_getcpuclockid(3), which Python does not offer.
    clocks = [(~child.pid << 3) | 2 for child in multiprocessing.active_children() if child.pid]
    return time.process_time() + sum(time.clock_gettime(clock) for clock in clocks)


def main() -> None:
    way, folder, size, workers, rounds = sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:6])
    torch.set_num_threads(1)
    with contextlib.redirect_stdout(sys.stderr):
        epoch = WAYS[way](folder, size, workers)
        found = measure(epoch, count_of(folder), rounds)
        del epoch
    # Loader processes count once they have ended; a pool ends with its loader.
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        json.dumps(
            {
                **found,
                "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "largest_worker_mib": children.ru_maxrss / 1024,
            }
        )
    )


if __name__ == "__main__":
    main()
