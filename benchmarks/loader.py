"""How fast the loader hands out images, beside what it would cost to decode them each time.

    python benchmarks/loader.py [--images 48] [--size 512] [--rounds 3]

One process and one thread unless the line says workers. Images are generated JPEGs of 2000 x 1500 pixels
with PNG masks, brought to SIZE x SIZE. Prints one JSON object: images per second of each way (median over
rounds, the ways taking turns) and the ratios that matter.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from bench_core import DatasetRequest
from bench_core.data.cache import CachedArrays, open_cache
from bench_core.data.loader import Augment, Loader, Split
from bench_core.data.resize import Fit, fit_square
from bench_core.data.samples import Reader
from bench_core.declarations import resolve_entry
from bench_core.options import complete_options
from bench_core.plan.expand import make_plan
from bench_core.protocol.augmentation import build_augmentation
from bench_core.spec.load import load_spec
from bench_datasets.plugin import FOLDER, SYNTHETIC

PAPER = Path(__file__).parents[1] / "specs" / "paper.yaml"
FLIPS = (("RandomHorizontalFlip", {"p": 0.5}), ("RandomVerticalFlip", {"p": 0.5}))


def write_images(root: Path, count: int) -> None:
    """Write COUNT generated dermoscopy images as a camera would leave them."""
    options = complete_options(SYNTHETIC.options, {"samples": max(count, 5), "size": 500})
    assert SYNTHETIC.open is not None
    reader: Reader = resolve_entry(SYNTHETIC.open)(DatasetRequest(root=None, options=options))
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    for sample in list(reader.samples())[:count]:
        image, mask = reader.read(sample)
        large = Image.fromarray(image).resize((2000, 1500), Image.Resampling.BICUBIC)
        large.save(root / f"images/{sample.id}.jpg", quality=92)
        labels = Image.fromarray(mask * np.uint8(255)).resize((2000, 1500), Image.Resampling.NEAREST)
        labels.save(root / f"masks/{sample.id}.png")


def open_reader(root: Path) -> tuple[Reader, dict[str, Any]]:
    options = complete_options(FOLDER.options, {"classes": {"lesion": 255}})
    assert FOLDER.open is not None
    return resolve_entry(FOLDER.open)(DatasetRequest(root=root, options=options)), options


def rate(work: Callable[[], int]) -> float:
    start = time.perf_counter()
    return work() / (time.perf_counter() - start)


def decode_all(reader: Reader, size: int) -> int:
    samples = list(reader.samples())
    for sample in samples:
        image, mask = fit_square(*reader.read(sample), Fit(size))
        torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
        torch.from_numpy(np.array(mask))
    return len(samples)


def epoch(loader: Loader, number: int) -> int:
    return sum(len(batch.ids) for batch in loader.epoch(number))


def loaders(arrays: CachedArrays, size: int) -> dict[str, Loader]:
    study = make_plan((loaded := load_spec(PAPER)).spec, loaded.registry).jobs[0].training.augmentation
    flips, full = (build_augmentation(settings, 3, size) for settings in (FLIPS, study))
    split = Split(arrays, range(len(arrays.ids)), "rgb")

    def make(augment: Augment | None, workers: int = 0) -> Loader:
        return Loader(split, 8, seed=0, augment=augment, workers=workers)

    return {
        "cache": make(None),
        "cache_flips": make(flips),
        "cache_study_augmentation": make(full),
        "cache_study_augmentation_2_workers": make(full, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder) / "data", given.images)
        reader, options = open_reader(Path(folder) / "data")
        start = time.perf_counter()
        arrays = open_cache(
            reader,
            dataset="folder",
            version=1,
            options=options,
            image_size=given.size,
            resize="pad-square",
            root=Path(folder) / "cache",
        )
        built = given.images / (time.perf_counter() - start)
        ways = loaders(arrays, given.size)
        rates: dict[str, list[float]] = {name: [] for name in ("decode_each_time", *ways)}
        for loader in ways.values():
            epoch(loader, 0)  # starts worker processes and touches the files once
        for number in range(1, given.rounds + 1):
            rates["decode_each_time"].append(rate(lambda: decode_all(reader, given.size)))
            for name, loader in ways.items():
                rates[name].append(rate(lambda loader=loader, number=number: epoch(loader, number)))  # type: ignore[misc]
    medians = {name: statistics.median(values) for name, values in rates.items()}
    report = {
        "images": given.images,
        "size": given.size,
        "images_per_second": {name: round(value, 1) for name, value in medians.items()},
        "building_the_cache_images_per_second": round(built, 1),
        "ratios": {
            "cache / decode_each_time": round(medians["cache"] / medians["decode_each_time"], 2),
            "study augmentation / none": round(medians["cache_study_augmentation"] / medians["cache"], 4),
            "study augmentation: 2 workers / none": round(
                medians["cache_study_augmentation_2_workers"] / medians["cache_study_augmentation"], 2
            ),
        },
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
