"""The only wiring: plugin manager, entry points, a spec's own plugin files, and lookup by name."""

from __future__ import annotations

import difflib
import importlib.util
import logging
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import pluggy

from bench_core import hookspecs
from bench_core.commands import COMMANDS
from bench_core.declarations import (
    Analysis,
    Architecture,
    Dataset,
    JobEvent,
    Metric,
    ModelSource,
    RunnerDeclaration,
)
from bench_core.errors import PluginError, UnknownNameError
from bench_core.paths import expand

if TYPE_CHECKING:
    import click

log = logging.getLogger(__name__)
ENTRY_POINT_GROUP = "segtrial"
Declared = TypeVar("Declared", Architecture, Dataset, RunnerDeclaration, Metric, Analysis, ModelSource)


@dataclass(frozen=True)
class Registry:
    """Everything that the loaded plugins declare, by name."""

    models: Mapping[str, Architecture]
    sources: Mapping[str, ModelSource]
    datasets: Mapping[str, Dataset]
    runners: Mapping[str, RunnerDeclaration]
    analyses: Mapping[str, Analysis]
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    plugins: Mapping[str, str] = field(default_factory=dict)
    """Plugin name to where it comes from."""
    manager: pluggy.PluginManager | None = None
    commands: Mapping[str, click.Command] = field(default_factory=dict)
    """Subcommands of `bench` that plugins add."""
    base: Path | None = None
    """Folder of the spec, from which relative paths in names start; None: the current one."""

    def model(self, name: str) -> Architecture:
        """Return the architecture of this name; raise UnknownNameError with the nearest one."""
        prefix, colon, rest = name.partition(":")
        if colon and prefix in self.sources:
            source = self.sources[prefix]
            if source.file_suffix and rest.endswith(source.file_suffix):
                path = (self.base or Path.cwd()) / expand(rest, f"the file of model {name!r}")
                # A name that is no such file may still be one that the source knows itself.
                name = f"{prefix}:{os.path.normpath(path)}" if path.is_file() else name
            return source.resolve(name)
        if colon:
            raise unknown("model source", prefix, self.sources)
        return self._find("model", name, self.models)

    def dataset(self, name: str) -> Dataset:
        """Return the dataset of this name; raise UnknownNameError with the nearest one."""
        return self._find("dataset", name, self.datasets)

    def runner(self, name: str) -> RunnerDeclaration:
        """Return the runner of this name; raise UnknownNameError with the nearest one."""
        return self._find("runner", name, self.runners)

    def metric(self, name: str) -> Metric:
        """Return the metric of this name; raise UnknownNameError with the nearest one."""
        return self._find("metric", name, self.metrics)

    def analysis(self, name: str) -> Analysis:
        """Return the analysis of this name; raise UnknownNameError with the nearest one."""
        return self._find("analysis", name, self.analyses)

    def event(self, event: JobEvent) -> list[tuple[str, str]]:
        """Tell every listening plugin; return those whose listener failed, with how."""
        failed = []
        for listener in self.manager.hook.bench_event.get_hookimpls() if self.manager is not None else ():
            try:
                listener.function(event)
            except (Exception, SystemExit) as error:
                log.exception("the listener of plugin %s failed; the job runs on", listener.plugin_name)
                failed.append((listener.plugin_name, f"{type(error).__name__}: {error}".splitlines()[0]))
        return failed

    @staticmethod
    def _find(kind: str, name: str, table: Mapping[str, Declared]) -> Declared:
        if name not in table:
            raise unknown(kind, name, table)
        return table[name]


def unknown(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """Return the error for a name that is not among `known`, with the nearest valid one as its fix."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    listed = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    return UnknownNameError(
        f"unknown {kind} {name!r}",
        cause=f"known are: {listed}" if names else f"no plugin declares a {kind}",
        fix=f"did you mean {near[0]!r}?" if near else f"see `bench list` for every {kind}",
    )


def load_registry(files: Sequence[Path] = (), base: Path | None = None) -> Registry:
    """Load entry-point plugins, then `files`, and collect what they declare; `base` is the spec's folder.

    Raises PluginError for a plugin that fails to import, implements an unknown hook, or declares a
    name twice.
    """
    manager = pluggy.PluginManager("segtrial")
    manager.add_hookspecs(hookspecs)
    origins: dict[str, str] = {}
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name):
        origin = f"entry point {point.name} = {point.value}"
        _register(manager, point.name, _import(point.load, origin), origin)
        origins[point.name] = origin
    for path in files:
        _register(manager, path.stem, load_plugin_file(path), str(path))
        origins[path.stem] = str(path)
    return Registry(
        models=_collect(manager, "bench_models", "name"),
        sources=_collect(manager, "bench_model_sources", "prefix"),
        datasets=_collect(manager, "bench_datasets", "name"),
        runners=_collect(manager, "bench_runners", "name"),
        metrics=_collect(manager, "bench_metrics", "name"),
        analyses=_collect(manager, "bench_analyses", "name"),
        plugins=origins,
        manager=manager,
        commands=_commands(manager),
        base=base,
    )


def load_plugin_file(path: Path) -> ModuleType:
    """Import one plugin file under a name of its own; raise PluginError with the line that failed."""
    if not path.is_file():
        raise PluginError(
            "plugin file does not exist", place=str(path), fix="correct the path under `plugins:`"
        )
    name = f"segtrial_plugin_{path.stem.replace('-', '_')}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError("plugin file is not a Python module", place=str(path), fix="name it something.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    loader = spec.loader
    _import(lambda: loader.exec_module(module), str(path))
    return module


def _import(load: Any, origin: str) -> Any:
    try:
        return load()
    except SystemExit as error:
        raise PluginError(
            f"plugin ends the program when it is imported: SystemExit: {error}",
            place=origin,
            fix="keep such code under `if __name__ == '__main__':`",
        ) from error
    except Exception as error:
        line = _line_in(error, origin)
        raise PluginError(
            f"plugin failed to import: {type(error).__name__}: {error}",
            place=f"{origin}:{line}" if line else origin,
            fix="mend it until Python imports it on its own",
        ) from error


def _line_in(error: BaseException, origin: str) -> int | None:
    if isinstance(error, SyntaxError) and error.filename == origin:
        return error.lineno
    trace, line = error.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == origin:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _register(manager: pluggy.PluginManager, name: str, module: Any, origin: str) -> None:
    hooks = [key for key in dir(hookspecs) if key.startswith("bench_")]
    for key, value in vars(module).items():
        if getattr(value, "segtrial_impl", None) is not None and key not in hooks:
            error = unknown("hook", key, hooks)
            raise PluginError(error.message, place=origin, cause=error.cause, fix=error.fix)
    try:
        manager.register(module, name)
    except (pluggy.PluginValidationError, ValueError) as failure:
        raise PluginError(f"plugin is not valid: {failure}", place=origin) from failure


def _commands(manager: pluggy.PluginManager) -> dict[str, click.Command]:
    if not manager.hook.bench_commands.get_hookimpls():
        return {}
    import click

    table = _collect(manager, "bench_commands", "name")
    for name, item in table.items():
        if name in COMMANDS:
            raise PluginError(f"a plugin declares the command {name!r}, which bench has itself",
                              fix="give it another name")  # fmt: skip
        if not isinstance(item, click.Command):
            raise PluginError(f"bench_commands returned {type(item).__name__}, not a click command")
    return table


def _collect(manager: pluggy.PluginManager, hook: str, key: str) -> dict[str, Any]:
    table: dict[str, Any] = {}
    owners: dict[str, str] = {}
    for implementation in getattr(manager.hook, hook).get_hookimpls():
        try:
            declared = list(implementation.function())
        except (Exception, SystemExit) as error:
            raise PluginError(f"{hook} of plugin {implementation.plugin_name} failed: {error}") from error
        for item in declared:
            name = getattr(item, key, None)
            if not isinstance(name, str):
                raise PluginError(
                    f"{hook} returned {item!r}, which declares no {key}", place=implementation.plugin_name
                )
            if name in table:
                raise PluginError(
                    f"{name!r} is declared twice, by {owners[name]} and {implementation.plugin_name}",
                    fix="rename one of them",
                )
            table[name], owners[name] = item, implementation.plugin_name
    return table
