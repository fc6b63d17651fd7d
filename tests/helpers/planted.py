"""Generated images of three looks with copies planted among them, and what is found of these."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance

from bench_core.data.copies import near_pairs
from bench_core.data.looks import look_of
from bench_core.data.picture import Picture
from bench_core.data.samples import UInt8Array
from bench_core.declarations import DatasetRequest, resolve_entry
from bench_core.options import complete_options
from bench_datasets.plugin import SYNTHETIC

LOOKS = ("dermoscopy", "endoscopy", "ultrasound")
Draw = Callable[[Image.Image, np.random.Generator], Image.Image]


def _encoded(image: Image.Image, random: np.random.Generator) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=int(random.integers(30, 95)))
    return Image.open(buffer)


def _resized(image: Image.Image, random: np.random.Generator) -> Image.Image:
    width, height = (int(side * random.uniform(0.4, 1.6)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC)


def _flipped(image: Image.Image, random: np.random.Generator) -> Image.Image:
    return image.transpose(random.choice([Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM]))


def _turned(image: Image.Image, random: np.random.Generator) -> Image.Image:
    quarters = [Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270]
    return image.transpose(quarters[random.integers(3)])


def _brightened(image: Image.Image, random: np.random.Generator) -> Image.Image:
    if random.random() < 0.5:
        return ImageEnhance.Brightness(image).enhance(random.uniform(0.7, 1.3))
    shifted = np.asarray(image).astype(int) + int(random.integers(-25, 26))
    return Image.fromarray(shifted.clip(0, 255).astype(np.uint8))


def _cropped(image: Image.Image, random: np.random.Generator) -> Image.Image:
    width, height = image.size
    left, top = (int(side * random.uniform(0, 0.05)) for side in image.size)
    return image.crop((left, top, left + int(0.95 * width), top + int(0.95 * height)))


KINDS: Mapping[str, Draw] = {
    "re-encoded": _encoded,
    "resized": _resized,
    "flipped": _flipped,
    "turned": _turned,
    "brightened": _brightened,
    "cropped": _cropped,
}


@dataclass(frozen=True)
class Found:
    """How many planted copies of each kind there are and were found, and how many images wrongly."""

    images: int
    planted: Mapping[str, int]
    hit: Mapping[str, int]
    wrong: int
    """Images in a pair of which neither is a planted copy of the other or of the same image."""

    @property
    def recall(self) -> float:
        """Over all kinds but crops."""
        kinds = [kind for kind in self.planted if kind != "cropped"]
        return sum(self.hit[kind] for kind in kinds) / sum(self.planted[kind] for kind in kinds)

    def __str__(self) -> str:
        parts = ", ".join(f"{kind} {self.hit[kind]}/{number}" for kind, number in self.planted.items())
        return f"{self.images} images: {parts}; {self.wrong} taken wrongly"


def drawn(look: str, count: int, size: int) -> Iterator[UInt8Array]:
    options = complete_options(SYNTHETIC.options, {"look": look, "samples": count, "size": size})
    assert SYNTHETIC.open is not None
    reader = resolve_entry(SYNTHETIC.open)(DatasetRequest(root=None, options=options))
    return (reader.read(sample)[0] for sample in reader.samples())


def plant(count: int, copies: int, size: int, seed: int = 0) -> Found:
    """Draw `count` images, `copies` of them copies, and look for these."""
    random = np.random.default_rng(seed)
    each = -(-(count - copies) // len(LOOKS))
    images = [image for look in LOOKS for image in drawn(look, each, size)][: count - copies]
    sources = random.choice(len(images), copies, replace=False)
    kinds = [list(KINDS)[number % len(KINDS)] for number in range(copies)]
    pictures = [look_of(Picture(image)) for image in images]
    for source, kind in zip(sources, kinds, strict=True):
        image = images[source]
        copy = KINDS[kind](Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image), random)
        pictures.append(look_of(Picture(np.atleast_3d(np.asarray(copy)))))
    truth = [*range(len(images)), *(int(source) for source in sources)]
    pairs = list(near_pairs(np.stack(pictures)))
    right = {pair for pair in pairs if truth[pair[0]] == truth[pair[1]]}
    wrong = {number for pair in pairs if pair not in right for number in pair}
    hits = {other for _, other in right}
    return Found(
        images=len(pictures),
        planted={kind: kinds.count(kind) for kind in KINDS},
        hit={
            kind: sum(len(images) + place in hits for place, one in enumerate(kinds) if one == kind)
            for kind in KINDS
        },
        wrong=len(wrong),
    )
