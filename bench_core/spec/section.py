"""What every section of a spec is made of: strictness, bounded numbers, and forms to choose between."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

Off = Literal["off"]
Metric = Literal["miou", "mdsc", "mrecall", "mprecision"]
ImageSize = Annotated[int, Field(gt=0, le=8192)]
BatchSize = Annotated[int, Field(gt=0, le=65_536)]
PositiveInt = Annotated[int, Field(gt=0, lt=2**31)]
Epochs = Annotated[int, Field(gt=0, le=100_000)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """A strict, immutable part of a spec: unknown keys are errors and nothing is converted silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


class Form(Section):
    """One of several forms of a setting; a field of its own, of one word, tells it from the others.

    A bare word is short for the form of that name with its defaults. Only the usual form has a default for
    the field, so that a mapping without it means the usual form.
    """

    key: ClassVar[str] = "name"
    """The field that tells the forms apart."""

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, value: Any) -> Any:
        return {cls.key: value} if isinstance(value, str) else value


def word_of(form: type[BaseModel]) -> str | None:
    """Return the word that a form is called by; None for a section that is not one of several."""
    key = getattr(form, "key", None)
    field = form.model_fields.get(key) if key else None
    words = get_args(field.annotation) if field is not None else ()
    return str(words[0]) if len(words) == 1 else None


@dataclass(frozen=True)
class Words:
    """Lets a JSON Schema of forms hold their bare words, and match a mapping by any of them."""

    words: tuple[str, ...]

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return the forms' schema with the words before it."""
        forms = handler(core_schema)
        return {"anyOf": [{"type": "string", "enum": list(self.words)}, *forms["oneOf"]]}


def chosen_by(key: str, usual: str) -> Callable[[Any], str | None]:
    """Return a discriminator: the word under `key`, the word itself, or `usual` for a mapping without it."""

    def choose(value: Any) -> str | None:
        if isinstance(value, Mapping):
            word = value.get(key, usual)
            return word if isinstance(word, str) else f"({type(word).__name__})"
        if isinstance(value, str):
            return value
        return getattr(value, key, usual) if isinstance(value, BaseModel) else None

    return choose
