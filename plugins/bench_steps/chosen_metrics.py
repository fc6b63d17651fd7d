"""Which metrics a step `measure` computes, as identity counts them; needs no framework."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench_core.declarations import Metric
from bench_core.options import complete_options, differing


def resolve(options: Mapping[str, Any], metrics: Mapping[str, Metric]) -> Mapping[str, Any]:
    """Return what counts of complete options: each metric with its version and its own options.

    Raises ValueError for a metric that is not made of label maps, an option that no listed metric has, and a
    metric that is listed twice.
    """
    names, settings = [str(name) for name in options["metrics"]], options["settings"]
    if not names:
        raise ValueError("option 'metrics' lists no metric")
    if len(set(names)) != len(names):
        raise ValueError("option 'metrics' lists a metric twice; use a second step with a label of its own")
    strange = next((name for name in settings if name not in names), None)
    if strange is not None:
        raise ValueError(f"option 'settings' is about {strange!r}, which 'metrics' does not list")
    tolerance = {} if options["tolerance"] is None else {"tolerance": options["tolerance"]}
    if tolerance and not any("tolerance" in metrics[name].options for name in names if name in metrics):
        raise ValueError("option 'tolerance' has no effect: none of the listed metrics has one")
    found = []
    for name in names:
        if name not in metrics:
            raise ValueError(f"unknown metric {name!r} (see `bench list metrics`)")
        metric = metrics[name]
        if metric.needs != "labels":
            raise ValueError(f"metric {name!r} is made of pixel counts: the report has it without this step")
        given = settings.get(name, {})
        if not isinstance(given, Mapping):
            raise ValueError(f"option 'settings' has no mapping for {name!r}")
        shared = tolerance if "tolerance" in metric.options else {}
        complete = complete_options(metric.options, {**shared, **given})
        found.append(
            {"name": name, "version": metric.version, "options": differing(metric.options, complete)}
        )
    return {"metrics": found}
