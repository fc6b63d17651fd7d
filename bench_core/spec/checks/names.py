"""Models, datasets, runners, executors and analyses that no plugin declares."""

from __future__ import annotations

from bench_core.declarations.executors import LOCAL
from bench_core.errors import BenchError
from bench_core.plugins.registry import unknown
from bench_core.spec.checks.context import Context
from bench_core.spec.nodes import Loc


def check_names(context: Context) -> None:
    """Look every name up, and report the nearest one where there is none."""
    registry = context.registry
    for index, entry in context.draft.models.items():
        found = context.architectures[index]
        if isinstance(found, BenchError):
            _report(context, "model", ("models", index, "name"), found)
        if entry.runner is not None and entry.runner not in registry.runners:
            error = unknown("runner", entry.runner, registry.runners)
            _report(context, "runner", ("models", index, "runner"), error)
    for index, dataset in context.draft.datasets.items():
        if dataset.name not in registry.datasets:
            error = unknown("dataset", dataset.name, registry.datasets)
            _report(context, "dataset", ("datasets", index, "name"), error)
    for name in context.draft.runner_options:
        if name not in registry.runners:
            error = unknown("runner", name, registry.runners)
            _report(context, "runner", ("runtime", "runners", name), error, key=True)
    executors = (LOCAL, *registry.executors)
    if context.draft.executor not in executors:
        error = unknown("executor", context.draft.executor, executors)
        _report(context, "executor", ("runtime", "executor"), error)
    for name in context.draft.executor_options:
        if name not in executors:
            error = unknown("executor", name, executors)
            _report(context, "executor", ("runtime", "executors", name), error, key=True)
    entries = context.draft.models.values()
    models = dict.fromkeys(name for entry in entries for name in (entry.label, entry.name) if name)
    for name in context.draft.memory:
        if name not in models:
            error = unknown("model", name, models)
            _report(context, "model", ("runtime", "memory", name), error, key=True)
    seen: set[str] = set()
    for index, analysis in context.draft.analyses.items():
        loc: Loc = ("analyses", index, "name")
        if analysis.name not in registry.analyses:
            _report(context, "analysis", loc, unknown("analysis", analysis.name, registry.analyses))
        elif analysis.name in seen:
            context.error(
                "analysis",
                loc,
                f"analysis {analysis.name!r} is listed twice",
                cause="a report holds each analysis once",
                fix="remove one of the two",
            )
        seen.add(analysis.name)


def _report(context: Context, check: str, loc: Loc, error: BenchError, *, key: bool = False) -> None:
    context.error(check, loc, error.message, cause=error.cause, fix=error.fix, key=key)
