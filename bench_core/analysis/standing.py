"""On what the results of a study stand: which of them can be held against each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence

from bench_core.analysis.evidence import Finished, Outdated, Standing
from bench_core.execute.ground import DATA, PLUGIN, WEIGHTS, Change, Ground, effective_basis, kind_of
from bench_core.store.accepted import Acceptance

_SHORT = 12


def standing(
    finished: Sequence[Finished], ground: Ground | None, accepted: Sequence[Acceptance] = ()
) -> Standing:
    """Sort out which results stand on the same data, and within a cell on the same code and weights.

    Of several states of a dataset that is used which is there now, else the one of most results; so with the
    plugins and weights of a model on a dataset. Without `ground` results are compared among themselves alone.
    """
    changes: dict[str, tuple[Change, ...]] = {}
    if ground is not None:
        changes = {done.job.digest: ground.changes(done.job, done.result, accepted) for done in finished}
    left_out: dict[str, str] = {}
    rest = list(finished)
    for about in (_data_of, _code_of):
        groups: dict[Hashable, list[Finished]] = {}
        for done in rest:
            groups.setdefault(_scope(about, done), []).append(done)
        for group in groups.values():
            left_out |= _odd(group, about, changes, accepted)
        rest = [done for done in rest if done.job.digest not in left_out]
    outdated: dict[Change, list[str]] = {}
    for done in rest:
        for change in changes.get(done.job.digest, ()):
            outdated.setdefault(change, []).append(done.job.name)
    digests = {done.job.digest for done in finished}
    unknown = ground.unknown.items() if ground is not None else ()
    return Standing(
        left_out=left_out,
        outdated=tuple(Outdated(change, tuple(jobs)) for change, jobs in outdated.items()),
        accepted=tuple(item for item in accepted if digests & set(item.results)),
        unknown=tuple(f"{what} could not be compared: {why}" for what, why in unknown),
    )


def _odd(
    group: Sequence[Finished],
    about: About,
    changes: Mapping[str, tuple[Change, ...]],
    accepted: Sequence[Acceptance],
) -> dict[str, str]:
    """Return why some of a group are left out: they stand on something else than the ones that are used."""
    basis = {done.job.digest: about(effective_basis(done.result, accepted)) for done in group}
    counted = Counter(basis.values())
    if len(counted) == 1:
        return {}
    kinds = {kind_of(name) for found in counted for name, _ in found}
    current = {
        basis[done.job.digest]
        for done in group
        if done.job.digest in changes
        and not any(kind_of(change.what) in kinds for change in changes[done.job.digest])
    }
    used = next(iter(current)) if len(current) == 1 else max(counted, key=lambda found: counted[found])
    number = counted[used]
    return {
        done.job.digest: f"it stands on {_differences(basis[done.job.digest], used)}, "
        f"unlike the {number} result{'s' if number > 1 else ''} beside it"
        for done in group
        if basis[done.job.digest] != used
    }


Basis = tuple[tuple[str, str], ...]


class About:
    """Which part of what results stand on is compared, and among which of them."""

    def __init__(self, kinds: Sequence[str]) -> None:
        self.kinds = kinds

    def __call__(self, basis: Mapping[str, str]) -> Basis:
        """Return the part as a value that is equal where it is the same."""
        # A weights file counts by its content alone: the user can give it any name.
        return tuple(
            sorted(
                (kind_of(name) if kind_of(name) == WEIGHTS else name, digest)
                for name, digest in basis.items()
                if kind_of(name) in self.kinds
            )
        )


_data_of, _code_of = About((DATA,)), About((PLUGIN, WEIGHTS))


def _scope(about: About, done: Finished) -> Hashable:
    if about is _data_of:
        return done.job.dataset.label
    # A step needs plugins of its own, and is compared with the same step elsewhere in its cell.
    stage = "" if done.job.work.kind != "apply" else done.job.stage
    return done.job.cell, stage


def _differences(mine: Basis, theirs: Basis) -> str:
    there = dict(theirs)
    odd: Iterable[tuple[str, str]] = [pair for pair in mine if there.get(pair[0]) != pair[1]]
    texts = [
        f"other {name} ({digest[:_SHORT]}" + (f", not {there[name][:_SHORT]})" if name in there else ")")
        for name, digest in odd
    ]
    texts += [f"no {name}" for name, _ in theirs if name not in dict(mine)]
    return " and ".join(texts)
