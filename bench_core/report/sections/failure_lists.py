"""Images that are hard for all models of a dataset, and those that part two of them: sentences and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench_core.analysis.evidence import DatasetFacts, Evidence
from bench_core.analysis.failures import Failures, ImageRow, folds_of, usual_pair
from bench_core.analysis.inference.field import Field
from bench_core.metrics.scale import Scale
from bench_core.report.blocks import Block, Details, Prose
from bench_core.report.names import plural
from bench_core.report.tables import Cell, Column, Row, Table


@dataclass(frozen=True)
class Candidate:
    """An image of a list that can be shown, if a result keeps its picture."""

    why: str
    row: ImageRow
    models: tuple[str, ...]
    """Whose predictions are shown."""


class Lists:
    """The lists of one dataset."""

    def __init__(
        self, evidence: Evidence, data: DatasetFacts, field: Field, options: Mapping[str, Any]
    ) -> None:
        self.evidence, self.dataset, self.field = evidence, data, field
        self.scale: Scale = field.quantity.scale(data.label)
        self.low = float(options["low"]) / self.scale.factor
        self.failures = Failures(field)
        count = int(options["count"])
        first, second = usual_pair(field)
        pair = str(options["first"]) or first, str(options["second"]) or second
        if pair[0] == pair[1]:
            pair = (pair[0], first if pair[0] != first else second)
        self.folds = folds_of(evidence, data.label)
        self.hard = self.failures.hard(count)
        self.pairs = [
            (failing, other, self.failures.apart(failing, other, count))
            for failing, other in (pair, pair[::-1])
            if failing in field.models and other in field.models
        ]
        self.absent = [label for label in pair if label not in field.models]

    def blocks(self) -> list[Block]:
        """Return a sentence and the tables."""
        name, limit = self.dataset.title, self.scale.full(self.low)
        number = self.failures.missed_by_all(self.low)
        images = plural(self.failures.images, "image")
        said = [f"{name}: on {number} of {images} no model reaches {limit}."]
        if self.scale.better == "lower":
            said = [f"{name}: on {number} of {images} every model is worse than {limit}."]
        for failing, other, _ in self.pairs:
            alone = self.failures.fails_alone(failing, other, self.low)
            said.append(
                f"{name}: on {plural(alone, 'image')} {self._title(failing)} is worse than {limit} and "
                f"{self._title(other)} is not."
            )
        said += [f"{name}: {self._title(label)} is not compared here." for label in self.absent]
        tables = [self._hard_table()]
        tables += [self._pair_table(place, *pair) for place, pair in enumerate(self.pairs) if pair[2]]
        return [Prose(tuple(said)), Details(f"{name}: the images", tuple(tables), open=False)]

    def _plain(self, rows: Sequence[ImageRow]) -> list[dict[str, Any]]:
        """Return images as plain data."""
        return [
            {"id": row.id, "group": row.group, "fold": self.folds.get(row.id), "scores": dict(row.scores)}
            for row in rows
        ]

    def _plain_pairs(self) -> list[dict[str, Any]]:
        """Return the lists of two models as plain data."""
        return [
            {
                "fails": failing,
                "other": other,
                "alone": self.failures.fails_alone(failing, other, self.low),
                "images": self._plain(rows),
            }
            for failing, other, rows in self.pairs
        ]

    def pictured(self) -> list[list[Candidate]]:
        """Return what may be shown of each list, in its order."""
        usual = usual_pair(self.field)
        hard = [Candidate("hard for all", row, (self.failures.best(row), *usual)) for row in self.hard]
        return [hard, *(self._alone(*pair) for pair in self.pairs)]

    def _alone(self, failing: str, other: str, rows: Sequence[ImageRow]) -> list[Candidate]:
        why = f"{self._title(failing)} fails, {self._title(other)} does not"
        return [Candidate(why, row, (failing, other)) for row in rows]

    def _title(self, label: str) -> str:
        return self.evidence.model(label).title

    def _hard_table(self) -> Table:
        rows = []
        for row in self.hard:
            best = self.failures.best(row)
            order = self.scale.order
            worst = max(row.scores, key=lambda model: order(row.scores[model]))
            rows.append(
                Row(
                    (
                        *self._image(row),
                        self._score(row.scores[best]),
                        Cell(self._title(best), (best,)),
                        self._score(row.median),
                        self._score(row.scores[worst]),
                    )
                )
            )
        return Table(
            name=f"hard-{self.dataset.label}-{self.field.quantity.name}",
            title=f"{self.dataset.title}: images that are hard for all, {self._measure()}",
            columns=(
                *self._image_columns(),
                Column("best", "Best model"),
                Column("model", "Which", numeric=False),
                Column("median", "Median of models"),
                Column("worst", "Worst model"),
            ),
            rows=tuple(rows),
            caption=f"Ordered by the best score that any of {plural(len(self.field.models), 'model')} has.",
        )

    def _pair_table(self, place: int, failing: str, other: str, images: Sequence[ImageRow]) -> Table:
        rows = []
        for row in images:
            mine, theirs = row.scores[failing], row.scores[other]
            gap = self.scale.gain(theirs, mine)
            rows.append(
                Row(
                    (
                        *self._image(row),
                        self._score(mine),
                        self._score(theirs),
                        Cell(self.scale.text(gap), (gap,)),
                        self._score(row.median),
                    )
                )
            )
        return Table(
            name=f"fails-{self.dataset.label}-{self.field.quantity.name}-{place}",
            title=f"{self.dataset.title}: {self._title(failing)} fails, {self._title(other)} does not, "
            f"{self._measure()}",
            columns=(
                *self._image_columns(),
                Column("fails", self._title(failing)),
                Column("other", self._title(other)),
                Column("difference", "Difference"),
                Column("median", "Median of models"),
            ),
            rows=tuple(rows),
            caption="Ordered by the difference.",
        )

    def _measure(self) -> str:
        lower = ", lower is better" if self.scale.better == "lower" else ""
        return f"per-image {self.field.quantity.class_title} in {self.scale.words}{lower}"

    def _image_columns(self) -> tuple[Column, ...]:
        return (
            Column("image", "Image", numeric=False),
            Column("group", "Group", numeric=False),
            Column("fold", "Fold"),
        )

    def _image(self, row: ImageRow) -> tuple[Cell, ...]:
        fold = self.folds.get(row.id)
        return Cell(row.id), Cell(row.group), Cell("–" if fold is None else str(fold), (fold,))

    def _score(self, value: float) -> Cell:
        return Cell(self.scale.text(value), (value,))

    def told(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        return {
            "metric": self.field.quantity.name,
            "unit": self.scale.unit,
            "images": self.failures.images,
            "low": self.low,
            "hard_for_all": self.failures.missed_by_all(self.low),
            "hard": self._plain(self.hard),
            "apart": self._plain_pairs(),
        }
