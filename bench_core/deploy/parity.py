"""Whether a file computes what its network does: both are asked the same images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench_core.data.samples import UInt8Array
from bench_core.declarations import Task
from bench_core.deploy.described import in_channels
from bench_core.deploy.formats import Network, Run
from bench_core.errors import StoreError
from bench_core.plan.job import Job
from bench_core.protocol.evaluator import predict_labels
from bench_core.protocol.normalization import Normalize
from bench_core.spec.training import Scoring
from bench_core.store.store import Store

LEAST_EQUAL = 0.999
"""Share of pixels that must get the same label; the others lie within rounding of a border."""
GENERATED = 2


@dataclass(frozen=True)
class Parity:
    """How far a file's logits are from its network's."""

    images: int
    max_abs_difference: float
    largest_logit: float
    """Of the network, absolute: what the difference is measured by."""
    equal_pixels: float
    """Share of pixels that get the same label."""
    batch: str
    """any, or 1: how many images the file takes at a time."""
    by: str
    """What ran the file."""

    @property
    def holds(self) -> bool:
        """Whether the file stands for the network."""
        return np.isfinite(self.max_abs_difference) and self.equal_pixels >= LEAST_EQUAL


def compare(network: Network, expected: Tensor, run: Run, by: str, task: Task, scoring: Scoring) -> Parity:
    """Ask one image at a time, then two together; `expected` are the network's logits of all images."""
    found = torch.cat([run(image[None]) for image in network.images])
    if found.shape != expected.shape:
        raise ValueError(f"it returns {tuple(found.shape)}, not {tuple(expected.shape)}")
    equal = predict_labels(found, task, scoring) == predict_labels(expected, task, scoring)
    difference = float((found - expected).abs().max())
    return Parity(
        images=len(expected),
        max_abs_difference=difference,
        largest_logit=float(expected.abs().max()),
        equal_pixels=float(equal.float().mean()),
        batch="any" if _takes_two(network, expected, run, difference) else "1",
        by=by,
    )


def _takes_two(network: Network, expected: Tensor, run: Run, difference: float) -> bool:
    first = network.images[:1]
    try:
        found = run(torch.cat([first, first.flip(-1), first]))
    except Exception:  # Whatever a fixed shape is refused with.
        return False
    # Sums may be taken in another order.
    close = max(10 * difference, 1e-4 * float(expected.abs().max()))
    same = found.shape[0] == 3 and float((found[[0, 2]] - expected[:1]).abs().max()) <= close
    return same and float((found[1] - expected[0]).abs().max()) > 0


def images_of(job: Job, store: Store) -> tuple[Tensor, str]:
    """Return prepared images [N, C, S, S] to compare on, and which they are.

    They are the test images that the job kept pictures of, or where it kept none, drawn ones.
    """
    size = job.pixels.image_size
    try:
        cases = store.cases(job.digest)
    except StoreError:
        cases = ()
    kept: dict[str, UInt8Array] = {
        case.id: case.image for case in cases if case.image.shape[:2] == (size, size)
    }
    normalize = Normalize(job.training.normalization, in_channels(job))
    if kept:
        stacked = torch.from_numpy(np.stack(list(kept.values()))).permute(0, 3, 1, 2)
        return normalize(stacked), f"test images {', '.join(kept)}"
    random = np.random.default_rng(0)
    channels = job.dataset.task.channels
    coarse = torch.from_numpy(random.uniform(0, 255, (GENERATED, channels, 8, 8)).astype(np.float32))
    smooth = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False)
    return normalize(smooth.to(torch.uint8)), f"{GENERATED} drawn images: the store keeps no pictures"


def as_plain(parity: Parity, which: str) -> dict[str, Any]:
    """Return it as plain JSON data."""
    return {
        "images": parity.images,
        "which": which,
        "max_abs_difference": parity.max_abs_difference,
        "largest_logit": parity.largest_logit,
        "equal_pixels": parity.equal_pixels,
        "by": parity.by,
    }
