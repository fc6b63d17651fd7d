"""The items that are compared, in causal order, and the tolerances where bits may differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench_core.conformance.record import Record, Tensors


@dataclass(frozen=True)
class Tolerance:
    """How far two numbers may be apart: |a - b| <= absolute + relative max(|a|, |b|).

    Of tensors `relative` bounds the L2 norm of the difference over the larger L2 norm.
    """

    relative: float = 0.0
    absolute: float = 0.0

    def __mul__(self, factor: float) -> Tolerance:
        """Return a tolerance that is `factor` times as wide."""
        return Tolerance(self.relative * factor, self.absolute * factor)


EXACT = Tolerance()
HALF = 10.0
"""How many times as wide the tolerances are in bf16 and fp16, whose roundings are larger."""


@dataclass(frozen=True)
class Item:
    """One line of the comparison."""

    name: str
    unit: str
    """What its values are numbered by: step, batch, line; empty for one value a section."""
    loose: Tolerance = EXACT
    """The tolerance on more than one CPU thread, or on another device than a CPU."""
    summary: Callable[[Record, list[Any]], str] = lambda record, values: str(values[-1])
    """A few words about all values of a record, for the table."""


def _count(unit: str) -> Callable[[Record, list[Any]], str]:
    return lambda record, values: f"{len(values)} {unit}"


def _kinds(record: Record, values: list[Any]) -> str:
    return ", ".join(dict.fromkeys(str(value) for value in values))


def _number(record: Record, values: list[Any]) -> str:
    return f"{values[0]:.6g} ... {values[-1]:.6g}" if isinstance(values[-1], float) else str(values[-1])


def _loss(record: Record, values: list[Any]) -> str:
    return f"{values[0]['loss']:.6g} ... {values[-1]['loss']:.6g}"


def _optimizer(record: Record, values: list[Any]) -> str:
    return f"{values[-1]['name']}, {len(values)} steps"


def _tensors(record: Record, values: list[Tensors]) -> str:
    return values[-1].hash[:8]


def _metrics(record: Record, values: list[dict[str, float]]) -> str:
    return f"miou {values[-1]['miou']:.4f}"


def _chosen(record: Record, values: list[dict[str, Any]]) -> str:
    return f"epoch {values[-1]['epoch']}" if "epoch" in values[-1] else values[-1]["tested weights"][:8]


def _counts(record: Record, values: list[dict[str, Any]]) -> str:
    counts = [value for value in values[-1].values() if isinstance(value, dict)]
    return " ".join(f"{name} {sum(count[name] for count in counts)}" for name in ("TP", "FP", "FN"))


ITEMS = (
    Item("sample order", "step", summary=_count("batches")),
    Item("augmented batches", "step", summary=_count("batches")),
    Item("training mode", "step", summary=_kinds),
    Item("evaluation mode", "batch", summary=_kinds),
    Item("random numbers", "step", summary=_count("steps")),
    Item("precision", "step", summary=_kinds),
    Item("optimizer", "step", summary=_optimizer),
    Item("learning rate", "step", summary=_number),
    Item("loss", "step", Tolerance(1e-3), _loss),
    Item("gradient norm", "step", Tolerance(1e-2), _number),
    Item("weights", "", Tolerance(1e-3), _tensors),
    Item("validation predictions", "batch", Tolerance(5e-3), _tensors),
    Item("validation metrics", "", Tolerance(absolute=5e-3), _metrics),
    Item("stopping epoch", "", summary=lambda record, values: values[0]),
    Item("chosen checkpoint", "", Tolerance(absolute=5e-3), _chosen),
    Item("test predictions", "batch", Tolerance(5e-3), _tensors),
    Item("test counts", "", Tolerance(1e-2, 10.0), _counts),
    Item("trace", "line", Tolerance(1e-3, 5e-3), _count("lines")),
)
"""What is compared within one training. Those of one step, batch or section come in causal order."""
