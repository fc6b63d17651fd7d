"""`bench list`: what a spec can name, and where it comes from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from bench_core.cli.common import JSON, PathType, console, print_json, say
from bench_core.declarations import Architecture, ModelSource
from bench_core.declarations.executors import LOCAL
from bench_core.errors import BenchError
from bench_core.install import install_command, install_modules
from bench_core.plugins.registry import Registry

Rows = list[dict[str, Any]]


@click.command(name="list")
@click.argument(
    "what",
    type=click.Choice(
        ["models", "datasets", "runners", "executors", "steps", "metrics", "analyses", "plugins"]
    ),
)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--plugin", "files", multiple=True, type=PathType(), help="Also load this file.")
@click.option("--source", metavar="PREFIX", help="Models: every name that a source such as smp offers.")
@JSON
def command(
    what: str, names: tuple[str, ...], files: tuple[Path, ...], source: str | None, as_json: bool
) -> None:
    """List what a spec can name; of models and executors that are named, all that is declared."""
    from bench_core.plugins.registry import unknown
    from bench_core.plugins.wiring import load_registry

    if source is not None and (what != "models" or names):
        raise click.UsageError("--source is of models, without names")
    if names and what not in ("models", "executors"):
        raise click.UsageError("names are of models and executors")
    registry = load_registry(files)
    if names and what == "executors":
        _executor_declarations(names, registry, as_json)
        return
    if names:
        _declarations([registry.model(name) for name in names], registry, as_json)
        return
    if source is not None:
        if source not in registry.sources:
            raise unknown("model source", source, registry.sources)
        rows = _of_source(registry.sources[source], registry)
    else:
        rows = ROWS[what](registry)
    if as_json:
        print_json(rows)
        return
    _print_table(rows, what)


def _declarations(models: Sequence[Architecture], registry: Registry, as_json: bool) -> None:
    from bench_core.cli.declaration import facts, print_declarations

    found = [facts(model, _model_state(model, registry)) for model in models]
    if as_json:
        print_json(found)
    else:
        print_declarations(found)


def _executor_declarations(names: Sequence[str], registry: Registry, as_json: bool) -> None:
    from bench_core.cli.declaration import executor_facts, print_declarations
    from bench_core.execute.fleets import lacking

    found = [
        executor_facts(executor, lacking(executor) or "ready") for executor in map(registry.executor, names)
    ]
    if as_json:
        print_json(found)
    else:
        print_declarations(found)


def _models(registry: Registry) -> Rows:
    rows: Rows = [
        {
            "name": model.name,
            "family": model.family,
            "runner": model.runner,
            "parameters": ", ".join(f"{count:,} ({k})" for k, count in sorted(model.parameters.items())),
            "pretrained": ", ".join(model.pretrained),
            "options": ", ".join(model.options),
            "state": _model_state(model, registry),
        }
        for model in registry.models.values()
    ]
    rows += [
        {
            "name": f"{source.prefix}:...",
            "family": "",
            "runner": source.runner,
            "parameters": "",
            "pretrained": "",
            "options": "",
            "state": f"{source.help}; names: bench list models --source {source.prefix}",
        }
        for source in registry.sources.values()
    ]
    return rows


def _of_source(source: ModelSource, registry: Registry) -> Rows:
    return [{"name": name, "state": _state(source, name, registry)} for name in source.names()]


def _state(source: ModelSource, name: str, registry: Registry) -> str:
    try:
        model = source.resolve(name)
    except BenchError as error:
        return error.cause or error.message
    return _model_state(model, registry)


def _model_state(model: Architecture, registry: Registry) -> str:
    """Return "ready" if the model's builder and its runner find what they need, else what is missing."""
    runner = registry.runners.get(model.runner)
    if runner is None:
        return f"needs the runner {model.runner}, which no plugin declares"
    unavailable = model.unavailable or runner.unavailable
    return unavailable or missing_of((*model.requires, *runner.requires), model.install or runner.install)


def _datasets(registry: Registry) -> Rows:
    return [
        {
            "name": dataset.name,
            "modality": dataset.modality,
            "classes": _classes(dataset.task),
            "samples": dataset.samples or "",
            "options": ", ".join(dataset.options),
            "license": dataset.license,
            "how_to_get": dataset.how_to_get,
            "state": dataset.unavailable or missing_of(dataset.requires, dataset.install),
        }
        for dataset in registry.datasets.values()
    ]


def _classes(task: Any) -> str:
    return "by options" if callable(task) else ", ".join(task.classes)


def _runners(registry: Registry) -> Rows:
    return [
        {
            "name": runner.name,
            "protocol": runner.protocol,
            "help": runner.help,
            "options": ", ".join(runner.options),
            "state": runner.unavailable or missing_of(runner.requires, runner.install),
        }
        for runner in registry.runners.values()
    ]


def _executors(registry: Registry) -> Rows:
    from bench_core.execute.fleets import lacking

    here = {"name": LOCAL, "help": "worker processes of this machine", "options": "", "state": "ready"}
    return [here] + [
        {
            "name": executor.name,
            "help": executor.help,
            "options": ", ".join(executor.options),
            "state": lacking(executor) or "ready",
        }
        for executor in registry.executors.values()
    ]


def _steps(registry: Registry) -> Rows:
    return [
        {
            "name": step.name,
            "needs": step.needs,
            "dataset": step.dataset,
            "help": step.help,
            "options": ", ".join(step.options),
            "state": missing_of(step.requires, step.install),
        }
        for step in registry.steps.values()
    ]


def _metrics(registry: Registry) -> Rows:
    return [
        {
            "name": metric.name,
            "title": metric.title,
            "unit": metric.unit,
            "better": metric.better,
            "from": metric.needs,
            "options": ", ".join(metric.options),
            "definition": metric.definition,
        }
        for metric in registry.metrics.values()
    ]


def _analyses(registry: Registry) -> Rows:
    return [
        {"name": analysis.name, "help": analysis.help, "options": ", ".join(analysis.options)}
        for analysis in registry.analyses.values()
    ]


def _plugins(registry: Registry) -> Rows:
    return [{"name": name, "origin": origin} for name, origin in registry.plugins.items()]


ROWS: dict[str, Callable[[Registry], Rows]] = {
    "models": _models,
    "datasets": _datasets,
    "runners": _runners,
    "executors": _executors,
    "steps": _steps,
    "metrics": _metrics,
    "analyses": _analyses,
    "plugins": _plugins,
}


def missing_of(packages: Sequence[str], install: str = "") -> str:
    """Return "ready", or which of these importable packages are missing and how they are had."""
    from importlib.util import find_spec

    missing = [package for package in dict.fromkeys(packages) if find_spec(package) is None]
    if not missing:
        return "ready"
    return f"needs {', '.join(missing)} ({install_command(install) if install else install_modules(missing)})"


def _print_table(rows: Rows, what: str) -> None:
    from rich.table import Table
    from rich.text import Text

    out = console()
    if not rows:
        out.print(f"no {what}")
        return
    if not out.is_terminal:
        for row in rows:
            say("\t".join(str(value) for value in row.values()))
        return
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for key in rows[0]:
        table.add_column(key.replace("_", " "), overflow="fold", no_wrap=key in ("name", "runner", "family"))
    for row in rows:
        table.add_row(*(Text(str(value)) for value in row.values()))
    out.print(table)
