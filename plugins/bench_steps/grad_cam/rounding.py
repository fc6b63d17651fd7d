"""How far rounding alone moves what is said of an image: what is asked again may be off by as much.

Another device or number of threads sums in another order. A map orders pixels that are nearly equal, and its
numbers divide by evidence that may be tiny, so that a logit that is off by a millionth can move them by any
amount. By how much, the network tells where its image is changed by as little.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from bench_steps.grad_cam.further import Subject
from bench_steps.grad_cam.maps import Explorer

NUDGE = 1e-5
"""Standard deviation of the change, as a share of the image's largest value. Between one thread and two,
logits of an EfficientNet-Lite0 under U-Net were apart by 3e-6 of the largest."""
TRIES = 4
"""Images are changed so many times, where what is found of the image itself does not fit."""
Found = TypeVar("Found")


def near_images(image: Tensor) -> Iterator[Tensor]:
    """Yield images that are nearly an image, always the same ones."""
    for number in range(TRIES):
        random = torch.Generator().manual_seed(number)
        change = torch.randn(image.shape, generator=random) * (NUDGE * float(image.abs().max()))
        yield image + change.to(image)


def near_subjects(explorer: Explorer, subject: Subject) -> Iterator[tuple[Explorer, Subject]]:
    """Yield nearly the same images with their own maps."""
    for image in near_images(subject.image):
        looked = explorer.look(subject.sample, image, subject.labels)
        yield explorer, replace(subject, image=image, looked=looked)


def unexplained(passes: Iterable[Found], odd: Callable[[Sequence[Found]], str | None]) -> str | None:
    """Return what `odd` says of all passes, the first of which is of the image itself; None if nothing.

    Passes cost time: another one is taken only as long as something is odd.
    """
    said: str | None = None
    known: list[Found] = []
    for found in passes:
        known.append(found)
        said = odd(known)
        if said is None:
            return None
    return said


def within(kept: float, found: Sequence[float], close: float) -> bool:
    """Return whether a number is one that computing gives, which was done once or more often.

    It may lie outside of what was found by as much as that spreads, and by `close`, which is a share above 1.
    """
    known = [value for value in found if not math.isnan(value)]
    if math.isnan(kept):
        return len(known) < len(found)
    if not known:
        return False
    low, high = min(known), max(known)
    margin = high - low + close * max(1.0, abs(known[0]))
    return low - margin <= kept <= high + margin
