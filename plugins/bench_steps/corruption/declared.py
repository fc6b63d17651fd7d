"""What corruptions there are, and which of them go with a dataset; needs no framework."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from bench_core.declarations import Entry

SEVERITIES = (1, 2, 3, 4, 5)
CLEAN = "clean"
"""What the image as it is is called beside the kinds; its severity is 0."""
WORDS = {
    "dermoscopy": ("dermoscopy", "dermatoscopy"),
    "endoscopy": ("endoscopy", "colonoscopy", "gastroscopy", "laparoscopy"),
    "ultrasound": ("ultrasound", "echocardiography", "sonography"),
}
"""Modality to the words by which datasets declare it."""


@dataclass(frozen=True, kw_only=True)
class Corruption:
    """A way in which images become worse, in five severities.

    `function(image, severity, random, side)` gets an image uint8 [H, W, C] without padding, a severity from 1
    to 5, a numpy Generator seeded by image and kind, and the side of the grid in pixels, to which lengths are
    relative. It returns a new image of the same shape and type, moves nothing, and changes the image more,
    the higher the severity. The same generator comes for every severity, so that a higher one can add to a
    lower.
    """

    name: str
    title: str
    function: Entry
    version: int = 1
    """Part of the identity of the jobs that draw it: raise it when its images change."""
    modalities: tuple[str, ...] = ()
    """Names in WORDS; empty: images of any kind have it."""
    channels: tuple[int, ...] = ()
    """Of images that it can be applied to; empty: any number."""
    help: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", self.name) or self.name == CLEAN:
            raise ValueError(f"{self.name!r} is not lower-case letters, digits and dashes, or is taken")
        strange = [name for name in self.modalities if name not in WORDS]
        if strange:
            raise ValueError(f"corruption {self.name!r} names the modality {strange[0]!r}, not {_or(WORDS)}")

    def misfit(self, title: str, modality: str, channels: int) -> str:
        """Return why images of a dataset cannot have it, empty where they can; "" is any modality."""
        if self.channels and channels not in self.channels:
            return (
                f"{self.name} is for images of {_or(map(str, self.channels))} channels, and {title} has "
                f"{channels}"
            )
        if self.modalities and modality and not set(self.modalities) & modalities_of(modality):
            return f"{self.name} is a corruption of {_or(self.modalities)}, and {title} is {modality}"
        return ""


def modalities_of(text: str) -> set[str]:
    """Return the modalities (of WORDS) that a dataset's own words name."""
    said = set(re.findall(r"[a-z]+", text.lower()))
    return {name for name, words in WORDS.items() if said & set(words)}


def _or(names: Iterable[str]) -> str:
    listed = list(names)
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} or {listed[-1]}"


_HERE = "bench_steps.corruption"

KINDS: tuple[Corruption, ...] = (
    Corruption(
        name="gaussian-noise",
        title="Gaussian noise",
        function=f"{_HERE}.noise:gaussian_noise",
        help="noise of a sensor in little light",
    ),
    Corruption(
        name="shot-noise",
        title="Shot noise",
        function=f"{_HERE}.noise:shot_noise",
        help="too few photons: Poisson noise",
    ),
    Corruption(
        name="gaussian-blur",
        title="Gaussian blur",
        function=f"{_HERE}.blur:gaussian_blur",
        help="a soft image",
    ),
    Corruption(
        name="defocus",
        title="Defocus",
        function=f"{_HERE}.blur:defocus",
        help="a lens out of focus: every point is a disk",
    ),
    Corruption(
        name="motion-blur",
        title="Motion blur",
        function=f"{_HERE}.blur:motion_blur",
        help="camera, probe or patient moves along a line",
    ),
    Corruption(
        name="jpeg",
        title="JPEG",
        function=f"{_HERE}.coding:jpeg",
        channels=(1, 3),
        help="strong compression",
    ),
    Corruption(
        name="down-sampling",
        title="Down-sampling",
        function=f"{_HERE}.coding:down_sampling",
        help="fewer pixels, enlarged again",
    ),
    Corruption(
        name="brightness-up",
        title="Brighter",
        function=f"{_HERE}.tone:brightness_up",
        help="over-exposed, or too much gain",
    ),
    Corruption(
        name="brightness-down",
        title="Darker",
        function=f"{_HERE}.tone:brightness_down",
        help="under-exposed, or too little gain",
    ),
    Corruption(
        name="contrast",
        title="Less contrast",
        function=f"{_HERE}.tone:contrast",
        help="gray values drawn towards their mean",
    ),
    Corruption(
        name="hair",
        title="Hair",
        function=f"{_HERE}.hair:hair",
        modalities=("dermoscopy",),
        channels=(1, 3),
        help="dark hairs with their shadows",
    ),
    Corruption(
        name="bubbles",
        title="Bubbles",
        function=f"{_HERE}.bubbles:bubbles",
        modalities=("dermoscopy", "endoscopy"),
        channels=(1, 3),
        help="bubbles in the gel of a dermoscope, or in fluid before an endoscope",
    ),
    Corruption(
        name="specular-light",
        title="Specular light",
        function=f"{_HERE}.light:specular_light",
        modalities=("endoscopy",),
        channels=(1, 3),
        help="reflections of the lamp on wet tissue",
    ),
    Corruption(
        name="smoke",
        title="Smoke",
        function=f"{_HERE}.light:smoke",
        modalities=("endoscopy",),
        channels=(1, 3),
        help="smoke of coagulation, or steam on the lens",
    ),
    Corruption(
        name="speckle",
        title="Speckle",
        function=f"{_HERE}.ultrasound:speckle",
        modalities=("ultrasound",),
        help="multiplicative noise with the grain of an ultrasound beam",
    ),
    Corruption(
        name="acoustic-shadow",
        title="Acoustic shadow",
        function=f"{_HERE}.ultrasound:acoustic_shadow",
        modalities=("ultrasound",),
        help="darkness behind ribs, gas or calcification, along the beams",
    ),
)
"""In the order of tables."""
