"""A picture of one image under every corruption and severity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bench_core.data.automatic import image_box
from bench_core.data.check import Prepared
from bench_core.declarations import Side, Task
from bench_steps.corruption.apply import corrupted
from bench_steps.corruption.declared import KINDS, SEVERITIES, Corruption
from bench_steps.corruption.exact import UInt8
from bench_steps.corruption.options import AUTO, adapt

_SIDE = 256
"""Largest side of a tile in pixels."""
_GAP, _CAPTION = 6, 16


def chosen_kinds(item: Prepared, names: Sequence[str], modality: str | None) -> list[Corruption]:
    """Return the kinds of these names, or all that go with a dataset; raises ValueError as `adapt`."""
    options = {"kinds": list(names) or AUTO, "severities": list(SEVERITIES), "modality": modality or ""}
    task = Task(classes=item.classes, channels=item.arrays.images.shape[3])
    found = adapt(options, Side(title=item.label, task=task, modality=item.modality), KINDS)
    drawn = {entry["name"] for entry in found["kinds"]}
    return [kind for kind in KINDS if kind.name in drawn]


def sheet(item: Prepared, place: int, kinds: Sequence[Corruption]) -> Any:
    """Return a Pillow image with a row per kind: the image as it is, then each severity."""
    from PIL import Image, ImageDraw

    arrays = item.arrays
    image = np.asarray(arrays.images[place])
    box = image_box(item.samples.sizes[place], image.shape[0], item.resize)
    side = min(_SIDE, image.shape[0])
    columns, step = 1 + len(SEVERITIES), side + _CAPTION + _GAP
    page = Image.new("RGB", (columns * (side + _GAP) + _GAP, len(kinds) * step + _GAP), (255, 255, 255))
    draw = ImageDraw.Draw(page)
    for row, kind in enumerate(kinds):
        tiles = [image, *(corrupted(image, box, kind, each, arrays.ids[place]) for each in SEVERITIES)]
        for column, each in enumerate(tiles):
            corner = _GAP + column * (side + _GAP), _GAP + row * step
            page.paste(Image.fromarray(_shown(each)).resize((side, side), Image.Resampling.BOX), corner)
            text = f"{kind.name} {column}" if column else kind.title
            draw.text((corner[0], corner[1] + side + 2), text, fill=(60, 60, 60))
    return page


def _shown(image: UInt8) -> UInt8:
    return image if image.shape[2] == 3 else np.repeat(image[:, :, :1], 3, axis=2)
