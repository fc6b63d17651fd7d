"""What a store says of its studies besides their specs: told to a user, and not followed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bench_core.errors import DataError, StoreError

if TYPE_CHECKING:
    from bench_core.cli.reading import Source
    from bench_core.plan.expand import Plan
    from bench_core.spec.load import LoadedSpec

_KEY = re.compile(r"([A-Za-z_]\w*):")


def check_places(source: Source, loaded: LoadedSpec) -> None:
    """Raise DataError where a store stands for its spec and nobody has said where its data lie.

    Where they lay is a text of whoever wrote the store. The user who gives it back by --set has read it.
    """
    from bench_core.spec.rules.labels import label_of

    if source.study is None or source.unpacked is None:
        return
    entries = [(f"datasets.{number}", item) for number, item in enumerate(loaded.spec.datasets)]
    entries += [
        (f"steps.{number}.dataset", step.dataset)
        for number, step in enumerate(loaded.spec.steps)
        if step.dataset is not None
    ]
    inside = {
        loc: label_of(item)
        for loc, item in entries
        if item.root is not None and Path(item.root).is_relative_to(source.unpacked)
    }
    if inside:
        places = source.study.places
        words = [
            word
            for loc, label in inside.items()
            for word in ("--set", f"{loc}.root={places.get(label, 'FOLDER')}")
        ]
        lay = [f"those of {label} lay in {places[label]}" for label in inside.values() if label in places]
        raise DataError(
            f"a store does not lead to its data: {', '.join(inside.values())}",
            place=str(source.given),
            cause="; ".join(lay) or None,
            fix=f"say where they are: {shlex.join(words)}",
        )


def strays(source: Source) -> Iterator[str]:
    """Yield how many finished jobs of a store belong to none of the studies that it keeps."""
    from bench_core.store.studies import kept_studies

    if source.study is None:
        return
    kept, _ = kept_studies(source.place)
    planned = {digest for item in kept.values() for digest in item.planned}
    done = {digest for digest, state in source.store.states().items() if state == "done"}
    if left := len(done - planned):
        noun, verb = ("job belongs", "was") if left == 1 else ("jobs belong", "were")
        yield f"{left} finished {noun} to no study that the store keeps, and {verb} not looked at"


def kept_otherwise(source: Source, loaded: LoadedSpec, plan: Plan) -> Iterator[str]:
    """Yield how a spec differs from the one of its name that was run in the store."""
    from bench_core.cli.studies import SHORT, described
    from bench_core.export.kept import study_of
    from bench_core.store.studies import kept_studies

    if source.study is not None or source.manifest is not None:
        return
    kept = [item for item in kept_studies(source.place)[0].values() if item.name == plan.name]
    planned = tuple(sorted({job.digest for job in plan.jobs}))
    same = next((item for item in kept if item.planned == planned), None)
    if same is not None:
        try:
            here = study_of(loaded, plan, source.given)
        except StoreError:
            return
        ours, theirs = _sections(here.spec), _sections(same.spec)
        names = [name for name in {**theirs, **ours} if ours.get(name) != theirs.get(name)]
        if changed := [name for name in names if name != "runtime"]:
            told = f"the spec says otherwise than the one that was run ({described(same)})"
            yield f"{told}: {', '.join(changed)}"
    elif kept:
        words = shlex.join(["bench", "verify", str(source.place), "--study", kept[0].key[:SHORT]])
        yield f"the store keeps {described(kept[0])}, which planned other jobs; verify that with: {words}"


def _sections(spec: str) -> dict[str, str]:
    """Return the text of each key of a spec as it is kept, which is written with all keys at the margin."""
    found: dict[str, str] = {}
    name = ""
    for line in spec.splitlines(keepends=True):
        if match := _KEY.match(line):
            name = match[1]
        found[name] = found.get(name, "") + line
    return found
