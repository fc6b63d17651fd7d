"""How far outputs in single precision may lie from a reference's, in units of the network's own rounding.

An epsilon ten times another moves outputs by less than 1e-4, and by more than rounding does. What rounding
does is seen in the network itself: in single precision against its double.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tests.helpers.golden import Golden

LIMIT = 4.0
"""Correct orders of operations differ by one to two; an epsilon ten times another makes eleven or more."""


def roundings(single: dict[str, Tensor], double: dict[str, Tensor], golden: Golden) -> dict[str, float]:
    """Return of the logits and each feature map how many of its own roundings the stored one lies away.

    By root mean squares; `single` and `double` are the outputs of one network in both precisions. A reference
    that was computed in single precision has its own roundings, and is compared with the double.
    """
    nearest = double if golden.dtype == torch.float32 else single
    found: dict[str, float] = {}
    for name in ("logits", *(f"feature{index}" for index in range(len(golden.facts.get("features", ()))))):
        stored = torch.from_numpy(golden.arrays[name]).double()
        own = max(_size(single[name] - double[name]), torch.finfo(torch.float32).eps / 8 * _size(stored))
        found[name] = _size(nearest[name] - stored) / own
    return found


def _size(values: Tensor) -> float:
    return values.square().mean().sqrt().item()
