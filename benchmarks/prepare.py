"""What preparing a dataset costs for each image, beside a bare loop that decodes and resizes the same files.

    python benchmarks/prepare.py [--images 12] [--size 512] [--rounds 5] [--workers 1 N]
                                 [--dataset isic2018] [--no-stages] [--json]

Images are generated JPEGs of 3000 x 2000 pixels with PNG masks, laid out as ISIC 2018 or in folders. Figures
are processor time of all threads for each image, user and system apart: the best of the rounds, and their
median. The numbers of workers (threads; 1 and what `bench data prepare` starts here) and the bare loop take
turns, so that what else the machine does meets each alike. The bare loop reads each file once, decodes it
with OpenCV and resizes it with Pillow. Stages are those of preparing, each on its own in one thread.

Needs what `bench data prepare` itself needs, and no framework; without OpenCV the bare loop is left out.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from drawing import LARGE, draw
from PIL import Image

from bench_core.data import reading
from bench_core.data.arrays import sample_checksum
from bench_core.data.hashing import FileHashes
from bench_core.data.looks import look_of, study_hash_of
from bench_core.data.mapped import THREADS
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


@dataclass(frozen=True)
class Cost:
    """Seconds of one round."""

    user: float
    system: float
    elapsed: float

    @property
    def processor(self) -> float:
        """Of all threads, in the program and in the system."""
        return self.user + self.system


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


def prepare(source: Source, size: int, workers: int) -> Cost:
    """Prepare the dataset in an empty cache, as `bench data prepare` does; its removal is not counted."""
    vars(reading)["THREADS"] = workers
    with tempfile.TemporaryDirectory() as cache:
        return cost(lambda: open_arrays(source, Fit(size), Path(cache)))


def bare(source: Source, size: int, workers: int) -> Cost:
    """Decode with OpenCV and resize with Pillow, and nothing else."""
    import cv2

    def one(files: Sequence[Path]) -> None:
        content, labels = (np.frombuffer(path.read_bytes(), np.uint8) for path in files)
        decoded, mask = cv2.imdecode(content, cv2.IMREAD_COLOR), cv2.imdecode(labels, cv2.IMREAD_UNCHANGED)
        assert decoded is not None and mask is not None
        image = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
        Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR)
        Image.fromarray(mask).resize((size, size), Image.Resampling.NEAREST)

    def all_of_them() -> None:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(one, [sample.files for sample in open_reader(source).samples()]))

    return cost(all_of_them)


def cost(work: Callable[[], Any]) -> Cost:
    """Return what one call costs."""
    gc.collect()
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    work()
    after, seconds = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter() - start
    return Cost(after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime, seconds)


def least(work: Callable[[], Any], rounds: int) -> float:
    """Return the least processor time of the rounds, in seconds."""
    return min(cost(work).processor for _ in range(rounds))


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
            found[name] = found.get(name, 0.0) + 1000 * least(call, rounds) / len(samples)
    return {name: round(value, 1) for name, value in found.items()}


def figures(rounds: Sequence[Cost], count: int) -> dict[str, float]:
    """Return milliseconds for each image and images per second, of the best round and of the median one."""
    ordered = sorted(rounds, key=lambda found: found.processor)
    best, median = ordered[0], statistics.median(found.processor for found in ordered)
    return {
        "ms": round(1000 * best.processor / count, 1),
        "user": round(1000 * best.user / count, 1),
        "system": round(1000 * best.system / count, 1),
        "median ms": round(1000 * median / count, 1),
        "images/s/core": round(count / best.processor, 1),
        "median images/s/core": round(count / median, 1),
        "images/s": round(count / min(found.elapsed for found in rounds), 1),
    }


def measure(given: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        source = write_images(Path(folder), given.dataset, given.images)
        time.sleep(SETTLED)
        ways = {"prepare": prepare}
        if importlib.util.find_spec("cv2") is not None:
            ways["bare loop"] = bare
        found: dict[str, list[Cost]] = {}
        # The first round warms up: modules are imported and memory is asked for.
        for number in range(given.rounds + 1):
            for workers in given.workers:
                for name, way in ways.items():
                    once = way(source, given.size, workers)
                    if number:
                        found.setdefault(f"{name}, {workers} worker{'s' * (workers > 1)}", []).append(once)
        bytes_of_images = [path.stat().st_size for path in Path(folder).rglob("*.jpg")]
        return {
            "dataset": given.dataset,
            "images": given.images,
            "size": given.size,
            "megabytes of a JPEG": round(float(np.mean(bytes_of_images)) / 1e6, 2),
            "cores": len(os.sched_getaffinity(0)),
            "load": round(os.getloadavg()[0], 1),
            "for each image": {name: figures(rounds, given.images) for name, rounds in found.items()},
            "stages, ms": {} if given.no_stages else stages(source, given.size, given.rounds),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="+", default=sorted({1, THREADS}))
    parser.add_argument("--dataset", choices=("isic2018", "folder"), default="isic2018")
    parser.add_argument("--no-stages", action="store_true")
    parser.add_argument("--json", action="store_true")
    found = measure(given := parser.parse_args())
    if given.json:
        print(json.dumps(found))
        return
    ways, parts = found.pop("for each image"), found.pop("stages, ms")
    for name, value in found.items():
        print(f"{name:34} {value}")
    for number, (name, row) in enumerate(ways.items()):
        if not number:
            print(f"\n{'for each image':22}" + "".join(f"{column:>{len(column) + 2}}" for column in row))
        print(f"{name:22}" + "".join(f"{value:>{len(column) + 2}}" for column, value in row.items()))
    for number, (name, value) in enumerate(parts.items()):
        print(("\nstages, ms\n" if not number else "") + f"  {name:32} {value:>8.1f}")


if __name__ == "__main__":
    main()
