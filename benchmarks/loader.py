"""How fast training batches come from segtrial's loader and from others, in one run on the same images.

    python benchmarks/loader.py [--images 24] [--size 512] [--rounds 3] [--repeats 3] [--workers 1 2]
                                [--ways WAY ...]
    python benchmarks/loader.py --only-loader SIZE WORKERS [--images 64] [--seconds 20] [--json]

Images are generated JPEGs of 3000 x 2000 pixels with PNG masks; the augmentation is that of specs/paper.yaml,
in each library's own terms, except for MMSegmentation, whose stock list it is. Each way and number of loader
processes has a process of its own; WAY is one of benchmarks/loader_ways.py. All of them are run REPEATS times
in turn, so that what else the machine does meets each alike, and the medians count; each run is the median of
ROUNDS epochs after a first one. Prints a table and ratios. A library that is not installed is left out.

--only-loader measures segtrial's loader alone from decoded images, with what a machine for training has:
PyTorch, torchvision, OpenCV and numpy.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from drawing import LARGE, draw
from loader_ways import BATCH, STUDY, WAYS, arrays_of
from PIL import Image

OURS = "segtrial, cache"


def write_decoded(folder: Path, count: int, size: int, images: bool) -> None:
    """Write COUNT images decoded at SIZE, and with `images` as large files, too."""
    small = np.empty((count, size, size, 3), dtype=np.uint8)
    masks = np.empty((count, size, size), dtype=np.uint8)
    for number in range(count):
        if not images:
            small[number], masks[number] = draw(number, size, size)
            continue
        image, mask = draw(number, *LARGE)
        for name in ("images", "masks"):
            (folder / name).mkdir(exist_ok=True)
        picture, labels = Image.fromarray(image), Image.fromarray(mask * np.uint8(255))
        picture.save(folder / f"images/{number:05d}.jpg", quality=92)
        labels.save(folder / f"masks/{number:05d}.png")
        small[number] = np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR))
        masks[number] = np.asarray(labels.resize((size, size), Image.Resampling.NEAREST)) // 255
    np.save(folder / "small.npy", small)
    np.save(folder / "small_masks.npy", masks)


def only_loader(size: int, workers: int, count: int, seconds: float) -> dict[str, Any]:
    """Return images per second of the loader alone, sustained over epochs of about a thousand images."""
    from bench_core.data.loader import Loader, Split
    from bench_core.protocol.augmentation import build_augmentation

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        write_decoded(Path(folder), count, size, images=False)
        split = Split(arrays_of(Path(folder)), [*range(count)] * -(-1024 // count), "rgb")
        drawn = time.perf_counter() - start

        def rates(augment: Any, processes: int, limit: float) -> list[float]:
            loader = Loader(split, BATCH, seed=0, augment=augment, workers=processes)
            found, number = [], 0
            # The first batches start the processes and touch the files.
            for _, _ in zip(range(128 // BATCH), loader.epoch(number), strict=False):
                pass
            begun = time.perf_counter()
            while time.perf_counter() - begun < limit:
                number += 1
                start = time.perf_counter()
                seen = sum(len(batch.ids) for batch in loader.epoch(number))
                found.append(seen / (time.perf_counter() - start))
            loader.close()
            return found

        study = build_augmentation(STUDY, 3, size)
        assert study is not None
        pairs = [split.read([number]) for number in range(min(count, 32))]
        alone = time.process_time()
        for number, (image, mask) in enumerate(pairs):
            study(image[0], mask[0], number)
        alone = time.process_time() - alone
        augmented, plain = rates(study, workers, seconds), rates(None, workers, seconds / 4)
    return {
        "size": size,
        "workers": workers,
        "cores": len(os.sched_getaffinity(0)),
        "torch": torch.__version__,
        "drawing_seconds": round(drawn, 1),
        "augmentation_images_per_second_one_core": round(len(pairs) / alone, 1),
        "images_per_second": round(statistics.median(augmented), 1),
        "slowest_epoch": round(min(augmented), 1),
        "images_per_second_without_augmentation": round(statistics.median(plain), 1),
        "epochs": len(augmented),
    }


def one_way(way: str, folder: Path, size: int, workers: int, rounds: int) -> dict[str, float] | None:
    script = Path(__file__).with_name("loader_ways.py")
    words = [sys.executable, str(script), way, str(folder), str(size), str(workers), str(rounds)]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode != 0:
        print(f"{way}: left out: {(done.stderr.strip().splitlines() or ['?'])[-1]}", file=sys.stderr)
        return None
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(given: argparse.Namespace) -> dict[str, Any]:
    runs: dict[tuple[str, str], list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        write_decoded(Path(folder), given.images, given.size, images=True)
        for _ in range(given.repeats):
            for workers in given.workers:
                for way in given.ways:
                    found = one_way(way, Path(folder), given.size, workers, given.rounds)
                    if found is not None:
                        runs.setdefault((way, str(workers)), []).append(found)
    table: dict[str, dict[str, dict[str, float]]] = {}
    for (way, processes), found_all in runs.items():
        row = {name: statistics.median(found[name] for found in found_all) for name in found_all[0]}
        costs = [found["cpu_ms_per_image"] for found in found_all]
        row |= {"cpu_ms_lowest": min(costs), "cpu_ms_highest": max(costs)}
        table.setdefault(way, {})[processes] = {name: round(value, 1) for name, value in row.items()}
    ratios = {
        name: {
            way: {workers: ratio(table[OURS][workers], row, figure) for workers, row in rows.items()}
            for way, rows in table.items()
            if OURS in table and way != OURS
        }
        for name, figure in (
            ("images per second", "images_per_second"),
            ("processor time", "cpu_ms_per_image"),
        )
    }
    return {"images": given.images, "size": given.size, "ways": table, "ratios": ratios}


def ratio(ours: dict[str, float], theirs: dict[str, float], figure: str) -> float:
    """Return how many times as fast, or as cheap, ours is."""
    more = ours[figure] / theirs[figure]
    return round(more if figure == "images_per_second" else 1 / more, 2)


def print_table(found: dict[str, Any]) -> None:
    print(
        f"{'way':26} {'workers':>7} {'images/s':>9} {'CPU ms/image':>13} {'from - to':>13} "
        f"{'peak MiB':>9} {'worker MiB':>10}"
    )
    for way, rows in found["ways"].items():
        for workers, row in rows.items():
            print(
                f"{way:26} {workers:>7} {row['images_per_second']:>9.1f} {row['cpu_ms_per_image']:>13.1f} "
                f"{row['cpu_ms_lowest']:>6.1f} {row['cpu_ms_highest']:>6.1f} "
                f"{row['peak_mib']:>9.0f} {row['largest_worker_mib']:>10.0f}"
            )
    for name, ways in found["ratios"].items():
        for way, rows in ways.items():
            told = ", ".join(f"{value} with {workers}" for workers, value in rows.items())
            print(f"{name}, {OURS} better than {way}: {told}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only-loader", nargs=2, type=int, metavar=("SIZE", "WORKERS"))
    parser.add_argument("--images", type=int)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--ways", nargs="+", choices=sorted(WAYS), default=list(WAYS))
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.only_loader:
        size, workers = given.only_loader
        found = only_loader(size, workers, given.images or 64, given.seconds)
        print(json.dumps(found, indent=None if given.json else 2))
        return
    given.images = given.images or 24
    found = compare(given)
    if given.json:
        print(json.dumps(found, indent=2))
    else:
        print_table(found)


if __name__ == "__main__":
    main()
