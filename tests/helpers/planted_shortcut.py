"""Images whose structure is told by a marker far from it, and networks that look at one or the other.

`python -m tests.helpers.planted_shortcut` prints the table of docs/steps.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench_core.activations import look
from bench_sma.u_net.network import UNet
from bench_steps.grad_cam.interventions import Probe, means
from bench_steps.grad_cam.maps import enlarged
from bench_steps.grad_cam.methods import map_of
from bench_steps.grad_cam.numbers import of_map

SIDE = 64
_CENTERS = ((20, 20), (20, 44), (44, 20), (44, 44))
_CORNERS = ((0, 0), (0, SIDE - 6), (SIDE - 6, 0), (SIDE - 6, SIDE - 6))
Array = NDArray[np.float32]


@dataclass
class Drawn:
    """Images, where the structure is, and where the marker is."""

    images: Array
    """[N, 1, S, S], about 0."""
    masks: NDArray[np.bool_]
    """[N, S, S]."""
    markers: NDArray[np.bool_]
    """[N, S, S]."""


@dataclass
class Numbers:
    """Of the maps of one layer."""

    layer: str
    stride: float
    means: dict[str, float]


def draw(count: int, seed: int, *, visible: bool) -> Drawn:
    """Return noise with a disc in one of four places and a bright marker in a corner.

    A visible disc is dark and moves about, and the marker is in any corner. A disc that is not visible lies
    in the quarter opposite to the marker, which alone tells of it.
    """
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    coarse = random.normal(0, 0.25, (count, SIDE // 8, SIDE // 8)).repeat(8, 1).repeat(8, 2)
    images = coarse + random.normal(0, 0.15, (count, SIDE, SIDE))
    masks = np.zeros((count, SIDE, SIDE), dtype=bool)
    markers = np.zeros_like(masks)
    for number, place in enumerate(random.integers(0, 4, count)):
        down, across = _CENTERS[place]
        if visible:
            down, across = down + random.integers(-6, 7), across + random.integers(-6, 7)
        masks[number] = (rows - down) ** 2 + (columns - across) ** 2 <= 9**2
        top, left = _CORNERS[random.integers(0, 4) if visible else 3 - place]
        markers[number, top : top + 6, left : left + 6] = True
    images[masks] -= 1.0 if visible else 0.0
    images[markers] = 2.0
    return Drawn(images[:, None].astype(np.float32), masks, markers)


def train(*, visible: bool, seed: int = 0, steps: int = 100) -> nn.Module:
    """Return a small U-Net that finds the discs, in evaluation mode."""
    torch.manual_seed(seed)
    network = UNet(1, 1, 6)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    drawn = draw(steps * 8, seed + 1, visible=visible)
    for step in range(steps):
        part = slice(8 * step, 8 * step + 8)
        logits = network(torch.from_numpy(drawn.images[part]))[:, 0]
        truth = torch.from_numpy(drawn.masks[part].astype(np.float32))
        loss = nn.functional.binary_cross_entropy_with_logits(logits, truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


def dice(network: nn.Module, drawn: Drawn) -> float:
    """Return the pooled Dice of a network on drawn images."""
    with torch.no_grad():
        found = network(torch.from_numpy(drawn.images))[:, 0].numpy() > 0
    return float(2 * (found & drawn.masks).sum() / (found.sum() + drawn.masks.sum()))


def numbers_of(network: nn.Module, drawn: Drawn, layers: tuple[str, ...], method: str) -> list[Numbers]:
    """Return the mean numbers of maps of the predicted pixels, by layer, with interventions by the mean."""
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in layers}
    strides: dict[str, float] = {}

    def logits_of(images: Array) -> Array:
        with torch.no_grad():
            found: Tensor = network(torch.from_numpy(images))
        return found.numpy()

    for image, mask, marker in zip(drawn.images, drawn.masks, drawn.markers, strict=True):
        seen = look(network, torch.from_numpy(image[None]), dict.fromkeys(layers, "maps"))
        logits = seen.logits[0, 0]
        found = seen.layers((logits * (logits > 0)).sum())
        probe = Probe(image, mask, 0, logits_of)
        for name in layers:
            cells = map_of(method, found[name])[0].numpy()
            strides[name] = SIDE / len(cells)
            full = enlarged(cells, SIDE)
            rows[name].append(
                {
                    **of_map(full, mask, logits.detach().numpy()),
                    "marker": of_map(full, marker, logits.detach().numpy())["lift"],
                    **probe.of_map(full, round(strides[name]), "mean"),
                }
            )
    return [Numbers(name, strides[name], means(rows[name])) for name in layers]


LAYERS = ("encoder.1", "encoder.2", "encoder.4", "decoder.3")
SHOWN = ("lift", "marker", "pointing", "logits", "loss_inside", "loss_outside", "deletion_gain")


def main() -> None:
    """Print the table."""
    print("| what tells of the structure | layer | stride |", " | ".join(SHOWN), "|")
    print("|---" * (3 + len(SHOWN)) + "|")
    for visible in (True, False):
        network, drawn = train(visible=visible), draw(24, 99, visible=visible)
        for found in numbers_of(network, drawn, LAYERS, "hires-cam"):
            cells = [f"{found.means[name]:.2f}" for name in SHOWN]
            what = "itself" if visible else "the marker"
            print(f"| {what} | {found.layer} | {found.stride:g} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
