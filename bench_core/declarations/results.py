"""What plugins declare of results: metrics and parts of the report."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from bench_core.declarations.entry import Entry
from bench_core.options import Option

Unit = Literal["fraction", "px", "mm", "length"]
"""`length`: mm where the spacing of all tested images is known, else pixels of the grid that is tested on."""


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """A part of the report that a spec's `analyses:` can name.

    `section(evidence, options)` gets a bench_core.analysis.evidence.Evidence and the completed options, and
    returns a bench_core.report.blocks.Section; its tables are written in every format.
    """

    name: str
    help: str
    section: Entry
    options: Mapping[str, Option] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number per image and class (or per sum of counts) that tables, charts and comparisons can show.

    `needs: counts`: `compute(counts)` maps pixel counts [..., 3] (true positives, false positives, false
    negatives) to scores [...], and is asked for single images and for sums.
    `needs: labels`: `compute(prediction, truth, classes, spacing, ignore, **options)` maps the label maps
    [H, W] of one image to scores [classes] of labels 1 to `classes`; `spacing` is (row, column) in mm per
    pixel or None, `ignore` a mask [H, W] of pixels that count nowhere, or None. The step `measure` calls it.

    NaN is a score that is undefined, and is left out of means; see `empty`. Names are lower-case letters,
    digits and dashes, since tables and columns are called after them; others raise ValueError.
    """

    name: str
    title: str
    """As headings print it: HD95."""
    version: int
    """Part of the identity of the jobs that measure it: raise it when its numbers change."""
    needs: Literal["counts", "labels"]
    compute: Entry
    definition: str
    """One or two sentences that leave no choice open."""
    empty: str
    """What scores a structure that the truth, the prediction or neither of them has."""
    unit: Unit = "fraction"
    better: Literal["higher", "lower"] = "higher"
    class_title: str = ""
    """As headings print it for a single class, where that differs: DSC for mDSC."""
    source: str = ""
    """Where it is defined."""
    options: Mapping[str, Option] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", self.name):
            raise ValueError(f"{self.name!r} is not lower-case letters, digits and dashes")
        for key, known in (
            ("needs", ("counts", "labels")),
            ("unit", get_args(Unit)),
            ("better", ("higher", "lower")),
        ):
            value = getattr(self, key)
            if value not in known:
                raise ValueError(f"{key} of metric {self.name!r} is {value!r}, not {' or '.join(known)}")
        if self.needs == "counts" and self.unit != "fraction":
            raise ValueError(f"metric {self.name!r} is made of pixel counts, so its unit is a fraction")
        if self.needs == "counts" and self.options:
            raise ValueError(f"metric {self.name!r} is made of pixel counts, and these take no options")

    @property
    def of_class(self) -> str:
        """The title for a single class."""
        return self.class_title or self.title
