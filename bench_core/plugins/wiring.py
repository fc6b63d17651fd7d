"""The only wiring: plugin manager, entry points and a spec's own plugin files."""

from __future__ import annotations

import importlib.util
import inspect
import logging
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from functools import partial
from importlib.machinery import SourceFileLoader
from importlib.metadata import entry_points
from itertools import islice
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import pluggy

from bench_core import hookspecs
from bench_core.declarations import (
    Analysis,
    Architecture,
    Dataset,
    ExecutorDeclaration,
    Metric,
    ModelSource,
    RunnerDeclaration,
    Step,
)
from bench_core.declarations.code import call, printing_to_stderr, shown, told
from bench_core.declarations.executors import LOCAL
from bench_core.errors import PluginError
from bench_core.files.paths import file_name_mistake
from bench_core.plugins.commands import COMMANDS
from bench_core.plugins.declared import wrong_field
from bench_core.plugins.files import plugin_contents
from bench_core.plugins.registry import Registry, unknown

if TYPE_CHECKING:
    import click

log = logging.getLogger(__name__)
ENTRY_POINT_GROUP = "segtrial"
MOST_DECLARED = 10_000
"""Declarations of one hook that are read: more come from an endless generator."""
_MARK = "segtrial_impl"
"""Where @hookimpl notes its options on a function."""
_UNMARKED = frozenset((str, bytes, int, float, bool, tuple, list, dict, set, frozenset, type(None)))


def load_registry(files: Sequence[Path] = (), base: Path | None = None) -> Registry:
    """Load entry-point plugins, then `files`, and collect what they declare; `base` is the spec's folder.

    Raises PluginError for a plugin that fails to import, implements a hook wrongly, or declares something of
    a wrong type, by a name that cannot be one, or twice. What plugins print meanwhile goes to stderr.
    """
    manager = _Manager("segtrial")
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
        executors=_executors(collect("bench_executors", ExecutorDeclaration), origins, owners),
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
        what = "is a folder, not a plugin file" if path.is_dir() else "plugin file does not exist"
        fix = "correct the path that is given to --plugin, or stands under `plugins:`"
        raise PluginError(what, place=str(path), fix=fix)
    name = f"segtrial_plugin_{path.stem.replace('-', '_')}"
    loader, before = _FromSource(name, str(path)), sys.modules.get(name)
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    if spec is None or path.suffix != ".py":
        raise PluginError("plugin file is not a Python module", place=str(path), fix="name it something.py")
    module = importlib.util.module_from_spec(spec)
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


class _FromSource(SourceFileLoader):
    """Compiles a plugin from its text each time.

    Compiled code that lies beside a file is taken by the file's second and size: one edited twice within a
    second would run as it was, under the hash of what it is.
    """

    def get_code(self, fullname: str) -> CodeType:
        """Return the module's code."""
        return self.source_to_code(self.get_data(self.path), self.path)


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


class _Manager(pluggy.PluginManager):
    """Looks for hooks at names that hooks have: `_register` refuses marks at any other."""

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> Any:
        """Return what @hookimpl has noted on a hook, None for anything else."""
        return super().parse_hookimpl_opts(plugin, name) if name.startswith("bench_") else None


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
    kind = type(value)
    try:
        # Asked of thousands of functions and classes at each start, where the general way takes long.
        if kind is FunctionType:
            found = vars(value).get(_MARK)
        elif kind is type and isinstance(value, type):
            found = next((vars(base)[_MARK] for base in value.__mro__ if _MARK in vars(base)), None)
        else:
            found = None if kind in _UNMARKED else inspect.getattr_static(value, _MARK, None)
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


def _executors(
    table: dict[str, ExecutorDeclaration], origins: Mapping[str, str], owners: Mapping[str, Mapping[str, str]]
) -> dict[str, ExecutorDeclaration]:
    if LOCAL in table:
        plugin = owners["bench_executors"][LOCAL]
        raise PluginError(
            f"a plugin declares the executor {LOCAL!r}, which is this machine",
            place=origins.get(plugin, plugin),
            fix="give it another name",
        )
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
