"""The step `native`: counts at original sizes equal those of logits resized by another library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bench_core.data.opening import open_reader
from bench_core.declarations import IGNORE
from bench_core.execute import sources
from bench_core.execute.datasets import source_of
from bench_core.execute.prepare import open_data
from bench_core.labels import count
from bench_core.metrics.counts import micro
from bench_core.plan.job import Apply
from bench_core.store.store import Store
from tests.helpers.step_study import run_all, write_boxes

torch.set_num_threads(1)


def half_pixel(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear interpolation with half-pixel centers, one axis after the other, from its definition."""

    def along(values: np.ndarray, size: int) -> np.ndarray:
        place = np.clip((np.arange(size) + 0.5) * values.shape[0] / size - 0.5, 0, None)
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, values.shape[0] - 1)
        share = (place - low)[:, None]
        return values[low] * (1 - share) + values[high] * share

    return along(along(plane, height).T, width).T


@pytest.mark.parametrize("resize", ["pad-square", "stretch"])
def test_counts_at_original_size_equal_a_recount(tmp_path: Path, resize: str) -> None:
    store = Store(tmp_path / "results", create=True)
    registry, jobs = run_all(write_boxes(tmp_path / "spec", "[native]", resize=resize), store)
    by_digest = {job.digest: job for job in jobs}
    for job in jobs:
        if not isinstance(job.work, Apply):
            continue
        store.check(job.digest)
        evaluate = by_digest[job.needs[0].digest]
        network = sources.tested_network(evaluate, store, registry)
        split = open_data(evaluate, registry, store.path / "cache").tested
        reader = open_reader(source_of(evaluate.dataset, registry))
        samples = {sample.id: sample for sample in reader.samples()}
        rows = {(row["image"], row["class"]): row for row in store.records(job.digest, "native-counts")}
        values = []
        for place, sample in enumerate(split.ids):
            truth = reader.read(samples[sample])[1]
            height, width = truth.shape
            images, _ = split.read([place])
            normal = evaluate.training.normalization
            with torch.no_grad():
                scaled = (images.float() / 255 - torch.tensor(normal.mean)) / torch.tensor(normal.std)
                logits = network(scaled)[0].double().numpy()
            side = max(height, width)
            if resize == "pad-square":
                top, left = (side - height) // 2, (side - width) // 2
                planes = [half_pixel(plane, side, side) for plane in logits]
                planes = [plane[top : top + height, left : left + width] for plane in planes]
            else:
                planes = [half_pixel(plane, height, width) for plane in logits]
            expected = count(np.argmax(planes, axis=0).astype(np.uint8), truth, 2)
            for name, each in zip(("dark", "bright"), expected.tolist(), strict=True):
                row = rows[sample, name]
                assert [int(row[key]) for key in ("tp", "fp", "fn")] == each
                assert (int(row["height"]), int(row["width"])) == truth.shape
            assert expected[:, [0, 2]].sum() == np.isin(truth, (1, 2)).sum() and (truth == IGNORE).any()
            values.append(expected)
        assert len(rows) == 2 * len(values)
        assert store.result(job.digest).values == pytest.approx(micro(np.stack(values)))
