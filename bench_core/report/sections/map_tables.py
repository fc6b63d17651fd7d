"""Tables of heat maps in numbers: one row per model and layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.explained import KindNumbers, MapSet, MoreNumbers
from bench_core.analysis.inference.cells import Measure
from bench_core.analysis.inference.compare import Settings
from bench_core.metrics.map_tables import INTERVENTIONS, NUMBERS, RANDOMIZATION, STABILITY, UNCHANGED, MapKind
from bench_core.report import inference_words as words
from bench_core.report.names import size
from bench_core.report.tables import Cell, Column, Row, Table

TITLES = {
    "lift": "Lift",
    "energy": "Energy (%)",
    "pointing": "Pointing (%)",
    "iou": "IoU (%)",
    "auprc": "AUPRC (%)",
    "logits": "With logits",
}
"""Columns in the order of reading; the rest of NUMBERS is `share`."""
_PERCENT = ("energy", "pointing", "iou", "auprc")
_FIELDS = ("mean", "low", "high", "std")
TARGETS = {"predicted": "predicted pixels", "truth": "pixels of the mask"}
_COUNTS = ("maps", "usable", "constant", "nan", "no_pixels")


def numbers_table(
    evidence: Evidence, found: MapSet, name: str, title: str, rows: Sequence[KindNumbers], settings: Settings
) -> Table:
    """Return the numbers of maps of one class, target and method."""
    order = [key for key in TITLES if key != "logits"]
    table_rows = []
    for row in rows:
        cells = [
            Cell(evidence.model(row.model).title, (row.model,)),
            _layer(found, row),
            _mean(row.numbers["logits"], row.spread["logits"], False),
            Cell(_restates(row)),
            *(_mean(row.numbers[key], row.spread[key], key in _PERCENT) for key in order),
            _folds(row),
            _with_dice(row),
            _counted(row),
        ]
        table_rows.append(Row(tuple(cells)))
    return Table(
        name=name,
        title=title,
        columns=(
            Column("model", "Model", numeric=False),
            Column("layer", "Layer", ("", "part", "depth", "stride"), numeric=False),
            Column("logits", TITLES["logits"], _FIELDS),
            Column("restates", "Restates", numeric=False),
            *(Column(key, TITLES[key], _FIELDS) for key in order),
            Column("over_folds", "Lift, over folds' means"),
            Column("with_dice", "With Dice", tuple(TITLES)),
            Column("count", "Maps", _COUNTS),
        ),
        rows=tuple(table_rows),
        caption="Means over images with "
        f"{words.confidence(settings)} intervals by bootstrap over groups, where these are enough. With "
        "logits: "
        "Pearson's correlation with the positive part of the network's own logits; above 0.9 a map "
        "restates the "
        "prediction. Lift: energy inside the mask over the mask's share of the area, 1 by chance. "
        "Pointing: the "
        "largest value lies inside. IoU: of the mask and as many of the largest pixels. Over folds' "
        "means: their standard deviation, each fold having other images. With Dice: "
        "Spearman's correlation of IoU with the Dice of the class, image by image (in files, of each "
        "number). "
        "Maps: usable of all, and what the others are.",
    )


def jobs_table(evidence: Evidence, found: MapSet, name: str, title: str) -> Table:
    """Return what the jobs of a set did, and how long they took."""
    rows = []
    for label, mapped in found.models.items():
        images = {image for table in mapped.tables for image in table.images}
        seconds = mapped.seconds
        peak = max(job.result.peak_memory_bytes for job in mapped.jobs)
        rows.append(
            Row(
                (
                    Cell(evidence.model(label).title, (label,)),
                    Cell(f"{len(mapped.jobs)} of {mapped.planned}", (len(mapped.jobs), mapped.planned)),
                    Cell(str(len(images)), (len(images),)),
                    Cell(str(sum(len(table.images) for table in mapped.tables))),
                    Cell("–", (None,)) if seconds is None else Cell(f"{seconds:.2f}", (seconds,)),
                    Cell(size(peak), (peak,)),
                )
            )
        )
    return Table(
        name=name,
        title=title,
        columns=(
            Column("model", "Model", numeric=False),
            Column("jobs", "Jobs", ("done", "planned")),
            Column("images", "Images"),
            Column("maps", "Maps"),
            Column("seconds", "Seconds an image"),
            Column("memory", "Peak memory"),
        ),
        rows=tuple(rows),
        caption="Seconds: of whole jobs, with all classes, targets, layers and methods, and with what was "
        "asked of a few images beyond their maps. They depend on the machine, which provenance names.",
    )


def more_table(
    evidence: Evidence, record: str, name: str, title: str, rows: Sequence[MoreNumbers], settings: Settings
) -> Table:
    """Return the means of interventions, of shifts or of shuffled weights, all classes together."""
    columns, caption = _MORE[record]
    lines: dict[tuple[str, MapKind, str], dict[str, Measure]] = {}
    images: dict[tuple[str, MapKind, str], int] = {}
    for row in rows:
        line = row.model, row.kind, row.more[0] if record == INTERVENTIONS else ""
        steps = record == RANDOMIZATION
        found = {f"step{row.more[0]}": row.numbers["similarity"]} if steps else dict(row.numbers)
        lines.setdefault(line, {}).update(found)
        images[line] = max(images.get(line, 0), row.images)
    if record == RANDOMIZATION:
        shuffled = dict.fromkeys(row.more for row in rows)
        columns = {f"step{step}": f"{step} of {steps}" for step, steps in shuffled}
    kept = {(row.model, row.kind, "") for row in unchanged(rows)} if record == RANDOMIZATION else set()
    absent = Measure(float("nan"), None)
    return Table(
        name=name,
        title=title,
        columns=(
            Column("model", "Model", numeric=False),
            Column("layer", "Layer", numeric=False),
            *((Column("imputer", "Imputer", numeric=False),) if record == INTERVENTIONS else ()),
            *(Column(key, heading, _FIELDS[:-1]) for key, heading in columns.items()),
            *((Column("unchanged", "Unchanged", numeric=False),) if record == RANDOMIZATION else ()),
            Column("images", "Images"),
        ),
        rows=tuple(
            Row(
                (
                    Cell(evidence.model(line[0]).title, (line[0],)),
                    Cell(line[1].layer),
                    *((Cell(line[2]),) if record == INTERVENTIONS else ()),
                    *(_more_mean(found.get(key, absent)) for key in columns),
                    *((Cell("yes" if line in kept else "no"),) if record == RANDOMIZATION else ()),
                    Cell(str(images[line]), (images[line],)),
                )
            )
            for line, found in lines.items()
        ),
        caption=f"{caption} Means over images and classes with {words.confidence(settings)} intervals over "
        "groups.",
    )


_MORE: Mapping[str, tuple[Mapping[str, str], str]] = {
    INTERVENTIONS: (
        {
            "deletion_gain": "Deletion",
            "insertion_gain": "Insertion",
            "loss_inside": "Lost by inside",
            "loss_outside": "Lost by outside",
            "deletion_outside": "Left outside",
            "loss": "Own loss",
            "leakage": "Leakage",
        },
        "Evidence of a class is the positive part of its log-odds. Deletion: share of the evidence "
        "inside the "
        "mask that goes with the map's largest pixels, more than with a random map's that is as coarse; "
        "insertion: what they bring, more than a random map's. Lost by inside, by outside: share of the "
        "evidence "
        "inside that is lost where the map's largest pixels inside, or outside, are replaced, half as "
        "many as the "
        "mask has. Left outside: evidence outside after deletion, as a share of all. Own loss and "
        "leakage: what "
        "the class, and what the others on average, lose or gain by as many pixels as the mask has; "
        "leakage is "
        "undefined for a single class.",
    ),
    STABILITY: (
        {"shift": "Moved", "shift_least": "Least", "shift_silent": "Without a map"},
        "Moved: Pearson's correlation of the map with those of the image moved by a few pixels, moved "
        "back; the "
        "least of them; and the share of moves that leave a constant map.",
    ),
    RANDOMIZATION: (
        {"similarity": "Similarity"},
        "Weights are shuffled from the output down, one group of modules more in each column. Numbers are "
        "Spearman's correlation with the map before. "
        f"Unchanged: still above {UNCHANGED:g} where all weights are shuffled, so the map does not "
        "depend on what "
        "was learned.",
    ),
}


def unchanged(rows: Sequence[MoreNumbers]) -> list[MoreNumbers]:
    """Return the kinds of maps that stay when all weights are shuffled."""
    last = [row for row in rows if row.more[0] == row.more[1]]
    return [row for row in last if row.numbers["similarity"].value > UNCHANGED]


def _more_mean(found: Measure) -> Cell:
    cell = _mean(found, None, False)
    return replace(cell, values=cell.values[:-1])


def _mean(found: Measure, spread: float | None, percent: bool) -> Cell:
    if found.value != found.value:
        return Cell("–", (None,) * len(_FIELDS))
    ends = (None, None) if found.interval is None else (found.interval.low, found.interval.high)
    factor, digits = (100, 1) if percent else (1, 2)
    said = [
        f"{factor * value:.{digits}f}".replace("-", "−")
        for value in (found.value, *ends)
        if value is not None
    ]
    small = f"{said[1]} to {said[2]}" if len(said) > 2 else ""
    return Cell(said[0], (found.value, *ends, spread), small=small)


def _layer(found: MapSet, row: KindNumbers) -> Cell:
    known = found.models[row.model].layers.get(row.kind.layer)
    part = "" if known is None else known.part
    small = f"stride {row.kind.stride:g}"
    return Cell(row.kind.layer, (row.kind.layer, part, row.kind.depth, row.kind.stride), small=small)


def _restates(row: KindNumbers) -> str:
    value = row.numbers["logits"].value
    return "–" if value != value else "yes" if row.restates else "no"


def _folds(row: KindNumbers) -> Cell:
    spread = row.spread["lift"]
    return Cell("–", (None,)) if spread is None else Cell(f"{spread:.2f}", (spread,))


def _with_dice(row: KindNumbers) -> Cell:
    found = {key: row.with_dice[key] for key in TITLES}
    values = tuple(None if value != value else value for value in found.values())
    shown = "–" if found["iou"] != found["iou"] else f"{found['iou']:.2f}".replace("-", "−")
    return Cell(shown, values)


def _counted(row: KindNumbers) -> Cell:
    counts = row.statuses
    words_of = {"constant": "constant", "nan": "not finite", "no-pixels": "without pixels"}
    rest = [f"{counts[key]} {said}" for key, said in words_of.items() if counts[key]]  # type: ignore[index]
    return Cell(
        f"{counts['ok']} of {row.maps}",
        (row.maps, counts["ok"], counts["constant"], counts["nan"], counts["no-pixels"]),
        small=", ".join(rest),
    )


assert {*TITLES, "share"} == set(NUMBERS)
