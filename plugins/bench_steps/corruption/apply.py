"""One image under one corruption: seeded by its id, its padding left alone."""

from __future__ import annotations

import numpy as np

from bench_core.declarations import resolve_entry
from bench_core.errors import PluginError
from bench_core.seeds import derive_seed
from bench_steps.corruption.declared import SEVERITIES, Corruption
from bench_steps.corruption.exact import UInt8


def corrupted(
    image: UInt8, box: tuple[slice, slice], corruption: Corruption, severity: int, sample: str
) -> UInt8:
    """Return an image [S, S, C] whose part inside `box` is corrupted; the rest is padding.

    What is drawn depends on the kind and the sample's id alone: it is the same for every model, in every
    order and on every machine. Raises PluginError for a corruption that gives back something else than an
    image.
    """
    if severity not in SEVERITIES:
        raise ValueError(f"severity {severity} is none of {SEVERITIES}")
    random = np.random.default_rng(derive_seed("corruption", corruption.name, corruption.version, sample))
    part = np.ascontiguousarray(image[box])
    found = resolve_entry(corruption.function)(part.copy(), severity, random, image.shape[0])
    if not isinstance(found, np.ndarray) or found.shape != part.shape or found.dtype != np.uint8:
        shown = f"{found.dtype} {found.shape}" if isinstance(found, np.ndarray) else type(found).__name__
        raise PluginError(
            f"corruption {corruption.name!r} gave back {shown}",
            cause=f"an image uint8 {part.shape} was expected",
        )
    whole = image.copy()
    whole[box] = found
    return whole
