"""Heat maps of every architecture: what its layers tell when it is trained, when it is not, and by chance.

    python benchmarks/maps.py [--models u-net,segformer] [--epochs 24] [--images 12]
                              [--learning-rate 2e-3] [--json]

The small variant of each network learns synthetic dermoscopy at 64 pixels from scratch; Dice is of images
that it has not seen. On these, Grad-CAM of the mask's pixels: the share of maps that are not constant, energy
lift after training, before it, and of a random map on the same grid; the correlation with the logits; and
Spearman's correlation of a map with that after all weights were shuffled. Seconds (of the process) and MB are
of the published size at 256 pixels with one class: one pass for the maps of all layers on one thread, and how
far the highest memory is above what was taken before. Each network has a process of its own.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from typing import Any

import numpy as np
import torch
from memory import peak, reset_peak
from numpy.typing import NDArray
from torch import Tensor, nn

from bench_core import Architecture, DatasetRequest
from bench_core.activations import look
from bench_core.declarations import resolve_entry
from bench_core.network import build_network
from bench_core.options import complete_options
from bench_core.plugins.wiring import load_registry
from bench_datasets.plugin import SYNTHETIC
from bench_steps.grad_cam.interventions import random_map
from bench_steps.grad_cam.maps import enlarged, status_of
from bench_steps.grad_cam.methods import map_of
from bench_steps.grad_cam.numbers import of_map
from bench_steps.grad_cam.sanity import cascade, groups, similarity

SIZE, COST_SIZE, TRAINED_ON, BATCH = 64, 256, 96, 8
METHOD = "grad-cam"
COLUMNS = (
    "layer",
    "shape",
    "usable",
    "lift",
    "untrained",
    "random",
    "logits",
    "shuffled",
    "dice",
    "seconds",
    "mb",
)
Row = dict[str, Any]


def main() -> int:
    """Print the table, one row per network and layer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", help="with commas between; all that declare layers if not given")
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    options = parser.parse_args()
    declared = load_registry().models
    known = [name for name, model in declared.items() if model.build and model.explained.names]
    names = options.models.split(",") if options.models else known
    if wrong := [name for name in names if name not in known]:
        parser.error(f"without declared layers: {', '.join(wrong)} (see `bench list models`)")
    found = []
    if not options.json:
        print("| model |", " | ".join(COLUMNS), "|")
        print("|---" * (len(COLUMNS) + 1) + "|")
    for name in names:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            rows = pool.submit(measured, name, options.epochs, options.images, options.learning_rate).result()
        found += rows
        if not options.json:
            for row in rows:
                print(f"| {name} |", " | ".join(_cell(row[key]) for key in COLUMNS), "|", flush=True)
    if options.json:
        print(json.dumps(found, indent=1))
    return 0


def measured(name: str, epochs: int, count: int, rate: float) -> list[Row]:
    """Return the rows of one network."""
    torch.set_num_threads(1)
    declared = load_registry().model(name)
    images, masks = drawn(TRAINED_ON + count)
    size = max(SIZE, declared.size_minimum or 0)
    if size > SIZE:
        images = nn.functional.interpolate(images, size=size, mode="bilinear")
        masks = nn.functional.interpolate(masks[:, None], size=size, mode="nearest")[:, 0]
    network = built(declared, size, small=True)
    seen = images[TRAINED_ON:], masks[TRAINED_ON:]
    before = numbers(network.eval(), declared, *seen)
    trained(network, images[:TRAINED_ON], masks[:TRAINED_ON], epochs, rate)
    after = numbers(network.eval(), declared, *seen)
    with torch.no_grad():
        predicted = network(seen[0])[:, 0] > 0
    dice = float(2 * (predicted & (seen[1] > 0)).sum() / (predicted.sum() + seen[1].sum()))
    shuffled = forgotten(network, declared, *seen)
    seconds, megabytes, shapes = cost(declared)
    return [
        {
            "model": name,
            "layer": layer,
            "shape": shapes[layer],
            "usable": f"{after[layer]['usable']:.0%}",
            "lift": after[layer]["lift"],
            "untrained": before[layer]["lift"],
            "random": after[layer]["random"],
            "logits": after[layer]["logits"],
            "shuffled": shuffled[layer],
            "dice": dice,
            "seconds": seconds,
            "mb": megabytes,
        }
        for layer in declared.explained.names
    ]


def built(declared: Architecture, size: int, *, small: bool) -> nn.Module:
    """Return a network from scratch, its weights seeded."""
    torch.manual_seed(0)
    options = complete_options(declared.options, declared.small if small else {})
    return build_network(declared, in_channels=3, num_classes=1, image_size=size, options=options)


def drawn(count: int) -> tuple[Tensor, Tensor]:
    """Return synthetic images [N, 3, S, S] about 0 and masks [N, S, S], padded to squares."""
    options = complete_options(SYNTHETIC.options, {"samples": count, "size": SIZE})
    assert SYNTHETIC.open is not None
    reader = resolve_entry(SYNTHETIC.open)(DatasetRequest(root=None, options=options))
    images = np.zeros((count, SIZE, SIZE, 3), dtype=np.float32)
    masks = np.zeros((count, SIZE, SIZE), dtype=np.float32)
    for place, sample in enumerate(reader.samples()):
        image, mask = reader.read(sample)
        images[place, : image.shape[0], : image.shape[1]] = image / 127.5 - 1
        masks[place, : mask.shape[0], : mask.shape[1]] = mask == 1
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(masks)


def trained(network: nn.Module, images: Tensor, masks: Tensor, epochs: int, rate: float) -> None:
    """Train a network with AdamW and binary cross-entropy."""
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate)
    draws = torch.Generator().manual_seed(1)
    for _ in range(epochs):
        order = torch.randperm(len(images), generator=draws)
        for start in range(0, len(images), BATCH):
            part = order[start : start + BATCH]
            logits = network(images[part])[:, 0]
            loss = nn.functional.binary_cross_entropy_with_logits(logits, masks[part])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()


def maps(
    network: nn.Module, declared: Architecture, image: Tensor, mask: Tensor
) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
    """Return logits [S, S] and each layer's map on its own grid, zero where no logit stands on it."""
    layers = {name: declared.explained.form(name) for name in declared.explained.names}
    torch.manual_seed(0)
    seen = look(network, image[None], layers)
    found = seen.layers((seen.logits[0, 0] * mask).sum())
    empty = np.zeros((1, 1), dtype=np.float32)
    cells = {name: map_of(METHOD, found[name])[0].numpy() if name in found else empty for name in layers}
    return seen.logits[0, 0].detach().numpy(), cells


def numbers(
    network: nn.Module, declared: Architecture, images: Tensor, masks: Tensor
) -> dict[str, dict[str, float]]:
    """Return each layer's means over images."""
    rows: dict[str, list[tuple[bool, float, float, float]]] = {name: [] for name in declared.explained.names}
    for place, (image, mask) in enumerate(zip(images, masks, strict=True)):
        logits, found = maps(network, declared, image, mask)
        inside = mask.numpy() > 0
        for name, cells in found.items():
            mine = of_map(enlarged(cells, len(logits)), inside, logits)
            chance = of_map(random_map(len(logits), len(logits) // len(cells), place), inside, logits)
            rows[name].append((status_of(cells) == "ok", mine["lift"], mine["logits"], chance["lift"]))
    return {
        name: dict(
            zip(("usable", "lift", "logits", "random"), map(_mean, zip(*each, strict=True)), strict=True)
        )
        for name, each in rows.items()
    }


def forgotten(network: nn.Module, declared: Architecture, images: Tensor, masks: Tensor) -> dict[str, float]:
    """Return how like its own map that of each layer is when all weights are shuffled."""
    pairs = list(zip(images[:4], masks[:4], strict=True))
    before = [maps(network, declared, *pair)[1] for pair in pairs]
    parts = groups(network, lambda: network(images[:1]), 1)
    with closing(cascade(network, parts, 0)) as steps:
        next(steps)
        after = [maps(network, declared, *pair)[1] for pair in pairs]
    return {
        name: _mean([similarity(one[name], other[name]) for one, other in zip(before, after, strict=True)])
        for name in declared.explained.names
    }


def cost(declared: Architecture) -> tuple[float, float, dict[str, str]]:
    """Return seconds and MB of all layers' maps at the published size, and the layers' shapes."""
    network = built(declared, COST_SIZE, small=False).eval()
    image, mask = torch.rand(3, COST_SIZE, COST_SIZE), torch.ones(COST_SIZE, COST_SIZE)
    layers = {name: declared.explained.form(name) for name in declared.explained.names}
    seen = look(network, image[None], layers)
    shapes = {name: " x ".join(map(str, seen.features[name].shape[1:])) for name in layers}
    del seen
    used, start = reset_peak(False), time.process_time()
    maps(network, declared, image, mask)
    return time.process_time() - start, (peak(False) - used) / 1e6, shapes


def _mean(values: Any) -> float:
    known = [float(value) for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else float("nan")


def _cell(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return "–" if math.isnan(value) else f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}"


if __name__ == "__main__":
    raise SystemExit(main())
