"""Whether the order of models stays under corruptions: Kendall's tau with intervals, and every rank."""

from __future__ import annotations

from collections.abc import Sequence

from bench_core.analysis.corrupted import CorruptionSet
from bench_core.analysis.evidence import Evidence
from bench_core.analysis.inference.compare import Settings
from bench_core.analysis.inference.degraded import Kept, Orders
from bench_core.metrics.corrupted import by_kind
from bench_core.report import inference_words as words
from bench_core.report.names import group_of, plural
from bench_core.report.sections.corruption_tables import words_of
from bench_core.report.tables import Cell, Column, Row, Table

_TAU = ("value", "low", "high")


def order_sentence(kept: Orders, settings: Settings) -> str:
    """Return in words how far the order under all kinds is the clean one; empty where there is none."""
    tau = kept.kept_overall
    if tau.tau != tau.tau:
        return ""
    ends = ""
    if tau.between is not None:
        low, high = tau.between
        ends = (
            f"; between {low:.2f} and {high:.2f} in {words.confidence(settings)} of resamples of the images"
        )
    moved = sum(mine != theirs for mine, theirs in zip(kept.clean, kept.overall, strict=True))
    return (
        f"Order of {plural(len(kept.models), 'model')}, clean and as the mean over kinds: Kendall's tau "
        f"{tau.tau:.2f} (1: the same order, 0: none in common, −1: reversed){ends}. "
        + (f"{plural(moved, 'model')} {'has' if moved == 1 else 'have'}" if moved else "No model has")
        + " another rank."
    ).replace(" -", " −")


def order_table(evidence: Evidence, found: CorruptionSet, kept: Orders, settings: Settings) -> Table:
    """Return one row per kind: tau between the clean order and that at each severity, and over them."""
    severities = sorted({severity for _, severity in found.conditions if severity})
    rows = []
    for kind, mine in by_kind(found.conditions).items():
        cells = [Cell(words_of(kind), (kind,)), _tau(kept.kept_kinds[kind])]
        cells += [
            _tau(kept.kept[kind, each]) if each in mine else Cell("–", (None,) * 3) for each in severities
        ]
        rows.append(Row(tuple(cells)))
    return Table(
        name=f"corruption-order-{found.step}-{found.dataset}",
        title=f"Does the order stay, {evidence.dataset(found.dataset).title}: Kendall's tau with the clean "
        "order",
        columns=(
            Column("kind", "Kind", numeric=False),
            Column("mean", "Mean of severities", _TAU),
            *(Column(f"severity{each}", f"Severity {each}", _TAU) for each in severities),
        ),
        rows=tuple(rows),
        caption=f"{plural(len(kept.models), 'model')} whose jobs are all done. In brackets: the middle "
        f"{words.confidence(settings)} of resamples of groups of images, the same for clean and corrupted "
        "images. Where models are close, the clean order itself is uncertain, and tau is below 1 without any "
        "corruption.",
    )


def rank_table(evidence: Evidence, found: CorruptionSet, kept: Orders, labels: Sequence[str]) -> Table:
    """Return each model's rank on clean images and under each kind."""
    places = {label: place for place, label in enumerate(kept.models)}
    rows = []
    for label in labels:
        if label not in places:
            continue
        clean = float(kept.clean[places[label]])
        cells = [Cell(evidence.model(label).title, (label,)), Cell(f"{clean:g}", (clean,))]
        for ranks in (kept.overall, *kept.kinds.values()):
            rank = float(ranks[places[label]])
            change = rank - clean
            small = "" if change == 0 else f"({change:+g})".replace("-", "−")
            cells.append(Cell(f"{rank:g}", (rank,), small=small))
        rows.append(Row(tuple(cells), group_of(evidence, label)))
    return Table(
        name=f"corruption-ranks-{found.step}-{found.dataset}",
        title=f"Ranks under each kind, {evidence.dataset(found.dataset).title}",
        columns=(
            Column("model", "Model", numeric=False),
            Column("clean", "Clean"),
            Column("corrupted", "All kinds"),
            *(Column(f"kind-{kind}", words_of(kind)) for kind in kept.kinds),
        ),
        rows=tuple(rows),
        caption="By the mean score over severities; in brackets the places lost (+) or gained (−) against "
        "clean images. Equal scores share the mean of their ranks.",
    )


def _tau(kept: Kept) -> Cell:
    if kept.tau != kept.tau:
        return Cell("undefined", (None,) * 3)
    text = f"{kept.tau:.2f}".replace("-", "−")
    if kept.between is None:
        return Cell(text, (kept.tau, None, None))
    low, high = kept.between
    small = f"({low:.2f} to {high:.2f})".replace("-", "−")
    return Cell(text, (kept.tau, low, high), small=small)
