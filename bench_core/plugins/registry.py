"""Everything that the loaded plugins declare, by name, and what a wrong name may have meant."""

from __future__ import annotations

import difflib
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pluggy

from bench_core.declarations import (
    Analysis,
    Architecture,
    Dataset,
    ExecutorDeclaration,
    JobEvent,
    Metric,
    ModelSource,
    RunnerDeclaration,
    Step,
)
from bench_core.declarations.code import call, shown, told
from bench_core.declarations.executors import LOCAL
from bench_core.errors import BenchError, PluginError, UnknownNameError
from bench_core.files.paths import expand
from bench_core.plugins.declared import wrong_field
from bench_core.plugins.nearest import ranked_names

if TYPE_CHECKING:
    import click

_AS_GOOD = 0.05
"""Difference of scores below which names are equally near."""
_LETTERS = 0.75
"""How alike letters must be where no part is: tini is tiny, but nnunet is not u-net."""
_MOST_NAMES = 50
"""That a message lists."""
log = logging.getLogger(__name__)
Declared = TypeVar(
    "Declared",
    Architecture,
    Dataset,
    RunnerDeclaration,
    ExecutorDeclaration,
    Metric,
    Analysis,
    ModelSource,
    Step,
)


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
    executors: Mapping[str, ExecutorDeclaration] = field(default_factory=dict)
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

    def executor(self, name: str) -> ExecutorDeclaration:
        """Return the executor of this name; raise UnknownNameError with the nearest one."""
        if name not in self.executors:
            raise unknown("executor", name, (LOCAL, *self.executors))
        return self.executors[name]

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
    listed = ", ".join(names[:_MOST_NAMES]) + ", ..." * (len(names) > _MOST_NAMES)
    return UnknownNameError(
        f"unknown {kind} {name!r}",
        cause=f"known are: {listed}" if names else f"there is no {kind}",
        fix=f"did you mean {near[0]!r}?" if near else "choose one of these" if names else None,
    )
