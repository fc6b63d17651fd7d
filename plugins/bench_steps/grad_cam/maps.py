"""The maps of one image: of every class and target, for all layers from one pass through the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate

from bench_core.activations import look
from bench_core.declarations import Task
from bench_core.metrics.map_tables import MapStatus
from bench_steps.grad_cam.layers import Chosen
from bench_steps.grad_cam.methods import map_of

FLAT = 1e-6
"""A map whose values differ by less than this share of the largest is constant."""
Array = NDArray[np.float32]
Labels = Mapping[str, NDArray[np.uint8]]
"""Target to the label map [S, S] of whose pixels the logits are explained."""


@dataclass(frozen=True, eq=False)
class Made:
    """One map, or that there is none."""

    place: int
    """Of the class among the task's."""
    target: str
    layer: Chosen
    stride: float
    """Pixels of the image's side per cell; 0 where the layer did not run."""
    method: str
    status: MapStatus
    cells: Array | None
    """[h, w] >= 0 on the layer's own grid; None without pixels."""

    def full(self, size: int) -> Array:
        """Return the map [S, S] on the image's grid, resized bilinearly; zeros where there is none."""
        if self.cells is None:
            return np.zeros((size, size), dtype=np.float32)
        return enlarged(self.cells, size)


@dataclass(frozen=True, eq=False)
class Looked:
    """An image that the network has seen."""

    logits: Array
    """[K, S, S]."""
    maps: tuple[Made, ...]


@dataclass(frozen=True)
class Explorer:
    """A network in evaluation mode and what is asked of it."""

    network: nn.Module
    task: Task
    layers: Sequence[Chosen]
    methods: Sequence[str]
    drawing: Callable[[str], AbstractContextManager[object]]
    """Sample id to a context in which the network draws what it draws for it."""
    draws: bool = False
    """Whether it draws anything."""

    def look(self, sample: str, image: Tensor, labels: Labels) -> Looked:
        """Return the maps of one image [1, C, S, S], by class, target, layer and method in this order."""
        with self.drawing(sample):
            seen = look(self.network, image, {layer.name: layer.form for layer in self.layers})
        size = image.shape[-1]
        strides = {name: size / maps.shape[2] for name, maps in seen.features.items()}
        found: list[Made] = []
        for place in range(len(self.task.classes)):
            for target, labelled in labels.items():
                inside = torch.from_numpy(labelled == place + 1).to(seen.logits.device)
                kept: Mapping[tuple[str, str], Array] | None = None
                if inside.any():
                    score = (seen.logits[0, channel_of(self.task, place)] * inside).sum()
                    kept = {
                        (name, method): map_of(method, layer)[0].numpy()
                        for name, layer in seen.layers(score).items()
                        for method in self.methods
                    }
                found += self._made(place, target, strides, kept)
        return Looked(seen.logits[0].detach().float().cpu().numpy(), tuple(found))

    def logits_of(self, sample: str) -> Callable[[Array], Array]:
        """Return a function from images [N, C, S, S] to logits [N, K, S, S], as if each were that sample."""
        device = next(self.network.parameters()).device

        def logits(images: Array) -> Array:
            batch = torch.from_numpy(np.ascontiguousarray(images)).to(device)
            found = []
            # What is drawn for a batch as a whole would be another thing for each image of it.
            for part in torch.split(batch, 1 if self.draws else len(batch)):
                with torch.no_grad(), self.drawing(sample):
                    found.append(self.network(part).float().cpu().numpy())
            return np.concatenate(found)

        return logits

    def _made(
        self,
        place: int,
        target: str,
        strides: Mapping[str, float],
        kept: Mapping[tuple[str, str], Array] | None,
    ) -> Iterator[Made]:
        for layer in self.layers:
            stride = strides.get(layer.name, 0.0)
            for method in self.methods:
                if kept is None:
                    yield Made(place, target, layer, stride, method, "no-pixels", None)
                    continue
                # No logit stands on a layer that has no gradient: whatever is there, its map is zero.
                cells = kept.get((layer.name, method), np.zeros((1, 1), dtype=np.float32))
                yield Made(place, target, layer, stride, method, status_of(cells), cells)


def channel_of(task: Task, place: int) -> int:
    """Return the logit channel of a class; of a binary task the only one."""
    return 0 if task.binary else place + 1


def status_of(cells: Array) -> MapStatus:
    """Return whether a map [h, w] >= 0 can be used."""
    if not np.isfinite(cells).all():
        return "nan"
    return "ok" if cells.max() - cells.min() > FLAT * cells.max() else "constant"


def enlarged(cells: Array, size: int) -> Array:
    """Return a map [h, w] on a grid [S, S], bilinearly with half-pixel centers."""
    maps = torch.from_numpy(np.ascontiguousarray(cells))[None, None]
    return np.asarray(
        interpolate(maps, size=(size, size), mode="bilinear", align_corners=False)[0, 0].numpy()
    )
