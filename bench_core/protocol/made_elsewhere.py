"""Label maps that a procedure of its own has made, checked against the images that they have to be of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench_core.data.loader import Split
from bench_core.errors import PluginError
from bench_core.records import Predictions


def accepted(split: Split, labels: Iterable[tuple[str, NDArray[Any]]], classes: int) -> Predictions:
    """Take label maps [S, S] by image id in any order.

    Raises PluginError unless every image of the split has exactly one, of the right shape, of whole numbers
    from 0 to `classes`.
    """
    rows = {sample: row for row, sample in enumerate(split.ids)}
    maps = np.empty((len(split), *split.arrays.masks.shape[1:]), dtype=np.uint8)
    seen: set[str] = set()
    for sample, given in labels:
        array = np.asarray(given)
        if sample not in rows:
            raise PluginError(f"a label map for {sample!r}, which is not an image of the split")
        if sample in seen:
            raise PluginError(f"two label maps for {sample}")
        if array.shape != maps.shape[1:] or array.dtype.kind not in "iub":
            raise PluginError(
                f"the label map of {sample} is {array.dtype} {array.shape}",
                cause=f"whole numbers {maps.shape[1:]} were expected",
            )
        if array.size and (array.min() < 0 or array.max() > classes):
            raise PluginError(
                f"the label map of {sample} holds class {int(array.max())}",
                cause=f"the task's classes are 0 to {classes}",
            )
        maps[rows[sample]] = array
        seen.add(sample)
    missing = [sample for sample in split.ids if sample not in seen]
    if missing:
        raise PluginError(f"no label map for {len(missing)} of {len(split)} images, {missing[0]} for one")
    return Predictions(split.ids, maps)
