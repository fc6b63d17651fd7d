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
