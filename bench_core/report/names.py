"""How the report words things: metrics, rates, sizes, durations, lists, footnotes."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from bench_core.analysis.evidence import DatasetFacts, Evidence, ModelFacts
from bench_core.analysis.scores import AVERAGE, Board
from bench_core.declarations import Departure
from bench_core.declarations.work import Track
from bench_core.metrics.plugin import bench_metrics
from bench_core.metrics.scale import Scale, common_scale
from bench_core.plan.job import JobDeviation

METRIC_TITLES = {
    metric.name: f"micro {metric.title}" for metric in bench_metrics() if metric.needs == "counts"
}
"""Those that training can watch, as headings print them."""


def rate(value: float) -> str:
    """Return a learning rate as people write it, 1e-4, 5e-5, 0.01; no two rates read the same."""
    text = repr(float(value))
    return text.removesuffix(".0") if not 0 < value < 0.001 else f"{Decimal(text):e}"


def count(value: int) -> str:
    """Return a parameter count: 31.0M, 482k, 917."""
    if value >= 1_000_000:
        return f"{value / 1e6:.1f}M"
    return f"{value / 1e3:.0f}k" if value >= 10_000 else str(value)


def duration(seconds: float) -> str:
    """Return a wall time: 42 s, 3 min 20 s, 5 h 12 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(count_bytes: int) -> str:
    """Return a memory size in MB or GB (powers of ten)."""
    return f"{count_bytes / 1e9:.1f} GB" if count_bytes >= 1e9 else f"{count_bytes / 1e6:.0f} MB"


def listed(items: Iterable[str], limit: int = 0) -> str:
    """Return "a, b and c"; with a limit, the rest is counted."""
    names = list(items)
    if limit and len(names) > limit:
        names = [*names[:limit], f"{len(names) - limit} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


def plural(number: int, noun: str, nouns: str = "") -> str:
    """Return "1 fold" or "3 folds"."""
    return f"{number} {noun if number == 1 else nouns or noun + 's'}"


def setting(value: Any) -> str:
    """Return a protocol value on one line."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {setting(item)}" for key, item in value.items() if item is not None)
    if isinstance(value, (list, tuple)):
        return ", ".join(setting(item) for item in value) or "none"
    if isinstance(value, float):
        return rate(value) if 0 < value < 0.001 else f"{value:g}"
    return "none" if value is None else str(value)


def deviation(item: JobDeviation) -> str:
    """Return what a model takes instead of what, and why, without the name of the setting."""
    here, usual = setting(item.value), setting(item.protocol)
    return f"{here} instead of {usual}, because {item.because}"


def departure(item: Departure) -> str:
    """Return where a network departs from its publication, and why, without the name of what does."""
    return f"published: {item.published}; here: {item.here}, because {item.because}"


def options(facts: ModelFacts | DatasetFacts) -> str:
    """Return which options make a network or a dataset another one than its name says, empty where none."""
    return _differing(facts.options)


def grouping(facts: DatasetFacts) -> str:
    """Return by which option, also a default one, samples are kept together; empty where there is none."""
    given = {name: item for name, item in facts.grouping.items() if item[0]} or facts.grouping
    return ", ".join(
        f"{name} {setting(value or None)}" + (" (default)" if usual else "")
        for name, (value, usual) in given.items()
    )


def procedure(model: ModelFacts) -> str:
    """Return what a reader must know of a model whose runner has a procedure of its own."""
    settings = _differing(model.settings)
    text = f"own protocol: not trained by the shared protocol but by the procedure of runner {model.runner}"
    return f"{text}, {settings}" if settings else text


def _differing(values: Mapping[str, tuple[Any, Any]]) -> str:
    return ", ".join(
        f"{name} {setting(taken)} (default: {'not given' if usual is None else setting(usual)})"
        for name, (taken, usual) in values.items()
    )


def bench(evidence: Evidence, verb: str, argument: str = "") -> str:
    """Return a command line that concerns this study: its spec (or `argument`) and its store."""
    words = ["bench", verb, argument or evidence.command]
    if verb != "validate" and evidence.store is not None and evidence.store.shown != Path("results"):
        words += ["--store", shlex.quote(str(evidence.store.shown))]
    return " ".join(words)


def ordered(evidence: Evidence, board: Board) -> tuple[str, ...]:
    """Return model labels by track and family, the best average first in both, unranked ones last."""
    average = {row.model: row.ranked.get(AVERAGE) for row in board.rows}
    scale = board.scale(AVERAGE)

    def key(label: str) -> tuple[bool, float]:
        value = average[label]
        return (value is None, 0.0 if value is None else scale.order(value))

    found: list[str] = []
    for track in evidence.tracks:
        mine = [model for model in evidence.models if model.track == track]
        families = dict.fromkeys(model.family for model in mine)
        groups = [
            sorted((model.label for model in mine if model.family == family), key=key) for family in families
        ]
        found += [label for group in sorted(groups, key=lambda group: key(group[0])) for label in group]
    return tuple(found)


def group_of(evidence: Evidence, label: str) -> str:
    """Return under which heading tables list a model: its family, and its track where there are several."""
    model = evidence.model(label)
    return model.family if len(evidence.tracks) == 1 else f"{model.family} · {track_title(model.track)}"


def track_title(track: Track) -> str:
    """Return how tables call a track: shared protocol, own protocol, zero-shot/auto, zero-shot/oracle."""
    return {"shared": "shared protocol", "own-protocol": "own protocol"}.get(track, track)


def family_series(evidence: Evidence, label: str) -> int:
    """Return the color and shape of a model's family."""
    return evidence.families.index(evidence.model(label).family)


def unit_heading(evidence: Evidence, board: Board) -> str:
    """Return how the title of a table over all datasets ends: "in mm, lower is better"."""
    one = common_scale(board.scale(data.label) for data in evidence.datasets)
    text = f"in {one.words}" if one else "in the unit of each column"
    return f"{text}, lower is better" if board.quantity.metric.better == "lower" else text


def points_heading(evidence: Evidence, board: Board) -> str:
    """Return how the title of a table of differences ends: "in points", "in mm"."""
    one = common_scale(board.scale(data.label) for data in evidence.datasets)
    return f"in {one.points}" if one else "in the unit of each column"


def column_title(evidence: Evidence, board: Board, dataset: str) -> str:
    """Return a dataset's title, with its unit where the table's title cannot have one for all."""
    title = evidence.dataset(dataset).title
    one = common_scale(board.scale(data.label) for data in evidence.datasets)
    return title if one else f"{title} ({board.scale(dataset).sign})"


def axis(title: str, scale: Scale) -> str:
    """Return an axis's label: what, its unit, and the direction where lower is better."""
    return f"{title} ({scale.sign}{', lower is better' if scale.better == 'lower' else ''})"


class Footnotes:
    """Letters for what a reader must know of a model or a cell wherever its numbers are printed."""

    def __init__(self, evidence: Evidence) -> None:
        self._texts: dict[str, str] = {}
        self._models: dict[str, tuple[str, ...]] = {}
        self._cells: dict[tuple[str, str], tuple[str, ...]] = {}
        for model in evidence.models:
            found = [f"options: {options(model)}"] if model.options else []
            if model.own_protocol:
                found.append(procedure(model))
            found += [f"{item.setting}: {deviation(item)}" for item in model.deviations]
            found += [f"{item.what}: {departure(item)}" for item in model.departures]
            self._models[model.label] = tuple(self._mark(text) for text in (*found, *model.notes))
        for key, cell in evidence.cells.items():
            if cell.excluded is not None:
                self._cells[key] = (self._mark(f"excluded: {cell.excluded}"),)

    def model(self, label: str) -> tuple[str, ...]:
        """Return the marks of a model's options, deviations and notes."""
        return self._models[label]

    def cell(self, model: str, dataset: str) -> tuple[str, ...]:
        """Return the mark of an excluded cell's reason."""
        return self._cells.get((model, dataset), ())

    def texts(self, marks: Iterable[str]) -> tuple[tuple[str, str], ...]:
        """Return mark and text of the given marks, each once, in order of the alphabet."""
        wanted = set(marks)
        return tuple((mark, text) for text, mark in self._texts.items() if mark in wanted)

    def _mark(self, text: str) -> str:
        return self._texts.setdefault(text, letters(len(self._texts)))


def notes_of(footnotes: Footnotes, rows: Sequence[Any]) -> tuple[tuple[str, str], ...]:
    """Return the footnotes that a table's rows refer to."""
    return footnotes.texts(mark for row in rows for cell in row.cells for mark in cell.notes)


def letters(index: int) -> str:
    """Return a, b, ..., z, aa, ab and so on."""
    head, tail = divmod(index, 26)
    return (letters(head - 1) if head else "") + chr(ord("a") + tail)
