"""Among whom a part ranks or tests: the models of a pool, one track at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.inference.distributions import scipy_part
from bench_core.analysis.inference.known import Known
from bench_core.analysis.pools import narrowed, pools_of
from bench_core.analysis.quantities import quantity
from bench_core.declarations.work import Track
from bench_core.errors import MissingDependencyError
from bench_core.install import install_command
from bench_core.plugins.registry import unknown
from bench_core.report import names
from bench_core.report.blocks import Callout, Section
from bench_core.spec.pools import ALL


@dataclass(frozen=True)
class Among:
    """The models of one pool and track."""

    known: Known
    """The study as if it had the pool's models only."""
    track: Track
    said: str
    """How titles go on: ", pool under-50M"; empty for all models of the only track."""
    prefix: str
    """What file names of tables begin with."""

    @property
    def inside(self) -> Evidence:
        """The study of the pool."""
        return self.known.evidence


def among(evidence: Evidence, options: Mapping[str, Any], pool: str | None = None) -> Iterator[Among]:
    """Yield each track of the pool that the options name; raises UnknownNameError where there is none."""
    pools = pools_of(evidence)
    name = str(options["pool"]) if pool is None else pool
    if name not in pools:
        raise unknown("pool", name, pools)
    inside = narrowed(evidence, pools[name].models)
    known = Known(inside, quantity(inside, str(options["metric"])), options["empty"])
    for track in inside.tracks:
        main = track == inside.tracks[0]
        said = "" if name == ALL else f", pool {name}"
        said += "" if len(evidence.tracks) == 1 else f", {names.track_title(track)}"
        prefix = ("" if name == ALL else f"{name}-") + ("" if main else f"{track.replace('/', '-')}-")
        yield Among(known, track, said, prefix)


def without_scipy(name: str, title: str) -> Section | None:
    """Return the part as a note where scipy is not installed; None where it is."""
    try:
        scipy_part("special")
    except MissingDependencyError as error:
        note = Callout("note", f"{title}: {error.message}.", code=install_command("report"))
        return Section(name, title, (note,))
    return None
