"""What each model costs, by formula, measured by the step `cost` and trained; who is best for how much."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

from bench_core.analysis.evidence import Cell, Evidence, Finished
from bench_core.metrics.costs import MEASURING, Measured, Setting, operation_values
from bench_core.plugins.quantities import COST
from bench_core.spec.rules.labels import label_of

Part = Literal["network", "inference", "training"]


@dataclass(frozen=True)
class Axis:
    """A kind of cost."""

    key: str
    title: str
    unit: str
    part: Part
    factor: float = 1.0
    """From what is kept to the unit."""
    more_is_better: bool = False


AXES = (
    Axis("parameters", "Parameters", "M", "network", 1e-6),
    Axis("gmac", "Multiply-adds", "GMAC", "network"),
    Axis("latency", "Latency", "ms", "inference", 1e3),
    Axis("throughput", "Throughput", "images/s", "inference", more_is_better=True),
    Axis("memory", "Memory", "MB", "inference", 1e-6),
    Axis("energy", "Energy", "J/image", "inference"),
    Axis("epoch", "Training", "s/epoch", "training"),
    Axis("training-memory", "Training memory", "MB", "training", 1e-6),
    Axis("training-energy", "Training energy", "J/image", "training"),
)
"""What models are compared by, in the order of tables."""


@dataclass(frozen=True, order=True)
class Machine:
    """Where and under what something was measured; different ones are never compared."""

    device_name: str
    software: str
    threads: int

    @property
    def title(self) -> str:
        """Return it in words."""
        threads = f", {self.threads} thread{'s' if self.threads > 1 else ''}" if self.threads else ""
        return f"{self.device_name}, {self.software}{threads}"


@dataclass(frozen=True)
class Amount:
    """One cost of one model, in the unit of its axis."""

    value: float
    low: float | None = None
    high: float | None = None
    """Quartiles of repeated passes, or mean minus and plus the standard deviation over folds."""
    runs: int = 1
    batch: int = 0
    """Images of a pass; 0: not of passes."""
    precision: str = ""


@dataclass(frozen=True)
class Series:
    """One kind of cost of all models on a dataset that were measured on one machine."""

    axis: Axis
    dataset: str
    machine: Machine | None
    """None: by formula."""
    amounts: Mapping[str, Amount]
    """By model."""


@dataclass(frozen=True)
class Network:
    """What a network is by formula."""

    parameters: int
    trainable: int
    operations: Mapping[str, float]
    """gmac, other-gflop and gflop; empty where nothing was counted."""
    largest: tuple[tuple[str, float], ...]
    """Operations with most floating-point operations, and their share of all."""


@dataclass(frozen=True)
class Costs:
    """All of one step `cost`."""

    step: str
    networks: Mapping[tuple[str, str], Network]
    """By model and dataset."""
    series: tuple[Series, ...]
    unknown: Mapping[str, str]
    """Title of an axis to why it is not known, where it is known of no model."""
    outdated: int
    """Jobs whose measurements another version of the procedure made; they are left out."""

    def of(self, axis: Axis) -> tuple[Series, ...]:
        """Return the series of an axis."""
        return tuple(item for item in self.series if item.axis == axis)

    @property
    def machines(self) -> tuple[Machine, ...]:
        """Return the machines that the step measured on."""
        found = (item.machine for item in self.series if item.axis.key != "epoch")
        return tuple(dict.fromkeys(machine for machine in found if machine is not None))


def costs(evidence: Evidence) -> tuple[Costs, ...]:
    """Return what is there of each step `cost`; training counts with each, since it is of no step."""
    found = (_costs(evidence, label_of(step)) for step in evidence.spec.steps if step.name == COST)
    return tuple(item for item in found if item.networks)


def _costs(evidence: Evidence, step: str) -> Costs:
    networks: dict[tuple[str, str], Network] = {}
    amounts: dict[tuple[Axis, str, Machine | None], dict[str, Amount]] = {}
    why: dict[str, str] = {}
    outdated = 0

    def add(key: str, dataset: str, machine: Machine | None, model: str, amount: Amount) -> None:
        axis = next(item for item in AXES if item.key == key)
        amounts.setdefault((axis, dataset, machine), {})[model] = amount

    for (model, dataset), cell in evidence.cells.items():
        for job in cell.steps.get(step, ()):
            if job.tables.measured is None:
                continue
            network = networks[model, dataset] = _network(job)
            add("parameters", dataset, None, model, Amount(network.parameters / 1e6))
            if network.operations:
                add("gmac", dataset, None, model, Amount(network.operations["gmac"]))
            current = [item for item in job.tables.measured if item.setting.version == MEASURING]
            outdated += len(current) < len(job.tables.measured)
            for key, item, amount in _amounts(current):
                add(key, dataset, machine_of(item.setting), model, amount)
            why |= {_KEYS[item.phase, item.what]: item.how for item in current if not item.known}
        if (model, dataset) in networks:
            for machine, amount in _epochs(cell):
                add("epoch", dataset, machine, model, amount)
    order = {axis: place for place, axis in enumerate(AXES)}
    series = tuple(
        Series(axis, dataset, machine, found)
        for (axis, dataset, machine), found in sorted(amounts.items(), key=lambda item: order[item[0][0]])
    )
    known = {item.axis.key for item in series}
    unknown = {axis.title: why[axis.key] for axis in AXES if axis.key in why and axis.key not in known}
    return Costs(step, networks, series, unknown, outdated)


_KEYS = {
    ("inference", "time"): "latency",
    ("inference", "memory"): "memory",
    ("inference", "energy"): "energy",
    ("training", "time"): "step",
    ("training", "memory"): "training-memory",
    ("training", "energy"): "training-energy",
}


def machine_of(setting: Setting) -> Machine:
    """Return the machine of a measurement; precision is the model's own."""
    return Machine(setting.device_name, setting.software, setting.threads)


def _amounts(measured: Sequence[Measured]) -> Iterator[tuple[str, Measured, Amount]]:
    """Yield what a job's measurements say: throughput of the largest batch, all else of the smallest."""
    for kind, key in _KEYS.items():
        found = sorted(
            (item for item in measured if (item.phase, item.what) == kind and item.known),
            key=lambda item: item.batch,
        )
        if not found or key == "step":
            continue
        factor = next(axis.factor for axis in AXES if axis.key == key)
        yield key, found[0], _amount(found[0], lambda value: factor * value)  # noqa: B023
        if key == "latency":
            last = found[-1]
            yield "throughput", last, _amount(last, lambda seconds: last.batch / seconds)  # noqa: B023


def _amount(item: Measured, convert: Callable[[float], float]) -> Amount:
    low, high = sorted((convert(item.low), convert(item.high)))
    return Amount(convert(item.value), low, high, item.runs, item.batch, item.setting.precision)


def _network(job: Finished) -> Network:
    values, done = job.result.values, job.tables.operations
    weights = sorted(((2 * item.macs + item.other, item.operation) for item in done), reverse=True)
    total = sum(weight for weight, _ in weights)
    largest = tuple((name.removeprefix("aten::"), weight / total) for weight, name in weights[:3] if weight)
    return Network(
        parameters=int(float(values.get("parameters", 0))),
        trainable=int(float(values.get("trainable", 0))),
        operations=operation_values(done) if done else {},
        largest=largest if total else (),
    )


def _epochs(cell: Cell) -> Iterator[tuple[Machine, Amount]]:
    """Yield the seconds of an epoch, mean and spread over the folds that one machine trained."""
    found: dict[Machine, list[float]] = {}
    for fold in cell.folds:
        if fold.training is not None and fold.training.history:
            seconds = fmean(record.train_seconds for record in fold.training.history)
            found.setdefault(trained_on(fold), []).append(seconds)
    for machine, values in found.items():
        spread = stdev(values) if len(values) > 1 else None
        middle = fmean(values)
        low, high = (None, None) if spread is None else (max(middle - spread, 0.0), middle + spread)
        yield machine, Amount(middle, low, high, len(values))


def trained_on(fold: Finished) -> Machine:
    """Return the machine that trained a job, as its provenance has it."""
    told = fold.result.provenance
    packages = told.get("packages")
    version = packages.get("torch", "") if isinstance(packages, Mapping) else ""
    threads = told.get("threads")
    on_cpu = str(told.get("device", "")) == "cpu"
    return Machine(
        str(told.get("device_name") or "unknown device"),
        f"torch {version or 'unknown'}",
        threads if on_cpu and isinstance(threads, int) else 0,
    )


def front(points: Mapping[str, tuple[float, float]]) -> tuple[str, ...]:
    """Return who is on the Pareto front, cheapest first; points are (cost, order), both better when lower.

    A model is on it unless another costs no more and is no worse, and is better in one of the two.
    """
    ranked = sorted(points, key=lambda label: points[label])
    found: list[str] = []
    for label in ranked:
        cost, order = points[label]
        if not found or order < points[found[-1]][1] or points[found[-1]] == (cost, order):
            found.append(label)
    return tuple(found)


def best_within(points: Mapping[str, tuple[float, float]], budget: float) -> tuple[str, ...]:
    """Return the best models that cost at most `budget`; several where they are equally good."""
    affordable = {label: order for label, (cost, order) in points.items() if cost <= budget}
    best = min(affordable.values(), default=None)
    return tuple(label for label, order in affordable.items() if order == best)
