"""Rows, columns and cells: labels, entries that are the same, exclusions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bench_core.options import complete_options
from bench_core.spec.checks.context import Context
from bench_core.spec.rules.labels import label_breaches, label_of, own_files_breaches
from bench_core.spec.words import join, nearest


def check_labels(context: Context) -> None:
    """Labels (or names without one) must differ; a dataset of the user's own files needs one."""
    context.report(label_breaches("models", context.draft.models))
    context.report(label_breaches("datasets", context.draft.datasets))
    for index, entry, dataset in context.datasets():
        context.report(own_files_breaches(("datasets", index), entry, dataset))


def check_same_experiments(context: Context) -> None:
    """Two entries that differ in their labels alone would be the same jobs."""
    models = {
        index: {
            **entry.model_dump(mode="json", exclude={"label", "weights", "because"}),
            "runner": entry.runner or architecture.runner,
            "options": _completed(architecture.options, entry.options),
        }
        for index, entry, architecture in context.models()
        if context.draft.sound(("models", index))
    }
    datasets = {
        index: {
            **entry.model_dump(mode="json", exclude={"root", "label"}),
            "options": _completed(dataset.options, entry.options),
            "content": entry.label if dataset.own_files else None,
        }
        for index, entry, dataset in context.datasets()
        if context.draft.sound(("datasets", index))
    }
    for kind, table in (("models", models), ("datasets", datasets)):
        first: dict[str, int] = {}
        for index, content in table.items():
            # Not sorted: the order of a mapping of classes numbers the labels.
            text = json.dumps(content, default=str)
            if text not in first:
                first[text] = index
                continue
            entries: Mapping[int, Any] = context.draft.models if kind == "models" else context.draft.datasets
            if label_of(entries[index]) == label_of(entries[first[text]]):
                continue  # check_labels has said so.
            context.error(
                "duplicate",
                (kind, index),
                f"{label_of(entries[index])!r} is the same experiment as {label_of(entries[first[text]])!r}",
                cause="they differ in nothing that changes numbers (labels, roots and weights paths do not)",
                fix="remove one of the two, or give them different options",
            )


def _completed(declared: Mapping[str, Any], given: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        return complete_options(declared, given)
    except ValueError:
        return given


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
