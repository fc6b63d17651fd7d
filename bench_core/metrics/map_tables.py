"""Tables of numbers about heat maps: how their columns are called, written and read."""

from __future__ import annotations

from typing import Literal

MAPS, INTERVENTIONS, STABILITY, RANDOMIZATION = "maps", "interventions", "stability", "randomization"
"""Names of the records."""
MapStatus = Literal["ok", "constant", "nan", "no-pixels"]
"""Of a map: usable, one value everywhere, not finite, or not made since the target has no pixels."""
ONE_MAP = ("image", "class", "target", "layer", "depth", "stride", "method", "status")
"""Columns of `maps` that say which map a row is about; `target` is predicted or truth."""
NUMBERS = ("share", "energy", "lift", "pointing", "iou", "auprc", "logits")
"""Columns of `maps` that follow."""
RESTATES = 0.9
"""From this correlation with the network's own logits on, a map restates the prediction."""
INTERVENED = (
    *(f"{way}_{where}" for way in ("deletion", "insertion") for where in ("inside", "outside")),
    *(f"random_{way}_{where}" for way in ("deletion", "insertion") for where in ("inside", "outside")),
    *("deletion_gain", "insertion_gain", "loss_inside", "loss_outside", "loss", "leakage"),
)
"""Columns of numbers of `interventions`, behind those that name the map and `imputer`."""
SHIFTED = ("shift", "shift_least", "shift_silent")
"""Columns of numbers of `stability`."""
RANDOMIZED = ("step", "modules", "similarity")
"""Columns of `randomization` behind those that name the map: how many groups of modules are shuffled, of how
many modules, and Spearman's correlation with the map before."""
UNCHANGED = 0.9
"""A map that is this similar when all weights are shuffled does not depend on them."""
