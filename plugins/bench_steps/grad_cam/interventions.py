"""Whether what a map marks matters: the network's evidence of a class after marked pixels are replaced.

Deletion and insertion as of Petsiuk et al., "RISE", BMVC 2018, with the evidence of a region in place of a
class probability. A network is disturbed by any replaced pixel, so each number stands beside that of a random
map which is as coarse as the layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench_core.metrics.map_tables import INTERVENED
from bench_core.seeds import derive_seed
from bench_steps.grad_cam.numbers import is_silent

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
Order = NDArray[np.intp]
Imputer = Literal["blur", "mean"]
LogitsOf = Callable[[Array], Array]
"""From images [N, C, S, S] as the network takes them to logits [N, K, S, S]."""
_BLUR = 20
"""The blur's standard deviation is the image's side over this: it erases structures, not the illumination."""
UNDEFINED = dict.fromkeys(INTERVENED, float("nan"))


@dataclass(eq=False)
class Probe:
    """One image and one class of it, whose maps are tried one after another.

    What does not depend on the map (the whole image, random maps) is computed once.
    """

    image: Array
    """[C, S, S] as the network takes it."""
    mask: Mask
    """[S, S]: the structure."""
    channel: int
    """Of the class among the logits."""
    logits_of: LogitsOf
    counted: Mask | None = None
    """Pixels whose evidence counts; None: all."""
    steps: int = 4
    """The 1/2, 1/4, ... of the pixels that are replaced."""
    batch: int = 8
    """Images that the network sees at once."""
    seed: int = 0
    """Of random maps."""
    _random: dict[tuple[Imputer, int], tuple[Order, dict[str, float]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        counted = np.ones(self.mask.shape, dtype=bool) if self.counted is None else self.counted
        self._inside, self._outside = self.mask & counted, ~self.mask & counted
        (self._whole,) = self._seen(self.image[None])
        self._ground = {"blur": blurred(self.image), "mean": mean_color(self.image)}

    def of_map(self, found: Array, stride: int, imputer: Imputer) -> dict[str, float]:
        """Return the numbers of a map [S, S] of a layer with this stride, by name; NaN where undefined.

        Evidence of a class is the positive part of its log-odds. Inside is what the mask holds, as a share of
        what it holds for the whole image; outside is the rest, as a share of all that the whole image gives.

        - `deletion_inside`, `deletion_outside`: evidence that is left where the map's largest pixels are
          replaced, mean over 1/2, 1/4, ... of the pixels; `insertion_...`: where all others are.
        - `random_...`: the same of a random map. `deletion_gain`: random less own evidence inside;
          `insertion_gain`: own less random. Above 0 the map knows more than chance.
        - `loss_inside`, `loss_outside`: share of the evidence inside that is lost where the map's largest
          pixels inside, or outside, are replaced: half as many as the mask has. A network that looks at the
          structure loses it by the former, one that looks elsewhere by the latter.
        - `loss`, `leakage`: share of all evidence of the class, and mean absolute share of the other classes'
          evidence, that is lost or gained where as many of the map's largest pixels as the mask has are
          replaced. Leakage is undefined where no other class has evidence.
        """
        random, chance = self._by_chance(imputer, stride)
        if is_silent(found):
            return dict(UNDEFINED)
        # Pixels that are equal, as the zeros behind a ReLU, come in the order of the random map.
        rank = np.empty(random.size, dtype=np.intp)
        rank[random] = np.arange(random.size)
        order = np.lexsort((rank, -found.ravel().astype(np.float64)))
        numbers = {**UNDEFINED, **chance, **self._curves(order, imputer)}
        numbers["deletion_gain"] = chance["random_deletion_inside"] - numbers["deletion_inside"]
        numbers["insertion_gain"] = numbers["insertion_inside"] - chance["random_insertion_inside"]
        return {**numbers, **self._losses(order, imputer)}

    def _by_chance(self, imputer: Imputer, stride: int) -> tuple[Order, dict[str, float]]:
        known = self._random.get((imputer, stride))
        if known is None:
            values = random_map(self.mask.shape[0], stride, derive_seed("random map", self.seed, stride))
            order = np.argsort(-values.ravel(), kind="stable")
            curves = {f"random_{name}": value for name, value in self._curves(order, imputer).items()}
            known = self._random[imputer, stride] = order, curves
        return known

    def _curves(self, order: Order, imputer: Imputer) -> dict[str, float]:
        sizes = [order.size >> step for step in range(1, self.steps + 1)]
        tops = [self._chosen(order[:size]) for size in sizes]
        seen = self._replaced([*tops, *(~top for top in tops)], imputer)
        found = {}
        for name, part in (("deletion", seen[: self.steps]), ("insertion", seen[self.steps :])):
            found[f"{name}_inside"] = _mean_share(
                [self._own(each, self._inside) for each in part], self._own(self._whole, self._inside)
            )
            found[f"{name}_outside"] = _mean_share(
                [self._own(each, self._outside) for each in part],
                self._own(self._whole, self._inside | self._outside),
            )
        return found

    def _losses(self, order: Order, imputer: Imputer) -> dict[str, float]:
        size = int(self.mask.sum())
        half = (size + 1) // 2
        inside = self.mask.ravel()[order]
        if not 0 < size <= order.size - half:
            return {}
        chosen = [order[inside][:half], order[~inside][:half], order[:size]]
        within, without, top = self._replaced([self._chosen(pixels) for pixels in chosen], imputer)
        whole, everywhere = self._whole, self._inside | self._outside
        others = [
            abs(1 - _share(float(top[place][everywhere].sum()), float(whole[place][everywhere].sum())))
            for place in _classes(len(whole))
            if place != self.channel and whole[place][everywhere].sum() > 0
        ]
        base = self._own(whole, self._inside)
        return {
            "loss_inside": 1 - _share(self._own(within, self._inside), base),
            "loss_outside": 1 - _share(self._own(without, self._inside), base),
            "loss": 1 - _share(self._own(top, everywhere), self._own(whole, everywhere)),
            "leakage": float(np.mean(others)) if others else float("nan"),
        }

    def _chosen(self, pixels: Order) -> Mask:
        found = np.zeros(self.mask.size, dtype=bool)
        found[pixels] = True
        return found.reshape(self.mask.shape)

    def _replaced(self, where: Sequence[Mask], imputer: Imputer) -> list[Array]:
        ground = self._ground[imputer]
        return self._seen(np.stack([np.where(pixels, ground, self.image) for pixels in where]))

    def _seen(self, images: Array) -> list[Array]:
        found: list[Array] = []
        for start in range(0, len(images), self.batch):
            found += list(evidence(self.logits_of(images[start : start + self.batch])))
        return found

    def _own(self, seen: Array, region: Mask) -> float:
        return float(seen[self.channel][region].sum())


def evidence(logits: Array) -> Array:
    """Return the positive part of each channel's log-odds [N, K, S, S], which is its logit where K is 1.

    Of several channels it is the logit less the logarithm of the others' summed exponentials: a constant that
    is added to all logits changes nothing.
    """
    values = logits.astype(np.float64)
    if values.shape[1] > 1:
        largest = values.max(axis=1, keepdims=True)
        powers = np.exp(values - largest)
        total = powers.sum(axis=1, keepdims=True)
        # Where one channel has nearly everything, the difference of sums would lose the rest.
        rest = np.stack(
            [np.delete(powers, place, axis=1).sum(axis=1) for place in range(values.shape[1])], axis=1
        )
        values = values - largest - np.log(np.maximum(rest, np.finfo(np.float64).tiny * total))
    return np.maximum(values, 0).astype(np.float32)


def random_map(size: int, stride: int, seed: int) -> Array:
    """Return a map [S, S] of random values on the grid of a layer, resized bilinearly as its maps are."""
    cells = max(1, round(size / stride))
    values = np.random.default_rng(seed).random((cells, cells))
    places = np.clip((np.arange(size) + 0.5) * cells / size - 0.5, 0, cells - 1)
    low = np.floor(places).astype(np.intp)
    high, part = np.minimum(low + 1, cells - 1), places - low
    rows = values[low] * (1 - part)[:, None] + values[high] * part[:, None]
    return np.asarray(rows[:, low] * (1 - part) + rows[:, high] * part, dtype=np.float32)


def mean_color(image: Array) -> Array:
    """Return an image [C, S, S] that has each channel's mean everywhere."""
    mean = image.mean(axis=(1, 2), keepdims=True, dtype=np.float64)
    return np.broadcast_to(mean, image.shape).astype(np.float32)


def blurred(image: Array) -> Array:
    """Return an image [C, S, S] under a Gaussian blur with a standard deviation of S / 20; edges repeat."""
    deviation = max(image.shape[1] / _BLUR, 0.5)
    reach = int(np.ceil(3 * deviation))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    kernel /= kernel.sum()
    found = image.astype(np.float64)
    for axis in (1, 2):
        widths = [(reach, reach) if place == axis else (0, 0) for place in range(3)]
        padded = np.pad(found, widths, mode="edge")
        length = found.shape[axis]
        found = np.zeros_like(found)
        for shift, weight in enumerate(kernel):
            found += weight * np.take(padded, np.arange(shift, shift + length), axis=axis)
    return found.astype(np.float32)


def _classes(channels: int) -> range:
    """Return the channels of foreground classes: the first of several is the background's."""
    return range(1, channels) if channels > 1 else range(1)


def _share(value: float, whole: float) -> float:
    return value / whole if whole > 0 else float("nan")


def _mean_share(values: Sequence[float], whole: float) -> float:
    return _share(float(np.mean(values)), whole)


def means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each number over rows that define it; NaN where none does."""
    found = {}
    for name in rows[0] if rows else ():
        values = np.array([row[name] for row in rows])
        known = values[~np.isnan(values)]
        found[name] = float(known.mean()) if len(known) else float("nan")
    return found
