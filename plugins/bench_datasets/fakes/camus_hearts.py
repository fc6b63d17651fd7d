"""The hearts of CAMUS's small copies: images and ground truth of both views and phases, and their tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench_core.data.samples import UInt8Array
from bench_datasets.fakes.drawing import middle
from bench_datasets.synthetic.canvas import Dice
from bench_datasets.synthetic.ultrasound import APEX, draw

SHAPES = ((748, 584), (641, 454), (669, 552), (787, 649), (512, 422))
"""Published sizes (across, down), divided by SMALLER here."""
SMALLER = 4
SPACING = 0.308 * SMALLER
"""mm, so that hearts keep their published size."""
QUALITIES = ("Good", "Good", "Medium", "Medium", "Poor")


@dataclass(frozen=True)
class Heart:
    """A patient's view: both phases, and what the table says."""

    images: dict[str, UInt8Array]
    masks: dict[str, UInt8Array]
    frames: int
    backwards: bool
    sex: str
    age: int
    quality: str
    ef: int

    @property
    def first(self) -> str:
        """The phase of the sequence's first frame."""
        return "ES" if self.backwards else "ED"

    @property
    def last(self) -> str:
        """The phase of the sequence's last frame."""
        return "ED" if self.backwards else "ES"

    def frame_of(self, phase: str) -> int:
        """Return the number of a phase's frame, from 1."""
        return 1 if phase == self.first else self.frames

    def sequence(self, masks: bool = False) -> UInt8Array:
        """Return [T, H, W]: from the first to the last frame; labels change half way."""
        source = self.masks if masks else self.images
        one, other = (source[phase].astype(np.float64) for phase in (self.first, self.last))
        parts = np.linspace(0, 1, self.frames)
        if masks:
            parts = np.floor(parts + 0.5)
        frames = [one * (1 - part) + other * part for part in parts]
        return np.floor(np.stack(frames) + 0.5).astype(np.uint8)


def heart(seed: int, patient: int, view: str, *, beyond: bool = False, backwards: bool = False) -> Heart:
    """Draw a view of a patient; with `beyond` the fan is narrower than the ground truth, as in some."""
    names = ("fake camus", seed, patient)
    across, down = SHAPES[Dice(*names, view, "shape").below(len(SHAPES))]
    width, height = round(across / SMALLER), round(down / SMALLER)
    images, masks = {}, {}
    for phase in ("ED", "ES"):
        image, mask = draw(Dice(*names, "heart", view), Dice(*names, view, phase), height, 0.3)
        images[phase] = middle(image[:, :, 0], height, width)
        masks[phase] = middle(mask, height, width)
        if beyond:
            _narrow(images[phase], masks[phase])
    table = Dice(*names, "table")
    sex, age, ef = "FM"[table.below(2)], 20 + table.below(70), 25 + table.below(45)
    quality = QUALITIES[Dice(*names, view, "quality").below(len(QUALITIES))]
    return Heart(images, masks, 5 + table.below(3), backwards, sex, age, quality, ef)


def _narrow(image: UInt8Array, mask: UInt8Array) -> None:
    """Blacken the image beside a fan that ends within the ground truth."""
    height, width = image.shape
    down = (np.arange(height) + 0.5) / height - 0.5 - APEX
    across = np.abs((np.arange(width) + 0.5 - width / 2) / height)
    beam = across[None, :] / np.maximum(down[:, None], 1e-3)
    image[beam > np.sort(beam[mask > 0])[int(0.93 * np.count_nonzero(mask))]] = 0


def pixels(mask: UInt8Array) -> dict[str, int]:
    """Return the pixels of each class, for the truth."""
    names = ("left ventricle", "left ventricular wall", "left atrium")
    return {name: int(np.count_nonzero(mask == label)) for label, name in enumerate(names, start=1)}
