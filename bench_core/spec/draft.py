"""What of an invalid spec is sound, so that one mistake does not hide another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from bench_core.declarations.executors import LOCAL
from bench_core.spec.claims import Claim, kind_of
from bench_core.spec.expected import Expected
from bench_core.spec.model import (
    AnalysisEntry,
    DatasetEntry,
    Exclusion,
    ModelEntry,
    Runtime,
    Spec,
    StepEntry,
)
from bench_core.spec.nodes import Loc
from bench_core.spec.pools import AnyPool, Selection
from bench_core.spec.protocol import Protocol
from bench_core.spec.section import Section
from bench_core.spec.structure import mistakes

Part = TypeVar("Part", bound=Section)

_POOL: TypeAdapter[AnyPool] = TypeAdapter(AnyPool)
_STAND_INS: Mapping[str, Any] = {
    "because": "not given",
    "epochs": 1,
    "evaluate": {"epochs": 1},
    "learning_rate": [1e-4],
}
"""Required keys without which a part could not be checked at all; never looked at by a check."""


@dataclass(frozen=True)
class Draft:
    """The parts of a spec that validate on their own, by their index; wrong values are at their defaults."""

    models: Mapping[int, ModelEntry]
    datasets: Mapping[int, DatasetEntry]
    exclude: Mapping[int, Exclusion]
    analyses: Mapping[int, AnalysisEntry]
    steps: Mapping[int, StepEntry]
    protocol: Protocol | None
    data: Mapping[str, Any] = field(default_factory=dict)
    """The whole spec as plain data, mistakes included."""
    runner_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """`runtime.runners`."""
    executor: str = LOCAL
    """`runtime.executor`."""
    executor_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """`runtime.executors`."""
    devices_per_job: int = 1
    """`runtime.devices_per_job`."""
    memory: Mapping[str, str] = field(default_factory=dict)
    """`runtime.memory`."""
    pools: Mapping[str, AnyPool] = field(default_factory=dict)
    expected: Mapping[int, Expected] = field(default_factory=dict)
    claims: Mapping[int, Claim] = field(default_factory=dict)
    wrong: frozenset[Loc] = frozenset()
    """Ways of the values that are wrong."""

    def sound(self, *locs: Loc) -> bool:
        """Return whether nothing at, above or below these ways is wrong."""
        return not any(
            loc in self._above_wrong or any(loc[:depth] in self.wrong for depth in range(1, len(loc)))
            for loc in locs
        )

    @cached_property
    def _above_wrong(self) -> frozenset[Loc]:
        return frozenset(loc[:depth] for loc in self.wrong for depth in range(1, len(loc) + 1))


def draft_of_spec(spec: Spec, data: Mapping[str, Any]) -> Draft:
    """Return a valid spec as a draft."""
    return Draft(
        models=dict(enumerate(spec.models)),
        datasets=dict(enumerate(spec.datasets)),
        exclude=dict(enumerate(spec.exclude)),
        analyses=dict(enumerate(spec.analyses or [])),
        steps=dict(enumerate(spec.steps)),
        protocol=spec.protocol,
        data=data,
        runner_options=spec.runtime.runners,
        executor=spec.runtime.executor,
        executor_options=spec.runtime.executors,
        devices_per_job=spec.runtime.devices_per_job,
        memory=spec.runtime.memory,
        pools=spec.pools,
        expected=dict(enumerate(spec.expected)),
        claims=dict(enumerate(spec.claims)),
    )


def draft_of_data(data: Mapping[str, Any], wrong: Iterable[Loc]) -> Draft:
    """Return the sound parts of an invalid spec; `wrong` are the ways of its wrong values."""
    runtime = repair(Runtime, data.get("runtime"))
    return Draft(
        models=_each(ModelEntry, data.get("models")),
        datasets=_each(DatasetEntry, data.get("datasets")),
        exclude=_each(Exclusion, data.get("exclude")),
        analyses=_each(AnalysisEntry, data.get("analyses")),
        steps=_each(StepEntry, data.get("steps")),
        protocol=repair(Protocol, data.get("protocol")),
        data=data,
        runner_options=runtime.runners if runtime else {},
        executor=runtime.executor if runtime else LOCAL,
        executor_options=runtime.executors if runtime else {},
        devices_per_job=runtime.devices_per_job if runtime else 1,
        memory=runtime.memory if runtime else {},
        pools=_pools(data.get("pools")),
        expected=_each(Expected, data.get("expected")),
        claims=_claims(data.get("claims")),
        wrong=frozenset(wrong),
    )


def _each(kind: type[Part], items: Any) -> dict[int, Part]:
    if not isinstance(items, list):
        return {}
    parts = {index: repair(kind, item) for index, item in enumerate(items)}
    return {index: part for index, part in parts.items() if part is not None}


def _pools(items: Any) -> dict[str, AnyPool]:
    if not isinstance(items, dict):
        return {}
    found: dict[str, AnyPool] = {}
    for name, item in items.items():
        try:
            found[str(name)] = _POOL.validate_python(item)
        except ValidationError:
            part = repair(Selection, item)
            if part is not None:
                found[str(name)] = part
    return found


def _claims(items: Any) -> dict[int, Claim]:
    if not isinstance(items, list):
        return {}
    found: dict[int, Claim] = {}
    for index, item in enumerate(items):
        kind = kind_of(item.get("claim", "better")) if isinstance(item, dict) else None
        part = repair(kind, item) if kind is not None else None
        if part is not None:
            found[index] = part
    return found


def repair(kind: type[Part], data: Any) -> Part | None:
    """Return `data` as a section with its wrong values left out, or None where nothing sound remains."""
    if not isinstance(data, dict):
        return None
    data = deepcopy(data)
    # Leaving a value out can uncover at most one more mistake a level (a required key); no level is deep.
    for _ in range(8):
        try:
            return kind.model_validate(data)
        except ValidationError as error:
            left = [_leave_out(data, loc) for loc, _ in mistakes(error, data)]
            if not all(left):
                return None
    return None


def _leave_out(data: dict[str, Any], loc: Loc) -> bool:
    if not loc:
        # The protocol's own rule: exactly one source of the learning rate.
        data.pop("learning_rate", None)
        if "search" not in data:
            data["learning_rate"] = 1e-4
        return True
    # A list without one of its items would shift the others' numbers: leave out the whole list.
    for step in loc:
        if isinstance(step, int):
            loc = loc[: loc.index(step)]
            break
    holder: Any = data
    for step in loc[:-1]:
        holder = holder.get(step) if isinstance(holder, dict) else None
    if not isinstance(holder, dict):
        # What holds this one has been left out with another mistake.
        return True
    key = str(loc[-1])
    if key in holder:
        del holder[key]
    elif key in _STAND_INS:
        holder[key] = deepcopy(_STAND_INS[key])
    else:
        return False
    return True
