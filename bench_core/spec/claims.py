"""Claims: sentences about the results, written so that they can be checked."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Discriminator, Field, StringConstraints, Tag

from bench_core.spec.pools import Named, Names
from bench_core.spec.section import Form, NonNegativeFloat, PositiveFloat, chosen_by

Share = Literal["every", "most", "some"]
"""every: all of them; most: more than half of them; some: at least one of them."""
Over = Literal["every", "most", "some", "average"]
ClaimName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", max_length=64)]


class Claim(Form):
    """What all claims have in common."""

    key: ClassVar[str] = "claim"
    name: ClaimName
    """What tables call it."""
    says: Annotated[str, Field(max_length=1000)] = ""
    """The sentence that is checked."""
    source: Annotated[str, Field(max_length=500)] = ""
    """Where it stands."""
    metric: str = "mdsc"
    """The metric in which it is checked."""
    view: Literal["pooled", "images"] = "pooled"
    """Counts of all images together, or the mean of images."""


class Better(Claim):
    """Models are better than others by more than a margin, pair by pair."""

    claim: Literal["better"] = "better"
    models: Named | Names
    """A pool, a family, a model, or a list of models."""
    share: Share = "every"
    """How many of `models` must be."""
    than: Named | Names
    """Those that they are compared with."""
    than_share: Share = "every"
    """Than how many of `than` each of them must be better."""
    margin: NonNegativeFloat = 0.0
    """By more than so many points, or the metric's unit."""
    datasets: Names | None = None
    """On which datasets; absent: all."""
    across: Over = "every"
    """On how many of them, or by the mean of their scores."""


class Best(Claim):
    """One model is better than every other by more than a margin."""

    claim: Literal["best"]
    model: Named
    """Its label."""
    than: Named | Names = "all"
    """Among whom: a pool, a family, or a list of models."""
    margin: NonNegativeFloat = 0.0
    """As for better."""
    datasets: Names | None = None
    """As for better."""
    across: Over = "every"
    """As for better."""


class Equivalent(Claim):
    """Differences of models lie within a margin, pair by pair."""

    claim: Literal["equivalent"]
    models: Named | Names
    """A pool, a family, or a list of models."""
    than: Named | Names | None = None
    """Those that they are compared with; absent: each other."""
    margin: PositiveFloat = 1.0
    """Within so many points, or the metric's unit, to either side."""
    datasets: Names | None = None
    """As for better."""
    across: Over = "every"
    """As for better."""


class Average(Claim):
    """The mean of some models is better than that of others, more than the choice of models explains."""

    claim: Literal["average"]
    models: Named | Names
    """A pool, a family, or a list of models."""
    than: Named | Names
    """Those that they are compared with."""
    margin: NonNegativeFloat = 0.0
    """As for better."""
    datasets: Names | None = None
    """As for better."""
    across: Over = "every"
    """As for better."""


class Largest(Claim):
    """The mean difference of some models to others is larger on one dataset than on each other."""

    claim: Literal["largest"]
    models: Named | Names
    """A pool, a family, a model, or a list of models."""
    than: Named | Names
    """Those that they are compared with."""
    dataset: Named
    """Where it is largest."""
    datasets: Names | None = None
    """The others; absent: all."""
    margin: NonNegativeFloat = 0.0
    """Larger by more than so many points."""


AnyClaim = Annotated[
    Annotated[Better, Tag("better")]
    | Annotated[Best, Tag("best")]
    | Annotated[Equivalent, Tag("equivalent")]
    | Annotated[Average, Tag("average")]
    | Annotated[Largest, Tag("largest")],
    Discriminator(chosen_by("claim", "better")),
]
KINDS: tuple[type[Claim], ...] = (Better, Best, Equivalent, Average, Largest)


def kind_of(word: object) -> type[Claim] | None:
    """Return the form of claims that a word names."""
    return next((kind for kind in KINDS if kind.__name__.lower() == word), None)
