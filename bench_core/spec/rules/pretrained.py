"""What a model starts from: it must be on offer, and explained where it is not the protocol's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench_core.declarations import Architecture
from bench_core.spec.model import ModelEntry
from bench_core.spec.nodes import Loc
from bench_core.spec.rules import Breach
from bench_core.spec.words import join, nearest

USUAL: Loc = ("protocol", "pretrained")


@dataclass(frozen=True)
class Start:
    """A source of weights, and why it is not the protocol's (empty where nothing is said)."""

    source: str
    because: str


def start_of(entry: ModelEntry, architecture: Architecture, usual: str) -> Start:
    """Return what an entry starts from: its own choice, the architecture's, else the protocol's `usual`."""
    declared = architecture.deviations.get("pretrained")
    if entry.pretrained is None and declared is None:
        return Start(usual, "")
    source = entry.pretrained if entry.pretrained is not None else str(declared.value if declared else usual)
    because = declared.because if declared is not None and declared.value == source else ""
    if entry.pretrained is not None:
        because = entry.because or because or (entry.deviations.because if entry.deviations else "")
    return Start(source, because)


def pretrained_breaches(
    loc: Loc, entry: ModelEntry, architecture: Architecture, usual: str
) -> Iterator[Breach]:
    """Yield what is wrong with the start of the entry at `loc`, where the protocol says `usual`."""
    start = start_of(entry, architecture, usual)
    by_entry = entry.pretrained is not None
    about = ((*loc, "pretrained"), USUAL, (*loc, "because"), (*loc, "deviations"))
    if start.source not in architecture.pretrained:
        first = architecture.pretrained[0] if architecture.pretrained else "none"
        yield Breach(
            "pretrained",
            (*loc, "pretrained") if by_entry else (*loc, "name"),
            f"{entry.name!r} has no {start.source!r} weights",
            cause=f"it offers {join(architecture.pretrained)}"
            + ("" if by_entry else f"; the protocol asks for {start.source!r}"),
            fix=nearest(start.source, architecture.pretrained)
            or f'write `pretrained: {first}` with `because: "the reason"` in the model\'s entry',
            about=about[:2],
        )
    elif start.source != usual and not start.because:
        yield Breach(
            "reason",
            (*loc, "pretrained"),
            f"`pretrained: {start.source}` deviates from the protocol without a reason",
            cause=f"the protocol says {usual!r}; deviations are printed with their reason",
            fix='add `because: "the reason"` to the model\'s entry',
            about=about,
        )
