"""Rows, columns and cells: labels and exclusions."""

from __future__ import annotations

from typing import Any

from bench_core.spec.checks.context import Context
from bench_core.spec.rules.labels import label_breaches, own_files_breaches
from bench_core.spec.rules.size import cell_breaches
from bench_core.spec.words import join, nearest


def check_labels(context: Context) -> None:
    """Labels (or names without one) must differ; a dataset of the user's own files needs one."""
    context.report(label_breaches("models", context.draft.models))
    context.report(label_breaches("datasets", context.draft.datasets))
    for index, entry, dataset in context.datasets():
        context.report(own_files_breaches(("datasets", index), entry, dataset))


def check_exclusions(context: Context) -> None:
    """Each exclusion matches a cell, and together they leave some."""
    models = _names(context.draft.data.get("models"))
    datasets = _names(context.draft.data.get("datasets"))
    _check_left(context, models, datasets)
    for key, entries in (("model", models), ("dataset", datasets)):
        valid = sorted({name for names in entries for name in names})
        known = set(valid)
        for index, exclusion in context.draft.exclude.items():
            value = getattr(exclusion, key)
            if value is not None and value not in known and valid:
                context.error(
                    "exclusion",
                    ("exclude", index, key),
                    f"the exclusion matches nothing: no {key} is called {value!r}",
                    cause=f"the spec's {key}s are {join(valid) if len(valid) <= 30 else 'others'}",
                    fix=nearest(value, valid) or "correct the name, or remove the exclusion",
                )


def _check_left(context: Context, models: list[set[str]], datasets: list[set[str]]) -> None:
    if any(cell_breaches(len(models), len(datasets))):
        return  # Reported with the number of jobs.
    pairs = {(item.model, item.dataset) for item in context.draft.exclude.values()}

    def excluded(model: set[str], dataset: set[str]) -> bool:
        return any((row, column) in pairs for row in (None, *model) for column in (None, *dataset))

    cells = len(models) * len(datasets)
    if cells and all(excluded(model, dataset) for model in models for dataset in datasets):
        context.error(
            "exclusion",
            ("exclude",),
            "the exclusions leave nothing to run",
            cause=f"all {cells} combinations of model and dataset are excluded",
            fix="remove an exclusion, or name both model and dataset in it",
        )


def _names(entries: Any) -> list[set[str]]:
    """Return label and name of each entry, mistakes elsewhere in the entry or not."""
    named = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return [{entry[key] for key in ("label", "name") if isinstance(entry.get(key), str)} for entry in named]
