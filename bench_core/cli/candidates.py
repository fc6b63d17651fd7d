"""What `bench test` is asked to try: which kind a name is of, and the suite of that kind."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench_core.cli.trials import Candidate, Judge
from bench_core.declarations import Architecture, without_network
from bench_core.errors import MissingDependencyError, PluginError, UnknownNameError
from bench_core.install import install_command
from bench_core.options import complete_options

if TYPE_CHECKING:
    from bench_core.conformance.properties import Property
    from bench_core.plugins.registry import Registry

ALL = "all"
"""Stands for every name of a kind; of models, for those that are declared one by one and built."""
KINDS = ("model", "dataset", "step", "metric", "analysis", "runner", "executor")


@dataclass(frozen=True)
class Wish:
    """What is wished of every candidate."""

    registry: Registry
    options: Mapping[str, Any] = field(default_factory=dict)
    """As they are given."""
    small: bool = False
    root: Path | None = None
    """Folder of a dataset."""
    threads: int = 1


def kind_of(name: str, kind: str | None, registry: Registry) -> str:
    """Return the kind of a name: the given one, or the only one that has it.

    Raises PluginError for a name of several kinds, UnknownNameError for one of none.
    """
    if kind is not None:
        return kind
    if ":" in name:
        return "model"
    tables = _tables(registry)
    kinds = [each for each in KINDS if name in tables[each]]
    if kinds == ["model", "runner"] and _is_procedure(registry.models[name], registry):
        # A runner with a procedure of its own and its model have one name as a rule.
        return "runner"
    if len(kinds) > 1:
        listed = " and a ".join(kinds)
        raise PluginError(f"{name!r} is a {listed}", fix=f"say which is meant: add --kind {kinds[0]}")
    if kinds:
        return kinds[0]
    near = difflib.get_close_matches(name, sorted({each for table in tables.values() for each in table}), n=1)
    if not near:
        try:
            registry.model(name)
        except UnknownNameError as error:
            # Networks of other libraries stand in no table, but may be near.
            if "did you mean" in (error.fix or ""):
                raise
    raise UnknownNameError(
        f"no plugin declares {name!r}",
        cause="it is a name of no kind: not of a " + ", ".join(KINDS[:-1]) + f" or {KINDS[-1]}",
        fix=f"did you mean {near[0]!r}?"
        if near
        else "a plugin in a file is found with --plugin FILE; `bench list plugins` shows what is loaded",
    )


def candidates(kind: str, names: Sequence[str], wish: Wish) -> list[Candidate]:
    """Return what to try of one kind, each name once.

    Raises UnknownNameError for a name or options that do not exist, other BenchErrors for what cannot be
    tried here.
    """
    if kind == "model":
        found = chosen(names, wish.options, wish.small, wish.registry)
        return [_model(declared, options, wish.threads) for declared, options in found]
    tables = _tables(wish.registry)
    every = [each for name in names for each in (tables[kind] if name == ALL else [name])]
    make = {
        "dataset": _dataset,
        "metric": _metric,
        "step": _step,
        "runner": _procedure,
        "analysis": _analysis,
        "executor": _executor,
    }[kind]
    return [make(name, wish) for name in dict.fromkeys(every)]


def chosen(
    names: Sequence[str], given: Mapping[str, Any], small: bool, registry: Registry
) -> list[tuple[Architecture, dict[str, Any]]]:
    """Return the named architectures, each once, with the options to try each under.

    Those are the declared small ones, if asked for, and on top of them the given ones. Raises
    UnknownNameError for a name or options that do not exist, PluginError for what cannot be built.
    """
    known = [name for name, declared in registry.models.items() if declared.build is not None]
    every = [each for name in names for each in (known if name == ALL else [name])]
    found = []
    for name in dict.fromkeys(every):
        declared = registry.model(name)
        if _is_procedure(declared, registry):
            raise PluginError(
                f"{name} is not a network",
                cause=f"runner {declared.runner} has a procedure of its own, and builds none",
                fix=f"name the runner instead: {declared.runner} --kind runner",
            )
        if declared.build is None:
            raise PluginError(f"{name} cannot be built yet", cause=declared.unavailable)
        options = {**(declared.small if small else {}), **given}
        try:
            complete_options(declared.options, options)
        except ValueError as error:
            raise UnknownNameError(f"{name} cannot take these options", cause=str(error)) from error
        found.append((declared, options))
    return found


def _tables(registry: Registry) -> dict[str, Mapping[str, Any]]:
    return {
        "model": registry.models,
        "dataset": registry.datasets,
        "step": registry.steps,
        "metric": registry.metrics,
        "analysis": registry.analyses,
        "runner": registry.runners,
        "executor": registry.executors,
    }


def _is_procedure(declared: Architecture, registry: Registry) -> bool:
    return without_network(declared, registry.runners.get(declared.runner))


def _model(declared: Architecture, options: dict[str, Any], threads: int) -> Candidate:
    def properties() -> list[Judge]:
        try:
            import bench_core.conformance.models as suite
        except ModuleNotFoundError as error:
            raise MissingDependencyError(
                f"architectures are tried with {error.name}, which is not installed",
                fix=install_command("torch"),
            ) from error
        suite.use_threads(threads)
        subject = suite.Candidate(declared, options)
        return [partial(suite.judge, item, subject) for item in suite.PROPERTIES]

    return Candidate("model", declared.name, options, properties)


def _listed(kind: str, name: str, wish: Wish, properties: Sequence[Property[Any]], subject: Any) -> Candidate:
    from bench_core.conformance.properties import judge

    return Candidate(kind, name, wish.options, lambda: [partial(judge, item, subject) for item in properties])


def _dataset(name: str, wish: Wish) -> Candidate:
    import bench_core.conformance.datasets as suite

    subject = suite.subject_of(wish.registry, name, wish.options, wish.root)
    return _listed("dataset", name, wish, suite.PROPERTIES, subject)


def _metric(name: str, wish: Wish) -> Candidate:
    import bench_core.conformance.metrics as suite

    subject = suite.subject_of(wish.registry, name, wish.options)
    return _listed("metric", name, wish, suite.PROPERTIES, subject)


def _step(name: str, wish: Wish) -> Candidate:
    import bench_core.conformance.works as suite

    subject = suite.step_subject(wish.registry, name, wish.options)
    return _listed("step", name, wish, suite.PROPERTIES, subject)


def _procedure(name: str, wish: Wish) -> Candidate:
    import bench_core.conformance.works as suite

    subject = suite.procedure_subject(wish.registry, name, wish.options)
    return _listed("runner", name, wish, suite.PROPERTIES, subject)


def _analysis(name: str, wish: Wish) -> Candidate:
    import bench_core.conformance.analyses as suite

    subject = suite.subject_of(wish.registry, name, wish.options)
    return _listed("analysis", name, wish, suite.PROPERTIES, subject)


def _executor(name: str, wish: Wish) -> Candidate:
    import bench_core.conformance.executors as suite

    subject = suite.subject_of(wish.registry, name, wish.options)
    return _listed("executor", name, wish, suite.PROPERTIES, subject)
