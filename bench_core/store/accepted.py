"""What a user has accepted: results that stand on something that has changed since, kept as they are."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import StringConstraints, TypeAdapter, ValidationError

from bench_core.errors import StoreError
from bench_core.store.files import read_json, write_json

ACCEPTED = "accepted.json"
Text = Annotated[str, StringConstraints(max_length=4096)]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


@dataclass(frozen=True)
class Acceptance:
    """One decision of a user."""

    time: Text
    """UTC, ISO 8601."""
    by: Text
    because: Text
    results: Mapping[Digest, Mapping[Text, tuple[Text, Text]]]
    """Job to what it stands on ("data", "plugin NAME") to its hash and the one accepted for it."""


def read_accepted(store: Path) -> tuple[Acceptance, ...]:
    """Return all acceptances of a store, the oldest first; raises StoreError for a damaged file."""
    path = store / ACCEPTED
    if not path.exists():
        return ()
    fix = f"correct it, or rm {shlex.quote(str(path))} and accept anew with `bench accept SPEC --because ...`"
    data = read_json(path, fix)
    try:
        return _adapter().validate_python(data["accepted"], strict=False)
    except (ValueError, KeyError, TypeError) as error:
        cause = f"{type(error).__name__}: {error}".splitlines()[0]
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            cause = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise StoreError("damaged file in the store", place=str(path), cause=cause, fix=fix) from error


def add_acceptance(store: Path, acceptance: Acceptance) -> None:
    """Write one more acceptance into the store; raises StoreError where that cannot be."""
    entries: list[dict[str, Any]] = [asdict(item) for item in (*read_accepted(store), acceptance)]
    write_json(store / ACCEPTED, {"accepted": entries})


@cache
def _adapter() -> TypeAdapter[tuple[Acceptance, ...]]:
    return TypeAdapter(tuple[Acceptance, ...])
