"""What a result stands on besides its settings: data, the user's own plugin files, weights files; and for a
step what the results stand on that it needs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench_core.data.cache import HASHES
from bench_core.data.grouping import same_content
from bench_core.data.hashing import FileHashes
from bench_core.data.opening import Present, present_data
from bench_core.errors import BenchError, StoreError
from bench_core.execute.datasets import source_of
from bench_core.plan.job import Apply, Job
from bench_core.plugins.registry import Registry
from bench_core.store.accepted import Acceptance
from bench_core.store.result import Result
from bench_core.weights.files import find_files

DATA, PLUGIN, WEIGHTS, NEEDED = "data", "plugin", "weights", "needed"
KINDS = (DATA, PLUGIN, WEIGHTS, NEEDED)
_SHORT = 12


@dataclass(frozen=True)
class Change:
    """Something that a result stands on, and that is another now."""

    what: str
    """"data", "plugin NAME", "weights NAME", or one of these after "needed ": of a result that is needed."""
    was: str
    """SHA-256; empty where it did not exist."""
    now: str

    def __str__(self) -> str:
        if not self.was or not self.now:
            return f"{self.what} {'is new' if self.now else 'is not used any more'}"
        return f"{self.what} changed ({self.was[:_SHORT]} then, {self.now[:_SHORT]} now)"


def plugin_basis(job: Job, registry: Registry) -> dict[str, str]:
    """Return "plugin FILE" to the SHA-256 of each file of the user's own plugins that the job's numbers need.

    Those that declare its model, dataset, runner, step or, for a step, a metric; and those that
    implement no hook at all, since nobody can tell what they are for.
    """
    owners = registry.owners
    prefix = job.model.name.partition(":")[0]
    named = {
        owners.get("bench_models", {}).get(job.model.name),
        owners.get("bench_model_sources", {}).get(prefix),
        owners.get("bench_datasets", {}).get(job.dataset.name),
        owners.get("bench_runners", {}).get(job.model.runner),
    }
    if isinstance(job.work, Apply):
        named |= {owners.get("bench_steps", {}).get(job.work.step), *owners.get("bench_metrics", {}).values()}
    return {
        f"{PLUGIN} {name}" if len(files) == 1 else f"{PLUGIN} {name}/{file}": digest
        for name, files in registry.contents.items()
        if name in named or not _hooked(name, registry)
        for file, digest in files.items()
    }


def _hooked(name: str, registry: Registry) -> bool:
    manager = registry.manager
    plugin = manager.get_plugin(name) if manager is not None else None
    return manager is not None and plugin is not None and bool(manager.get_hookcallers(plugin))


def weights_basis(job: Job, registry: Registry, hashes: FileHashes | None = None) -> dict[str, str]:
    """Return "weights FILE" to the SHA-256 of each file that the job's network is filled from.

    Raises WeightsError where one is not at hand. Work on another job's network reads none itself.
    """
    if isinstance(job.work, Apply) or job.model.pretrained == "none":
        return {}
    given = Path(job.model.weights) if job.model.weights else None
    files = find_files(registry.model(job.model.name), job.model.pretrained, job.model.options, given)
    hashes = hashes or FileHashes(Path())
    return {f"{WEIGHTS} {path.name}": hashes.sha256(path) for path in files}


def needed_basis(
    job: Job, result_of: Callable[[str], Result], accepted: Sequence[Acceptance] = ()
) -> dict[str, str]:
    """Return "needed data" and "needed weights FILE" of the results that a step's job needs.

    A network that was trained anew on other data is another one, though its job has the same digest. Plugins
    are a step's own. Raises StoreError where a result cannot be read.
    """
    found: dict[str, str] = {}
    for need in job.needs if isinstance(job.work, Apply) else ():
        stands_on = effective_basis(result_of(need.digest), accepted)
        # Networks of several models may be filled from different files of one name.
        whose = f" of {need.digest[:_SHORT]}" if need.role == "peers" else ""
        found |= {
            f"{NEEDED} {name}{whose if kind_of(name) == WEIGHTS else ''}": digest
            for name, digest in stands_on.items()
            if kind_of(name) in (DATA, WEIGHTS)
        }
    return found


def changes_between(was: Mapping[str, str], now: Mapping[str, str]) -> tuple[Change, ...]:
    """Return what differs between the bases of two attempts at one job."""
    return tuple(
        change for kind in KINDS for change in _differences(kind, _of_kind(was, kind), _of_kind(now, kind))
    )


def effective_basis(result: Result, accepted: Sequence[Acceptance] = ()) -> dict[str, str]:
    """Return what a result stands on, its data included, as the user has accepted it."""
    found = {**result.basis, DATA: result.data.fingerprint}
    for acceptance in accepted:
        for name, (was, now) in acceptance.results.get(result.digest, {}).items():
            if found.get(name, "") == was:
                found[name] = now
    return {name: digest for name, digest in found.items() if digest}


class Ground:
    """What jobs would stand on if they ran now; everything is looked at once.

    Datasets whose files have never been hashed here are not read if they hold more than `most_bytes`.
    `result_of` gives the results that steps need, by digest.
    """

    def __init__(
        self,
        registry: Registry,
        cache: Path,
        most_bytes: int | None = None,
        result_of: Callable[[str], Result] | None = None,
    ) -> None:
        self._result_of = result_of
        self._registry, self._cache, self._most_bytes = registry, cache, most_bytes
        self._hashes = FileHashes(cache / HASHES)
        self._data: dict[str, Present] = {}
        self._weights: dict[str, dict[str, str] | None] = {}
        self.unknown: dict[str, str] = {}
        """What could not be compared, and why."""

    def changes(self, job: Job, result: Result, accepted: Sequence[Acceptance] = ()) -> tuple[Change, ...]:
        """Return what a result of the job stands on that is another now; nothing that cannot be told.

        What was accepted for the job counts as what it was accepted for.
        """
        was = effective_basis(result, accepted)
        return tuple(
            change
            for kind, now in self._now(job, was.get(DATA, ""), accepted).items()
            if now is not None
            for change in _differences(kind, _of_kind(was, kind), now)
        )

    def _now(self, job: Job, was: str, accepted: Sequence[Acceptance]) -> dict[str, dict[str, str] | None]:
        return {
            DATA: self._of_data(job, was),
            PLUGIN: plugin_basis(job, self._registry),
            WEIGHTS: self._of_weights(job),
            NEEDED: self._of_needed(job, accepted),
        }

    def _of_needed(self, job: Job, accepted: Sequence[Acceptance]) -> dict[str, str] | None:
        if self._result_of is None:
            return None
        try:
            return needed_basis(job, self._result_of, accepted)
        except StoreError:
            return None  # Of the needed job there is none, or it is damaged, which is told of it.

    def _of_data(self, job: Job, was: str) -> dict[str, str] | None:
        data = job.dataset
        rule = [data.duplicates, data.duplicates_rule, data.folds is not None]
        key = json.dumps([data.name, data.label, data.root, dict(data.options), rule], sort_keys=True)
        if key not in self._data:
            try:
                present = present_data(source_of(data, self._registry), self._cache, self._most_bytes)
            except BenchError as error:
                present = Present(None, error.message)
            self._data[key] = present
            if present.fingerprint is None:
                self.unknown[f"data of {data.label}"] = present.because
        present = self._data[key]
        if present.fingerprint is None:
            return None
        # Nobody has looked for copies among these very files here; whoever opens them does.
        same = present.ungrouped and same_content(was, present.fingerprint)
        return {DATA: was if same else present.fingerprint}

    def _of_weights(self, job: Job) -> dict[str, str] | None:
        model = job.model
        key = json.dumps([model.name, model.pretrained, model.weights, dict(model.options)], sort_keys=True)
        if key not in self._weights:
            self._weights[key] = None
            try:
                self._weights[key] = weights_basis(job, self._registry, self._hashes)
            except BenchError as error:
                self.unknown[f"weights of {model.label}"] = error.message
            if self._cache.is_dir():
                self._hashes.save()
        return self._weights[key]


def kind_of(what: str) -> str:
    """Return the kind of something that a result stands on: data, plugin or weights."""
    return what.partition(" ")[0]


def _of_kind(basis: Mapping[str, str], kind: str) -> dict[str, str]:
    return {name: digest for name, digest in basis.items() if kind_of(name) == kind}


def _differences(kind: str, was: Mapping[str, str], now: Mapping[str, str]) -> list[Change]:
    """Return what differs; content counts and not the name, and what was not recorded is not known."""
    if not was or sorted(was.values()) == sorted(now.values()):
        return []
    names = sorted(name for name in {*was, *now} if was.get(name) != now.get(name))
    if kind == WEIGHTS and len(was) == len(now) == 1:
        return [Change(next(iter(was)), next(iter(was.values())), next(iter(now.values())))]
    return [Change(name, was.get(name, ""), now.get(name, "")) for name in names]
