"""The only wiring: plugin manager, entry points, a spec's own plugin files, and lookup by name."""

from __future__ import annotations

import difflib
import importlib.util
import inspect
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from functools import partial
from importlib.metadata import entry_points
from itertools import chain, islice
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
    Step,
)
from bench_core.declared import wrong_field
from bench_core.errors import BenchError, PluginError, UnknownNameError
from bench_core.nearest import ranked_names
from bench_core.paths import expand, file_name_mistake
from bench_core.plugin_code import call, printing_to_stderr, shown, told
from bench_core.plugin_files import plugin_contents

if TYPE_CHECKING:
    import click

_AS_GOOD = 0.05
"""Difference of scores below which names are equally near."""
_LETTERS = 0.75
"""How alike letters must be where no part is: tini is tiny, but nnunet is not u-net."""
log = logging.getLogger(__name__)
ENTRY_POINT_GROUP = "segtrial"
MOST_DECLARED = 10_000
"""Declarations of one hook that are read: more come from an endless generator."""
Declared = TypeVar("Declared", Architecture, Dataset, RunnerDeclaration, Metric, Analysis, ModelSource, Step)


@dataclass(frozen=True)
class Registry:
    """Everything that the loaded plugins declare, by name."""

    models: Mapping[str, Architecture]
    sources: Mapping[str, ModelSource]
    datasets: Mapping[str, Dataset]
    runners: Mapping[str, RunnerDeclaration]
    analyses: Mapping[str, Analysis]
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    steps: Mapping[str, Step] = field(default_factory=dict)
    plugins: Mapping[str, str] = field(default_factory=dict)
    """Plugin name to where it comes from."""
    contents: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Of a spec's own plugins: name to file name to the SHA-256 that the file had when it was loaded."""
    owners: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Hook to declared name to the plugin that declares it."""
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
            return _resolved(source, name)
        if colon:
            raise unknown("model source", prefix, self.sources)
        if name not in self.models:
            raise self._unknown_model(name)
        return self.models[name]

    def _unknown_model(self, name: str) -> UnknownNameError:
        """Return the error that looks beyond the registered names: most networks come from sources."""
        known = ranked_names(name, self.models)[:1]
        named = [ranked_names(name, self.source_names(prefix))[:1] for prefix in self.sources]
        best = max((score for score, _ in (*known, *chain(*named))), default=0.0)
        near = [found for score, found in known if score >= best - _AS_GOOD]
        near = near or [found for score, found in chain(*named) if score >= best - _AS_GOOD]
        near = near or difflib.get_close_matches(name, sorted(self.models), n=1, cutoff=_LETTERS)
        cause = f"known are: {', '.join(sorted(self.models))}"
        fix = "see `bench list models`"
        if self.sources:
            prefixes = ", ".join(f"{prefix}:" for prefix in self.sources)
            cause += f"; networks of other libraries have a prefix: {prefixes}"
            fix += f", and `bench list models --source {next(iter(self.sources))}` and so on"
        if near:
            fix = f"did you mean {' or '.join(map(repr, sorted(near, key=len)))}?"
        return UnknownNameError(f"unknown model {name!r}", cause=cause, fix=fix)

    def source_names(self, prefix: str) -> Sequence[str]:
        """Return the names that a source lists; none where its library is missing or its list fails."""
        source = self.sources[prefix]
        try:
            names = call(f"the list of the model source {prefix!r}", source.names)
            return [name for name in names if isinstance(name, str)]
        except (BenchError, TypeError):
            return ()

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
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                log.exception("the listener of plugin %s failed; the job runs on", listener.plugin_name)
                failed.append((listener.plugin_name, told(error)))
        return failed

    def step(self, name: str) -> Step:
        """Return the step of this name; raise UnknownNameError with the nearest one."""
        return self._find("step", name, self.steps)

    @staticmethod
    def _find(kind: str, name: str, table: Mapping[str, Declared]) -> Declared:
        if name not in table:
            raise unknown(kind, name, table)
        return table[name]


def _resolved(source: ModelSource, name: str) -> Architecture:
    found = call(f"the model source {source.prefix!r} on {name!r}", lambda: source.resolve(name))
    wrong = wrong_field(found) if isinstance(found, Architecture) else f"it is {shown(found)}"
    if wrong is not None:
        raise PluginError(f"the model source {source.prefix!r} declares {name!r} wrongly: {wrong}")
    return found


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

    Raises PluginError for a plugin that fails to import, implements a hook wrongly, or declares something of
    a wrong type, by a name that cannot be one, or twice. What plugins print meanwhile goes to stderr.
    """
    manager = pluggy.PluginManager("segtrial")
    manager.add_hookspecs(hookspecs)
    origins: dict[str, str] = {}
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name):
        origin = f"entry point {point.name} = {point.value}"
        _register(manager, point.name, _import(point.load, origin), origin)
        origins[point.name] = origin
    contents: dict[str, dict[str, str]] = {}
    for path in files:
        content = plugin_contents(path)
        _register(manager, path.stem, load_plugin_file(path), str(path))
        origins[path.stem], contents[path.stem] = str(path), content
    owners: dict[str, dict[str, str]] = {}
    collect = partial(_collect, manager, origins, owners)
    return Registry(
        models=collect("bench_models", Architecture),
        sources=collect("bench_model_sources", ModelSource, "prefix"),
        datasets=collect("bench_datasets", Dataset),
        runners=collect("bench_runners", RunnerDeclaration),
        metrics=collect("bench_metrics", Metric),
        analyses=collect("bench_analyses", Analysis),
        steps=collect("bench_steps", Step),
        plugins=origins,
        contents=contents,
        owners=owners,
        manager=manager,
        commands=_commands(manager, origins),
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
    loader, before = spec.loader, sys.modules.get(name)
    sys.modules[name] = module
    try:
        _import(lambda: loader.exec_module(module), str(path))
    except BaseException:
        # Half a module must not be found by whoever imports it next.
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
        raise
    return module


def _import(load: Callable[[], Any], origin: str) -> Any:
    try:
        with printing_to_stderr():
            return load()
    except KeyboardInterrupt:
        raise
    except SystemExit as error:
        raise PluginError(
            f"plugin ends the program when it is imported: {told(error)}",
            place=origin,
            fix="keep such code under `if __name__ == '__main__':`",
        ) from error
    except BaseException as error:
        line = _line_in(error, origin)
        raise PluginError(
            f"plugin failed to import: {told(error)}",
            place=f"{origin}:{line}" if line else origin,
            fix="correct it until Python imports it on its own",
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
        marks = _marks(value)
        if marks is not None and key not in hooks:
            error = unknown("hook", key, hooks)
            raise PluginError(error.message, place=origin, cause=error.cause, fix=error.fix)
        if marks is None and key in hooks:
            raise PluginError(
                f"{key} is not marked as a hook",
                place=origin,
                cause="without its mark it would never be called",
                fix=f"write @hookimpl above it (from bench_core import hookimpl), or rename {key}",
            )
        if marks is not None and not inspect.isfunction(value):
            raise PluginError(f"{key} is not a function", place=origin, fix=f"write `def {key}(): ...`")
        if marks is not None and (marks.get("wrapper") or marks.get("hookwrapper")):
            raise PluginError(
                f"{key} is marked as a wrapper of other plugins' hooks",
                place=origin,
                fix="write a plain @hookimpl above it, without wrapper or hookwrapper",
            )
    try:
        manager.register(module, name)
    except (pluggy.PluginValidationError, ValueError, TypeError) as failure:
        raise PluginError(f"plugin is not valid: {failure}", place=origin) from failure


def _marks(value: object) -> Mapping[str, Any] | None:
    """Return what @hookimpl has noted on a function; None without, whatever else the object pretends."""
    try:
        found = inspect.getattr_static(value, "segtrial_impl", None)
    except Exception:
        return None
    return found if isinstance(found, dict) else None


def _commands(manager: pluggy.PluginManager, origins: Mapping[str, str]) -> dict[str, click.Command]:
    if not manager.hook.bench_commands.get_hookimpls():
        return {}
    import click

    table: dict[str, click.Command] = _collect(manager, origins, {}, "bench_commands", click.Command)
    for name in table:
        if name in COMMANDS:
            raise PluginError(f"a plugin declares the command {name!r}, which bench has itself",
                              fix="give it another name")  # fmt: skip
    return table


def _collect(
    manager: pluggy.PluginManager,
    origins: Mapping[str, str],
    ledger: dict[str, dict[str, str]],
    hook: str,
    kind: type,
    key: str = "name",
) -> dict[str, Any]:
    table: dict[str, Any] = {}
    owners = ledger.setdefault(hook, {})
    for implementation in getattr(manager.hook, hook).get_hookimpls():
        plugin = implementation.plugin_name
        place = origins.get(plugin, plugin)
        declare = partial(_listed, implementation.function)
        for item in call(f"{hook} of plugin {plugin}", declare, place=place):
            name = _checked_name(item, hook, kind, key, place)
            if name in table:
                raise PluginError(
                    f"{name!r} is declared twice, by {owners[name]} and {plugin}",
                    place=place,
                    fix="rename one of them",
                )
            table[name], owners[name] = item, plugin
    return table


def _listed(function: Callable[[], Iterable[Any]]) -> list[Any]:
    declared = function()
    if isinstance(declared, str) or not isinstance(declared, Iterable):
        raise TypeError(f"it returned {shown(declared)}, not a list of declarations")
    return list(islice(declared, MOST_DECLARED))


def _checked_name(item: Any, hook: str, kind: type, key: str, place: str) -> str:
    if not isinstance(item, kind):
        raise PluginError(f"{hook} returned {shown(item)}, which is not of type {kind.__name__}", place=place)
    wrong = wrong_field(item) if is_dataclass(item) else None
    if wrong is not None:
        named = shown(getattr(item, key, None))
        raise PluginError(f"{hook} declares {named} wrongly: {wrong}", place=place)
    name: Any = getattr(item, key)
    mistake = file_name_mistake(name) if isinstance(name, str) else "it is not text"
    if mistake is None and ":" in name:
        mistake = "it holds a colon, which parts a model source from its names"
    if mistake is not None:
        raise PluginError(
            f"{hook} declares the {key} {shown(name)}, which cannot be one",
            place=place,
            cause=mistake,
            fix="write letters, digits and dashes",
        )
    return str(name)
