"""What preparing a dataset costs for each image, beside a bare loop that decodes and resizes the same files.

    python benchmarks/prepare.py [--images 12] [--size 512] [--rounds 3] [--dataset isic2018] [--json]

Images are generated JPEGs of 3000 x 2000 pixels with PNG masks, laid out as ISIC 2018 or in folders. Each
figure is processor time of all threads, the best of the rounds. The bare loop reads each file once, decodes
it with OpenCV and resizes it with Pillow. Stages are those of preparing, each on its own.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from loader import LARGE, draw
from PIL import Image

from bench_core.data.arrays import sample_checksum
from bench_core.data.hashing import FileHashes
from bench_core.data.looks import look_of, study_hash_of
from bench_core.data.opening import Source, open_arrays, open_reader
from bench_core.data.picture import Picture, read_picture
from bench_core.data.reading import check_pair
from bench_core.data.resize import Fit, fit_image, fit_mask
from bench_core.options import complete_options
from bench_datasets.declared.study import ISIC2018
from bench_datasets.plugin import FOLDER
from bench_datasets.readers.isic2018 import PARTS, names_of

SETTLED = 2.5
"""Seconds after which a file's time is trusted; before that it is read once more."""


def write_images(root: Path, dataset: str, count: int) -> Source:
    """Write COUNT pairs in the layout of the dataset; return where they are."""
    for number in range(count):
        image, mask = draw(number, *LARGE)
        # Grain makes a JPEG as large as a camera's, about 1.5 MB.
        grain = np.random.default_rng(number).integers(-9, 10, image.shape, dtype=np.int16)
        picture = Image.fromarray(np.clip(image + grain, 0, 255).astype(np.uint8))
        labels = Image.fromarray(mask * np.uint8(255))
        if dataset == "folder":
            image_folder, mask_folder, names = "images", "masks", ("{}.jpg", "{}.png")
        else:
            image_folder, mask_folder = names_of(PARTS[number % len(PARTS)])
            names = ("ISIC_{:07d}.jpg", "ISIC_{:07d}_segmentation.png")
        for folder in (image_folder, mask_folder):
            (root / folder).mkdir(parents=True, exist_ok=True)
        picture.save(root / image_folder / names[0].format(number), quality=90)
        labels.save(root / mask_folder / names[1].format(number))
    declared = FOLDER if dataset == "folder" else ISIC2018
    given = {"classes": {"lesion": 255}} if dataset == "folder" else {"allow_missing": True}
    options = complete_options(declared.options, given)
    return Source(dataset, declared, declared.task_for(options), str(root), options)


def prepare(source: Source, size: int) -> None:
    """Prepare the dataset in an empty cache, as `bench data prepare` does."""
    with tempfile.TemporaryDirectory() as cache:
        open_arrays(source, Fit(size), Path(cache))


def bare(source: Source, size: int) -> None:
    """Decode with OpenCV and resize with Pillow, and nothing else."""
    import cv2

    for sample in open_reader(source).samples():
        content, labels = (np.frombuffer(path.read_bytes(), np.uint8) for path in sample.files)
        decoded, mask = cv2.imdecode(content, cv2.IMREAD_COLOR), cv2.imdecode(labels, cv2.IMREAD_UNCHANGED)
        assert decoded is not None and mask is not None
        image = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
        Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR)
        Image.fromarray(mask).resize((size, size), Image.Resampling.NEAREST)


def cost(work: Callable[[], Any], rounds: int) -> float:
    """Return the least processor time of the rounds, in seconds."""
    found = []
    for _ in range(rounds):
        gc.collect()
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found)


def hash_files(files: Sequence[Path]) -> None:
    """Hash files of which nothing is known yet."""
    hashes = FileHashes(Path("/nonexistent"))
    for path in files:
        hashes.sha256(path)


def hash_anew(image: Any) -> None:
    """Compute the study's hash of an image of which no gray one is at hand."""
    study_hash_of(Picture(image))


def stages(source: Source, size: int, rounds: int) -> dict[str, float]:
    """Return milliseconds for each image by stage."""
    reader = open_reader(source)
    fit = Fit(size)
    found: dict[str, float] = {}
    samples = list(reader.samples())[:6]
    for sample in samples:
        picture, mask = read_picture(reader, sample)
        small, labels = fit_image(picture, fit), fit_mask(mask, fit)
        plain = picture.planes[0]
        work: dict[str, Callable[[], Any]] = {
            "hash files": partial(hash_files, sample.files),
            "decode": partial(read_picture, reader, sample),
            "check": partial(check_pair, sample, picture, mask, source.task),
            "resize image": partial(fit_image, picture, fit),
            "resize mask": partial(fit_mask, mask, fit),
            "small gray picture": partial(look_of, Picture(plain)),
            "checksums": partial(sample_checksum, small, labels),
            "study's hash (only by its rule)": partial(hash_anew, plain),
        }
        for name, call in work.items():
            found[name] = found.get(name, 0.0) + 1000 * cost(call, rounds) / len(samples)
    return {name: round(value, 1) for name, value in found.items()}


def measure(dataset: str, count: int, size: int, rounds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        source = write_images(Path(folder), dataset, count)
        time.sleep(SETTLED)
        whole = cost(lambda: prepare(source, size), rounds) / count
        loop = cost(lambda: bare(source, size), rounds) / count
        bytes_of_images = [path.stat().st_size for path in Path(folder).rglob("*.jpg")]
        return {
            "dataset": dataset,
            "images": count,
            "size": size,
            "megabytes of a JPEG": round(float(np.mean(bytes_of_images)) / 1e6, 2),
            "cores": len(os.sched_getaffinity(0)),
            "load": round(os.getloadavg()[0], 1),
            "prepare, ms": round(1000 * whole, 1),
            "images per second and core": round(1 / whole, 1),
            "bare loop, ms": round(1000 * loop, 1),
            "prepare / bare loop": round(whole / loop, 2),
            "stages, ms": stages(source, size, rounds),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dataset", choices=("isic2018", "folder"), default="isic2018")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = measure(given.dataset, given.images, given.size, given.rounds)
    if given.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        if isinstance(value, dict):
            print(f"{name}:")
            for stage, figure in value.items():
                print(f"  {stage:32} {figure:>8.1f}")
        else:
            print(f"{name:34} {value}")


if __name__ == "__main__":
    main()
