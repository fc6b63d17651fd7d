"""Maps of the simulated study: what its steps `grad-cam` would leave, drawn from the label maps."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench_core.metrics.counts import per_image
from bench_core.metrics.map_pictures import MOST_SIDE
from bench_core.metrics.map_tables import LAYER_COLUMNS, LAYERS, MAPS, NUMBERS, ONE_MAP
from bench_core.plan.job import Apply, Job
from bench_core.records import Counts, Predictions
from bench_core.seeds import derive_seed
from bench_core.store.result import Result
from bench_core.store.store import Store
from bench_steps.grad_cam.artifact import PictureWriter
from bench_steps.grad_cam.sets import worst

LAYER, NOTE = "head", "only linear steps follow: its maps are the logits again"


def write_maps(store: Store, job: Job, result: Result, counts: Counts, found: Predictions) -> None:
    """Write one job of a set of worst images under the study's rule for the layer."""
    assert isinstance(job.work, Apply)
    chosen = worst(counts.ids, per_image(counts.values)["mdsc"], job.work.options["worst"])
    folder = store.prepare(job)
    for part in ("records", "artifacts"):
        (folder / part).mkdir(exist_ok=True)
    rows: list[dict[str, object]] = []
    pictures = PictureWriter(lambda name: folder / "artifacts" / name)
    for sample in chosen:
        place = counts.ids.index(sample)
        for column, of_class in enumerate(counts.classes):
            labels = found.labels[place] == column + 1
            hit, extra, missed = (int(value) for value in counts.values[place, column])
            share = (hit + missed) / labels.size
            status = "ok" if labels.any() and not labels.all() else "no-pixels"
            numbers: dict[str, float] = dict.fromkeys(NUMBERS, float("nan"))
            if status == "ok":
                numbers["logits"] = 0.97
                if share:
                    energy = hit / (hit + extra)
                    numbers |= {"energy": energy, "lift": energy / share, "pointing": float(hit > 0)}
                    numbers |= {"iou": hit / (hit + extra + missed), "auprc": energy}
                pictures.add(len(rows), _picture(labels, derive_seed(job.digest, sample, of_class)))
            numbers["share"] = share
            which = (sample, of_class, "predicted", LAYER, 1, 1.0, "grad-cam", status)
            rows.append({**dict(zip(ONE_MAP, which, strict=True)), **numbers})
    pictures.close()
    _table(folder / "records" / f"{MAPS}.csv", (*ONE_MAP, *NUMBERS), rows)
    layer = dict(zip(LAYER_COLUMNS, (LAYER, "auto", 1, 1.0, NOTE), strict=True))
    _table(folder / "records" / f"{LAYERS}.csv", LAYER_COLUMNS, [layer])
    names = sorted(f"{path.parent.name}/{path.name}" for path in folder.glob("*/*") if path.is_file())
    left = {"digest": job.digest, "training": None, "network": None, "files": {}, "artifacts": tuple(names)}
    store.complete(job.digest, replace(result, values={"maps": float(len(rows))}, **left))
    store.seal(job.digest)


def _picture(labels: NDArray[np.bool_], seed: int) -> NDArray[np.uint8]:
    """Return a map [64, 64] that is the prediction again, with the grain that real ones have."""
    step = max(1, labels.shape[0] // MOST_SIDE)
    side = labels.shape[0] // step
    cells = labels[: side * step, : side * step].reshape(side, step, side, step).mean(axis=(1, 3))
    cells = cells * np.random.default_rng(seed).uniform(0.6, 1.0, cells.shape)
    return np.rint(255 * cells / max(cells.max(), 1e-9)).astype(np.uint8)


def _table(path: Path, columns: Sequence[str], rows: Sequence[dict[str, object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
