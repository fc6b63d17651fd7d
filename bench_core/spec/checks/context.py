"""What every check sees: the sound parts of the spec, the registry, and where to report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from bench_core.declarations import Architecture, Dataset, RunnerDeclaration, Task
from bench_core.errors import BenchError
from bench_core.files.paths import check_path, expand
from bench_core.options import complete_options
from bench_core.plugins.registry import Registry
from bench_core.spec.diagnostics import Diagnostic, Severity, diagnose
from bench_core.spec.draft import Draft
from bench_core.spec.model import DatasetEntry, ModelEntry
from bench_core.spec.nodes import Loc, Node, place_of
from bench_core.spec.rules import Breach

MOST_OF_A_KIND = 100
"""Mistakes that one check reports: nobody reads more, and generated files can hold any number."""


class Enough(Exception):  # noqa: N818 - it ends a check, and is not an error
    """Enough mistakes of a kind have been reported."""


@dataclass
class Context:
    """A draft under check."""

    tree: Node
    draft: Draft
    registry: Registry
    base: Path
    """Folder of the spec, to which paths are relative."""
    found: list[Diagnostic] = field(default_factory=list)
    _counts: Counter[str] = field(default_factory=Counter)
    _refused: set[Loc] = field(default_factory=set)
    """The ways of all errors, and all ways above them."""

    def error(
        self,
        check: str,
        loc: Loc,
        message: str,
        *,
        cause: str | None = None,
        fix: str | None = None,
        key: bool = False,
        severity: Severity = "error",
    ) -> None:
        """Report a mistake at the value at `loc` (at its key if `key`), or at what would hold it.

        Raises Enough when a kind of mistake has been reported MOST_OF_A_KIND times.
        """
        self._counts[check] += 1
        if self._counts[check] > MOST_OF_A_KIND:
            raise Enough
        if severity == "error":
            self._refused.update(loc[:depth] for depth in range(1, len(loc) + 1))
        place = place_of(self.tree, loc, key=key)
        self.found.append(diagnose(place, check, message, cause=cause, fix=fix, severity=severity))

    def report(self, breaches: Iterable[Breach]) -> bool:
        """Report the breaches that follow from sound values alone; return whether there were none at all."""
        kept = True
        for breach in breaches:
            kept = False
            if not self.draft.sound(breach.loc, *breach.about):
                continue
            cause = breach.cause
            if breach.earlier is not None:
                cause = f"the first is at {place_of(self.tree, breach.earlier)}; {cause}"
            self.error(breach.check, breach.loc, breach.message, cause=cause, fix=breach.fix, key=breach.key)
        return kept

    def clean(self, loc: Loc) -> bool:
        """Return whether no check has reported an error at or below `loc`."""
        return loc not in self._refused

    def given(self, loc: Loc) -> Any:
        """Return what the user wrote at `loc`, unchecked, or None."""
        data: Any = self.draft.data
        for step in loc:
            if isinstance(data, dict) and step in data:
                data = data[str(step)]
            elif isinstance(data, list) and isinstance(step, int) and step < len(data):
                data = data[step]
            else:
                return None
        return data

    def path(self, text: str) -> Path | None:
        """Return a path of the spec as an absolute one, or None for one that check_paths refuses."""
        try:
            return check_path(self.base / expand(text), "the path")
        except BenchError:
            return None

    @cached_property
    def architectures(self) -> dict[int, Architecture | BenchError]:
        """Each model entry's architecture, or why there is none."""
        found: dict[int, Architecture | BenchError] = {}
        unknown = 0
        for index, entry in self.draft.models.items():
            # Looking for the nearest names takes its time, and no more mistakes than these are reported.
            if unknown > MOST_OF_A_KIND and ":" not in entry.name and entry.name not in self.registry.models:
                found[index] = BenchError(f"unknown model {entry.name!r}")
                continue
            found[index] = self._architecture(entry.name)
            unknown += isinstance(found[index], BenchError)
        return found

    def _architecture(self, name: str) -> Architecture | BenchError:
        try:
            return self.registry.model(name)
        except BenchError as error:
            return error

    def models(self) -> Iterator[tuple[int, ModelEntry, Architecture]]:
        """Yield the model entries whose architecture is known."""
        for index, entry in self.draft.models.items():
            architecture = self.architectures[index]
            if isinstance(architecture, Architecture):
                yield index, entry, architecture

    def own_runner(self, entry: ModelEntry, architecture: Architecture) -> RunnerDeclaration | None:
        """Return the runner of a model entry if it has a procedure of its own."""
        runner = self.registry.runners.get(entry.runner or architecture.runner)
        return runner if runner is not None and runner.protocol == "own" else None

    def datasets(self) -> Iterator[tuple[int, DatasetEntry, Dataset]]:
        """Yield the dataset entries whose dataset is known."""
        for index, entry in self.draft.datasets.items():
            if entry.name in self.registry.datasets:
                yield index, entry, self.registry.datasets[entry.name]

    @cached_property
    def tasks(self) -> dict[int, Task]:
        """The task of each dataset entry whose options are sound."""
        tasks: dict[int, Task] = {}
        for index, entry, dataset in self.datasets():
            try:
                tasks[index] = dataset.task_for(complete_options(dataset.options, entry.options))
            except (ValueError, BenchError):  # Reported by check_options.
                continue
        return tasks

    @property
    def image_channels(self) -> set[int]:
        """Channels of the images that models see, as far as the spec is sound."""
        protocol = self.draft.protocol
        if protocol is None or not self.draft.sound(("protocol", "channels")):
            return set()
        return {3} if protocol.channels == "rgb" else {task.channels for task in self.tasks.values()}
