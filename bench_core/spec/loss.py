"""The loss section: a weighted sum of losses, each with its own settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from bench_core.spec.section import PositiveFloat, Section

LossName = Literal["bce", "cross-entropy", "dice", "focal", "tversky"]
ClassWeight = Annotated[float, Field(gt=0, le=1e6)]
ClassWeights = Literal["equal", "inverse-frequency"] | Annotated[dict[str, ClassWeight], Field(min_length=1)]


class Term(Section):
    """One loss of a sum. In YAML a bare number is short for {weight: ...}."""

    weight: PositiveFloat = 1.0
    """By which the loss is multiplied in the sum."""

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, value: Any) -> Any:
        return value if isinstance(value, (Mapping, Term)) else {"weight": value}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return the schema of a number or the mapping that it is short for."""
        about = {"description": f"{(cls.__doc__ or '').strip()} A number is short for its weight."}
        return about | {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, handler(core_schema)]}


class _PixelTerm(Term):
    weights: ClassWeights = "equal"
    """Of the classes: a mapping (those that it leaves out weigh 1), or by their share of training pixels."""


class _SmoothedTerm(_PixelTerm):
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of each pixel's target that is spread evenly over all classes."""


class BinaryCrossEntropy(_SmoothedTerm):
    """Binary cross-entropy, for one foreground class."""


class CrossEntropy(_SmoothedTerm):
    """Cross-entropy over all classes, background included, for several foreground classes."""


class Focal(_PixelTerm):
    """Cross-entropy in which a pixel counts less the better it is predicted."""

    gamma: Annotated[float, Field(ge=0, le=20)] = 2.0
    """Focusing: a pixel of probability p counts (1 - p) ** gamma."""
    alpha: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Factor of foreground pixels, 1 - alpha that of background; absent: neither has one."""


class Dice(Term):
    """Soft Dice loss over the batch, background left out."""


class Tversky(Term):
    """Dice loss with a weight of its own for each kind of error."""

    alpha: PositiveFloat = 0.3
    """Weight of false positives."""
    beta: PositiveFloat = 0.7
    """Weight of false negatives."""


class Losses(Section):
    """A sum of losses."""

    model_config = ConfigDict(serialize_by_alias=True)

    bce: BinaryCrossEntropy | None = None
    cross_entropy: CrossEntropy | None = Field(default=None, alias="cross-entropy")
    dice: Dice | None = None
    focal: Focal | None = None
    tversky: Tversky | None = None

    def terms(self) -> Iterator[tuple[str, Term]]:
        """Yield the losses that are given, by name, in the order of their names."""
        for name, field in sorted(type(self).model_fields.items()):
            term: Term | None = getattr(self, name)
            if term is not None:
                yield field.alias or name, term

    def plain(self) -> dict[str, Any]:
        """Return name to weight, or to all settings where others than the weight are not the usual ones."""
        return {
            name: term.weight
            if term == type(term)(weight=term.weight)
            else term.model_dump(mode="json", exclude_none=True)
            for name, term in self.terms()
        }


def losses(*names: LossName) -> Losses:
    """Return the plain sum of these losses."""
    return Losses.model_validate(dict.fromkeys(names, 1.0))
