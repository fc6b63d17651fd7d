"""Numbers that another study has published for the cells of this one."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from bench_core.spec.section import Finite, NonNegativeFloat, Section


class PublishedScore(Section):
    """One cell of a published table, in percent or the metric's unit."""

    mean: Finite
    """Mean over folds, as printed."""
    std: NonNegativeFloat | None = None
    """Standard deviation over folds, as printed."""


class Expected(Section):
    """A published table: scores by model and dataset."""

    source: Annotated[str, Field(min_length=3, max_length=500)]
    """Where the numbers are published."""
    metric: str = "mdsc"
    """The metric that they are in."""
    of_class: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(None, alias="class")
    """The class that they are of; absent: all classes together."""
    folds: Annotated[int, Field(ge=1, le=1000)] = 5
    """Over how many folds means and deviations were taken."""
    decimals: Annotated[int, Field(ge=0, le=6)] = 1
    """With how many decimals they are printed."""
    scores: Annotated[
        dict[str, Annotated[dict[str, PublishedScore], Field(max_length=100)]],
        Field(min_length=1, max_length=1000),
    ]
    """Label of a model to label of a dataset to its score."""
