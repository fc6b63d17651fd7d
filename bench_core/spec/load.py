"""From a spec file to a checked Spec, or to everything that is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench_core.errors import BenchError
from bench_core.files.paths import check_path, expand, folder_of
from bench_core.plugins.registry import Registry
from bench_core.plugins.wiring import load_registry
from bench_core.spec.characters import check_characters
from bench_core.spec.checks import Check, Context, run_checks
from bench_core.spec.diagnostics import Diagnostic, SpecError, UnreadableSpecError, diagnose
from bench_core.spec.draft import draft_of_data, draft_of_spec
from bench_core.spec.interpolate import interpolate
from bench_core.spec.layers import EXTENDS, read_layers
from bench_core.spec.model import DatasetEntry, Spec
from bench_core.spec.nodes import Node, plain
from bench_core.spec.overrides import SOURCE, apply_overrides
from bench_core.spec.shorthand import expand_shorthand
from bench_core.spec.structure import validate_structure


@dataclass(frozen=True)
class LoadedSpec:
    """A valid spec, and everything that its plugins declare."""

    spec: Spec
    registry: Registry
    path: Path
    warnings: tuple[Diagnostic, ...] = ()

    @property
    def base(self) -> Path:
        """Folder of the spec, to which its paths are relative."""
        return folder_of(self.path)


def load_spec(
    path: Path,
    overrides: Sequence[str] = (),
    *,
    registry: Registry | None = None,
    further: Sequence[Check] = (),
) -> LoadedSpec:
    """Read, complete and check a spec.

    `overrides` are PATH=VALUE texts, applied in order; `registry` replaces the installed plugins and the
    spec's own; `further` checks follow the spec's. Paths of the spec that comes out are absolute. Raises
    SpecError with every mistake at its place, UnreadableSpecError if the file cannot be read, PluginError if
    an installed plugin is broken.
    """
    _check_own_path(path)
    environment = dict(os.environ)
    report: list[Diagnostic] = []
    tree = expand_shorthand(read_layers(path, report, environment))
    tree = expand_shorthand(apply_overrides(tree, overrides, report))
    tree = interpolate(tree, environment, report)
    check_characters(tree, report)
    data = plain(tree)
    if not isinstance(data, dict):
        raise SpecError(report)
    base = folder_of(path)
    if registry is None:
        registry = _registry(tree, base, report)
    spec, wrong = validate_structure(tree, data)
    draft = draft_of_spec(spec, data) if spec is not None else draft_of_data(data, wrong)
    context = Context(tree, draft, registry, base)
    whole = not any(item.check == EXTENDS for item in report)
    if whole:
        run_checks(context, further)
    else:
        # What is missing may stand in the base that could not be read.
        wrong = {place: item for place, item in wrong.items() if item.check != "missing-key"}
    # A value that could not even be read (an unset variable, say) is not wrong once more for what it lacks.
    unread = {item.place for item in report}
    sensible = [item for item in (*wrong.values(), *context.found) if item.place not in unread]
    found = _in_order([*report, *sensible], str(path))
    if spec is None or any(item.severity == "error" for item in found):
        raise SpecError(found)
    return LoadedSpec(_with_absolute_paths(spec, base), registry, path, tuple(found))


def _registry(tree: Node, base: Path, report: list[Diagnostic]) -> Registry:
    """Return what the installed plugins and the spec's own declare; report those that fail."""
    items = [item for item in (tree.child("plugins") or tree).items or () if isinstance(item.value, str)]
    try:
        return load_registry([_plugin_path(item, base) for item in items], base)
    except BenchError:
        if not items:
            raise
    good: list[Path] = []
    registry = load_registry(base=base)
    for item in items:
        file: Path | None = None
        try:
            file = _plugin_path(item, base)
            registry = load_registry([*good, file], base)
            good.append(file)
        except BenchError as error:
            elsewhere = f"{error.place}: " if error.place not in (None, str(file)) else ""
            cause = f"{elsewhere}{error.cause or ''}".removesuffix(": ") or None
            message = f"{item.value}: {error.message}"
            report.append(diagnose(item.place, "plugin", message, cause=cause, fix=error.fix))
    return registry


def _plugin_path(item: Node, base: Path) -> Path:
    holder = base if item.place.path == SOURCE else folder_of(Path(item.place.path))
    return check_path(holder / expand(str(item.value), "the plugin file"), "the plugin file")


def _check_own_path(path: Path) -> None:
    """Refuse a spec whose folder could not be written into a result."""
    try:
        check_path(path, "the spec")
    except BenchError as error:
        raise UnreadableSpecError(
            error.message, place=error.place, cause=error.cause, fix=error.fix
        ) from None


def _with_absolute_paths(spec: Spec, base: Path) -> Spec:
    models = [entry.model_copy(update={"weights": _absolute(entry.weights, base)}) for entry in spec.models]
    datasets = [absolute_dataset(entry, base) for entry in spec.datasets]
    steps = [
        entry.model_copy(update={"dataset": entry.dataset and absolute_dataset(entry.dataset, base)})
        for entry in spec.steps
    ]
    return spec.model_copy(update={"models": models, "datasets": datasets, "steps": steps})


def absolute_dataset(entry: DatasetEntry, base: Path) -> DatasetEntry:
    """Return a dataset entry whose paths are no longer relative to the spec's folder, `base`."""
    paths = {"root": _absolute(entry.root, base), "folds": _absolute(entry.folds, base)}
    return entry.model_copy(update=paths)


def _absolute(path: str | None, base: Path) -> str | None:
    return None if path is None else os.path.normpath(base / expand(path))


def _in_order(found: Sequence[Diagnostic], first: str) -> list[Diagnostic]:
    """Return each diagnostic once: the spec's own by line, then base specs', then the command line's."""
    rank: dict[str, int] = {first: -1, SOURCE: len(found)}
    for item in found:
        rank.setdefault(item.path, len(rank))
    return sorted(dict.fromkeys(found), key=lambda item: (rank[item.path], item.line, item.column))
