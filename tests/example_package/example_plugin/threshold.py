"""A runner with a procedure of its own: the brightness above which a pixel belongs to the structure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench_core.errors import PluginError
from bench_core.protocol.outcome import Outcome
from bench_core.protocol.session import Session


def fit(session: Session, options: Mapping[str, Any]) -> Outcome:
    """Choose the level with the best Dice on the validation images, and label the test images by it."""
    if not session.task.binary:
        raise PluginError("example-threshold knows one class", fix="exclude it from this dataset")
    masks = np.stack([mask == 1 for _, mask in session.truth(session.validation)])
    images = np.stack([image for _, image in _brightness(session, session.validation)])
    levels = np.linspace(0, 1, options["levels"] + 2)[1:-1]
    dice = [
        2 * (found & masks).sum() / max(1, found.sum() + masks.sum())
        for found in (images > levels[:, None, None, None])
    ]
    level = float(levels[int(np.argmax(dice))])
    labels = (
        (sample, (image > level).astype(np.uint8)) for sample, image in _brightness(session, session.test)
    )
    return Outcome(predictions=session.accept(session.test, labels), values={"level": level})


def _brightness(session: Session, split: Any) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for batch in session.images(split):
        yield from zip(batch.ids, batch.images.mean(dim=1).cpu().numpy(), strict=True)
