"""A study whose steps `grad-cam` left tables, made up without any network."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench_core.analysis.evidence import Cell, Evidence, Finished
from bench_core.analysis.measured import StepTables
from bench_core.metrics.map_tables import (
    MORE_MAPS,
    NUMBERS,
    ONE_MAP,
    MapLayer,
    read_maps,
    read_numbers,
)
from bench_core.plan.job import Apply
from bench_core.records import Counts
from bench_core.seeds import derive_seed
from bench_core.spec.model import StepEntry

LAYERS = ("encoder.1", "encoder.3", "decoder.0")
STEP, SIDE = "worst", 40


def with_maps(
    evidence: Evidence,
    images: int = 12,
    layers: Mapping[str, Sequence[str]] | None = None,
    methods: Sequence[str] = ("grad-cam",),
    targets: Sequence[str] = ("predicted",),
    *,
    more: bool = True,
    heat: Path | None = None,
) -> Evidence:
    """Return the evidence with maps of the first images of every fold; with a folder, these can be seen."""
    cells: dict[tuple[str, str], Cell] = {}
    for key, cell in evidence.cells.items():
        names = (layers or {}).get(cell.model, LAYERS)
        done = [
            Left(
                job=fold.job,
                result=fold.result,
                store=fold.store,
                tables=tables(fold, images, names, methods, targets, more=more),
                heat=heat,
            )
            for fold in cell.folds
        ]
        for fold in done if heat is not None else ():
            fold.draw()
        cells[key] = replace(cell, steps={STEP: tuple(done)} if done else {})
    spec = evidence.spec.model_copy(update={"steps": (StepEntry(name="grad-cam", label=STEP),)})
    work = Apply(step="grad-cam", version=1, options={}, source="")
    jobs = [replace(job, stage=STEP, work=work) for job in evidence.plan.jobs if job.stage == "evaluate"]
    plan = replace(evidence.plan, jobs=(*evidence.plan.jobs, *jobs))
    return replace(evidence, cells=cells, spec=spec, plan=plan)


@dataclass(frozen=True)
class Left(Finished):
    """A step's job whose maps lie in a folder of the test's own."""

    heat: Path | None = None

    def artifact(self, name: str) -> Path:
        assert self.heat is not None
        return self.heat / self.job.digest / name

    def draw(self) -> None:
        """Write every usable map of one bright spot."""
        assert self.heat is not None and self.tables.maps is not None
        folder = self.heat / self.job.digest
        folder.mkdir()
        maps, table = {}, self.tables.maps
        for row, (kind, (status,)) in enumerate(zip(table.kinds, table.more, strict=True)):
            if status == "ok":
                side = max(2, round(SIDE / kind.stride))
                maps[str(row)] = np.full((side, side), 25, dtype=np.uint8)
                maps[str(row)][row % side, -1] = 255
        np.savez(folder / "maps-0.npz", **maps)
        names = tuple(f"artifacts/{path.name}" for path in folder.iterdir())
        object.__setattr__(self, "result", replace(self.result, artifacts=names))


def tables(
    fold: Finished,
    images: int,
    layers: Sequence[str],
    methods: Sequence[str],
    targets: Sequence[str],
    *,
    more: bool,
) -> StepTables:
    counts = fold.counts
    rows = list(map_rows(counts, images, layers, methods, targets, fold.job.digest))
    further = {}
    for name, (texts, numbers) in MORE_MAPS.items() if more else ():
        random = np.random.default_rng(derive_seed(name, fold.job.digest))
        told = {
            "interventions": [("blur",), ("mean",)],
            "stability": [()],
            "randomization": [("1", "2"), ("2", "2")],
        }[name]
        found = [
            {
                **{key: row[key] for key in ONE_MAP[:-1]},
                **dict(zip(texts, values, strict=True)),
                **{key: random.uniform(0, 0.8) for key in numbers},
            }
            for row in rows
            for values in told
        ]
        further[name] = read_numbers(as_read(found), counts.ids, counts.classes, texts, numbers)
    facts = {
        layer: MapLayer("decoder" if layer == "decoder.0" else "encoder", "")
        for layer in layers
        if layer != "fuse"
    }
    maps = read_maps(as_read(rows), counts.ids, counts.classes)
    return StepTables(maps=maps, more_maps=further, map_layers=facts)


def map_rows(
    counts: Counts,
    images: int,
    layers: Sequence[str],
    methods: Sequence[str],
    targets: Sequence[str],
    seed: str,
) -> list[dict[str, Any]]:
    """Return rows of `maps`: deeper layers lie more on the structure and are more like the logits."""
    random, rows = np.random.default_rng(derive_seed(seed)), []
    for place, sample in enumerate(counts.ids[:images]):
        for column, name in enumerate(counts.classes):
            share = max(int(counts.values[place, column, [0, 2]].sum()), 1) / 96**2
            for target in targets:
                for method in methods:
                    for depth, layer in enumerate(layers):
                        along = (depth + 1) / len(layers)
                        energy = float(np.clip(share + along * random.uniform(0.1, 0.6), 0, 1))
                        numbers = (
                            share,
                            energy,
                            energy / share,
                            float(random.random() < along),
                            along * random.uniform(0.2, 0.8),
                            along * random.uniform(0.3, 0.9),
                            float(np.clip(along - random.uniform(0, 0.1), -1, 1)),
                        )
                        status = "ok" if random.random() < 0.9 or depth else "constant"
                        if status != "ok":
                            numbers = (share, *[float("nan")] * (len(NUMBERS) - 1))
                        which = (sample, name, target, layer, depth, 2 ** (depth + 1), method, status)
                        rows.append(dict(zip((*ONE_MAP, *NUMBERS), (*which, *numbers), strict=True)))
    return rows


def as_read(rows: Sequence[Mapping[str, object]]) -> list[dict[str, str]]:
    """Return rows as they are read from the CSV file that they are written to."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [])
    writer.writeheader()
    writer.writerows(rows)
    return list(csv.DictReader(io.StringIO(text.getvalue())))
