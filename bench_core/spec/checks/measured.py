"""What steps measure: options that only fit together, and metrics that the report asks for."""

from __future__ import annotations

from collections.abc import Iterator

from bench_core.declarations import Step
from bench_core.errors import BenchError
from bench_core.options import complete_options
from bench_core.plugins.quantities import MEASURE, NATIVE, no_quantity, quantity_names
from bench_core.spec.checks.context import Context
from bench_core.spec.model import StepEntry
from bench_core.spec.nodes import Loc
from bench_core.spec.rules.labels import label_of


def check_measured(context: Context) -> None:
    """Ask each step about its options as a whole; what an analysis shows must be there to be shown."""
    for index, entry, step in _known(context):
        if context.draft.sound(("steps", index, "options")):
            _together(context, ("steps", index), entry, step)
    if context.draft.sound(("steps",)):
        _shown(context)


def _together(context: Context, loc: Loc, entry: StepEntry, step: Step) -> None:
    try:
        options = complete_options(step.options, entry.options)
        if not all(_declared(context, step, options)):
            return
    except ValueError:  # Reported by check_options.
        return
    try:
        step.resolved(options, context.registry.metrics)
    except BenchError as error:
        fix = error.fix or "report it to the plugin's author"
        context.error("option", (*loc, "name"), error.message, cause=error.cause, fix=fix)
    except ValueError as error:
        message = f"options of {entry.name!r} do not fit: {error}"
        where = (*loc, "options") if entry.options else (*loc, "name")
        context.error("option", where, message, fix="remove or change one of them")


def _declared(context: Context, step: Step, options: dict[str, object]) -> Iterator[bool]:
    for name, option in step.options.items():
        for metric in _texts(options[name]) if option.names == "metric" else ():
            yield metric in context.registry.metrics


def _shown(context: Context) -> None:
    for index, analysis in context.draft.analyses.items():
        part = context.registry.analyses.get(analysis.name)
        for option, declared in (part.options if part is not None else {}).items():
            for name in _texts(analysis.options.get(option)) if declared.names == "metric" else ():
                check_metric(context, "option", ("analyses", index, "options", option), name)


def check_metric(context: Context, check: str, loc: Loc, name: str) -> None:
    """Report a metric at `loc` that the study will have no numbers of."""
    if not context.draft.sound(("steps",)):
        return
    measured = {
        label_of(entry): _texts(entry.options.get("metrics", step.options["metrics"].default))
        for _, entry, step in _known(context)
        if entry.name == MEASURE and "metrics" in step.options
    }
    native = [label_of(entry) for _, entry, _ in _known(context) if entry.name == NATIVE]
    metrics = context.registry.metrics
    names = quantity_names(metrics, measured, native)
    if name not in names:
        error = no_quantity(name, metrics, names)
        context.error(check, loc, error.message, cause=error.cause, fix=error.fix)


def _known(context: Context) -> Iterator[tuple[int, StepEntry, Step]]:
    for index, entry in context.draft.steps.items():
        if entry.name in context.registry.steps:
            yield index, entry, context.registry.steps[entry.name]


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, (list, tuple)) else ()
