"""What becomes of images of a dataset that are copies of each other."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Discriminator, Tag

from bench_core.spec.section import Form, Words, chosen_by

Rule = Literal["near", "exact", "study"]


class GroupCopies(Form):
    """All are kept, and copies lie in one fold."""

    key: ClassVar[str] = "policy"
    policy: Literal["group"] = "group"
    rule: Rule = "near"
    """near: alike, also turned or mirrored; exact: equal pixels; study: perceptual hashes below 8 bits."""


class DropCopies(Form):
    """The last of each cluster of copies, by name, is kept."""

    key: ClassVar[str] = "policy"
    policy: Literal["drop"]
    rule: Rule = "near"
    """As for group."""


class ReportCopies(Form):
    """Copies are told, and nothing else."""

    key: ClassVar[str] = "policy"
    policy: Literal["report"]
    rule: Rule = "near"
    """As for group."""


AnyDuplicates = Annotated[
    Annotated[GroupCopies, Tag("group")]
    | Annotated[DropCopies, Tag("drop")]
    | Annotated[ReportCopies, Tag("report")],
    Discriminator(chosen_by("policy", "group")),
    Words(("group", "drop", "report")),
]
"""What becomes of copies; a bare word is short for the form of that name."""
