"""What a study's numbers are called in options, files and columns: by metric and way to count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from bench_core.declarations import Metric
from bench_core.errors import UnknownNameError
from bench_core.plugins.registry import unknown

MEASURE, NATIVE, TRANSFER, ENSEMBLE, GRAD_CAM = "measure", "native", "transfer", "ensemble", "grad-cam"
CORRUPTION, COST, FOLD_MAPS = "corruption", "cost", "fold-maps"
"""Steps whose tables the report reads."""


def measured_names(steps: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str, str]]:
    """Yield (label, metric, name) of what each step `measure`, by its label, measures.

    The first step that measures a metric gives it its own name, others add their label.
    """
    seen: set[str] = set()
    for label, metrics in steps.items():
        for metric in metrics:
            yield label, metric, f"{metric}-{label}" if metric in seen else metric
            seen.add(metric)


def native_name(metric: str, label: str) -> str:
    """Return what a metric of counts is called at original sizes, as the step of this label counts them."""
    return f"{metric}-{label}"


def quantity_names(
    metrics: Mapping[str, Metric], measured: Mapping[str, Sequence[str]], native: Sequence[str]
) -> tuple[str, ...]:
    """Return the names of all numbers that a study has.

    `measured` are the metrics of each step `measure` by its label, `native` the labels of steps `native`.
    """
    counted = [name for name, metric in metrics.items() if metric.needs == "counts"]
    found = [name for _, metric, name in measured_names(measured) if metric in metrics]
    return (*counted, *found, *(native_name(metric, label) for label in native for metric in counted))


def no_quantity(name: str, metrics: Mapping[str, Metric], known: Sequence[str]) -> UnknownNameError:
    """Return the error for a number that a study lacks: the nearest one, or the step that makes it."""
    if name in metrics:
        return UnknownNameError(
            f"no step of this study measures {name!r}",
            cause="it is made of label maps, and `measure` computes it",
            fix=f"add it to the spec: `steps: [{{name: measure, options: {{metrics: [{name}]}}}}]`",
        )
    metric, dash, label = name.rpartition(f"-{NATIVE}")
    if dash and not label and metric in metrics and metrics[metric].needs == "counts":
        return UnknownNameError(
            f"no step of this study counts {metric!r} at original sizes",
            cause="the step `native` does, and its label ends the names of its metrics",
            fix="add it to the spec: `steps: [native]`",
        )
    return unknown("metric", name, [*dict.fromkeys((*metrics, *known))])
