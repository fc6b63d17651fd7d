"""What an archive of a study says of itself: its files with sizes and hashes, and what it leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import StringConstraints, TypeAdapter

from bench_core.records import Count
from bench_core.store.archive_names import is_code

ARCHIVE_FORMAT = 1
MOST_MANIFEST_BYTES = 256 * 1024**2
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, StringConstraints(max_length=4096)]


@dataclass(frozen=True)
class Fact:
    """One file: its size in bytes and the SHA-256 of its content."""

    bytes: Count
    sha256: Sha256


@dataclass(frozen=True)
class LeftOut(Fact):
    """A file of a job that was not packed."""

    kind: Literal["weights", "images"] = "weights"


@dataclass(frozen=True)
class Manifest:
    """What an archive says of itself."""

    format: int
    name: Text
    """Of the study."""
    study: Sha256
    """The study digest, over what the results are."""
    tools: Mapping[Text, Text | None]
    """What packed it, with versions."""
    planned: Count
    done: Count
    files: Mapping[Text, Fact]
    """Every member but the manifest itself."""
    left_out: Mapping[Text, LeftOut] = field(default_factory=dict)
    """Members that would be here if everything had been packed."""
    plugins: Mapping[Text, Mapping[Text, Sha256]] = field(default_factory=dict)
    """The user's own plugins: name to file to SHA-256."""

    @property
    def code(self) -> tuple[str, ...]:
        """Members that are run when the spec is read: the user's own plugins, and files that are models."""
        return tuple(name for name in self.files if is_code(name))

    def missing(self) -> dict[str, frozenset[str]]:
        """Return the files that are left out, by the digest of their job."""
        found: dict[str, set[str]] = {}
        for name in self.left_out:
            _, _, digest, file = name.split("/", 3)
            found.setdefault(digest, set()).add(file)
        return {digest: frozenset(names) for digest, names in found.items()}

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return asdict(self)


@cache
def manifests() -> TypeAdapter[Manifest]:
    """Return what checks the content of a manifest."""
    return TypeAdapter(Manifest)
