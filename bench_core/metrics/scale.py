"""How a metric's numbers are printed and compared: unit, decimals and direction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from bench_core.declarations import Metric
from bench_core.metrics.declared import KnownUnit, known_unit

_SIGNS = {"fraction": " %", "px": " px", "mm": " mm"}
_WORDS = {"fraction": "percent", "px": "px", "mm": "mm"}
_DIFFERENCES = {"fraction": "points", "px": "px", "mm": "mm"}


@dataclass(frozen=True)
class Scale:
    """Fractions are printed in percent with one decimal, lengths in their unit with two."""

    unit: KnownUnit = "fraction"
    better: Literal["higher", "lower"] = "higher"

    @property
    def factor(self) -> float:
        """What a stored value is multiplied with to be printed."""
        return 100.0 if self.unit == "fraction" else 1.0

    @property
    def digits(self) -> int:
        """Decimals of a printed value."""
        return 1 if self.unit == "fraction" else 2

    @property
    def words(self) -> str:
        """The unit in a title: percent, px, mm."""
        return _WORDS[self.unit]

    @property
    def sign(self) -> str:
        """The unit on an axis: %, px, mm."""
        return _SIGNS[self.unit].strip()

    @property
    def points(self) -> str:
        """The unit of a difference: points, px, mm."""
        return _DIFFERENCES[self.unit]

    @property
    def worst(self) -> float | None:
        """The worst value there is; None for a length, whose worst depends on the image."""
        if self.unit != "fraction":
            return None
        return 0.0 if self.better == "higher" else 1.0

    def text(self, value: float, more: int = 0) -> str:
        """Return a stored value as printed, without its unit; `more` decimals than usual."""
        return f"{self.factor * value:.{self.digits + more}f}"

    def full(self, value: float) -> str:
        """Return a stored value as printed, with its unit."""
        return self.text(value) + _SIGNS[self.unit]

    def signed(self, difference: float) -> str:
        """Return a difference of stored values as printed, with + or − before it."""
        return f"{self.factor * difference:+.{self.digits}f}".replace("-", "−")

    def gain(self, value: float, reference: float) -> float:
        """Return by how much `value` is better than `reference`; below zero where it is worse."""
        return value - reference if self.better == "higher" else reference - value

    def order(self, value: float) -> float:
        """Return a key by which the better value sorts first."""
        return -value if self.better == "higher" else value

    def leaders(self, values: Mapping[str, float], more: int = 0) -> frozenset[str]:
        """Return the names whose values print best; values that print alike share the lead.

        Nobody leads alone: to be the best of one is not a distinction. Nor does anybody lead with the worst
        value there is.
        """
        if len(values) < 2:
            return frozenset()
        printed = {name: float(self.text(value, more)) for name, value in values.items()}
        best = min(printed.values(), key=self.order)
        if self.worst is not None and best == float(self.text(self.worst)):
            return frozenset()
        return frozenset(name for name, value in printed.items() if value == best)


PERCENT = Scale()


def scale_of(metric: Metric, spacing: bool = False) -> Scale:
    """Return a metric's scale on a dataset; `spacing` says whether all images have theirs."""
    return Scale(known_unit(metric, spacing), metric.better)


def common_scale(scales: Iterable[Scale]) -> Scale | None:
    """Return the one scale of all, or None where there are several or none."""
    found = set(scales)
    return found.pop() if len(found) == 1 else None
