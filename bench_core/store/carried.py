"""What comes along besides the jobs when stores are joined, and what a reader of them must know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bench_core.errors import StoreError
from bench_core.store.accepted import add_acceptance, read_accepted
from bench_core.store.held import Held
from bench_core.store.store import Store
from bench_core.store.studies import keep_study, kept_studies

DATA, NEEDED_DATA = "data", "needed data"
"""What a result calls its dataset, and that of the job it needs, among what it stands on."""


def other_data(held: Sequence[Held]) -> Iterator[str]:
    """Yield which datasets are not the same in all stores."""
    seen: dict[str, dict[str, dict[Path, int]]] = {}
    for item in held:
        stores = seen.setdefault(item.job.dataset.label, {}).setdefault(item.fingerprint, {})
        stores[item.store.path] = stores.get(item.store.path, 0) + 1
    for label, prints in seen.items():
        if len(prints) > 1:
            listed = "; ".join(
                f"{print_[:12]} ({', '.join(f'{place}: {number} jobs' for place, number in stores.items())})"
                for print_, stores in prints.items()
            )
            yield f"the data of {label} are not the same in all results: {listed}"


def other_code(held: Sequence[Held]) -> Iterator[str]:
    """Yield which plugin and weights files are not the same in all stores."""
    seen: dict[tuple[str, str], dict[str, set[Path]]] = {}
    for item in held:
        for name, digest in item.basis:
            # What a step's job needs has a result of its own, whose data are asked for by their label.
            if name not in (DATA, NEEDED_DATA):
                places = seen.setdefault((item.job.model.label, name), {}).setdefault(digest, set())
                places.add(item.store.path)
    for (model, name), digests in seen.items():
        if len(digests) > 1:
            listed = "; ".join(
                f"{digest[:12]} ({', '.join(sorted(map(str, places)))})" for digest, places in digests.items()
            )
            yield f"{name} of {model} is not the same in all results: {listed}"


def describe(held: Sequence[Held], target: Store) -> Iterator[str]:
    """Keep what the sources know of the datasets; yield where two describe the same data otherwise."""
    wanted = {(item.store.path, item.fingerprint): item for item in held if item.store is not target}
    for item in wanted.values():
        path = item.store.datasets / f"{item.fingerprint}.json"
        if not path.exists():
            continue
        try:
            samples = item.store.samples(item.fingerprint)
        except StoreError as error:
            yield f"a description of a dataset is not taken: {error.place}: {error.cause or error.message}"
            continue
        if not (target.datasets / path.name).exists():
            target.keep_samples(samples)
            continue
        try:
            present = target.samples(item.fingerprint)
        except StoreError as error:
            yield f"a description of a dataset is damaged: {error.place}: {error.cause or error.message}"
            continue
        shared = {name: present.folds[name] for name in present.folds.keys() & samples.folds.keys()}
        mine, theirs = replace(present, folds=shared), replace(samples, folds={**samples.folds, **shared})
        alike = {**theirs.to_json(), "folds": mine.to_json()["folds"]} == mine.to_json()
        if not alike or any(samples.folds[name] != folds for name, folds in shared.items()):
            kept = target.datasets / path.name
            yield f"{path} describes {item.job.dataset.label} otherwise than {kept}, which is kept"
        else:
            target.keep_samples(replace(present, folds={**present.folds, **samples.folds}))


def accept(sources: Sequence[Store], target: Store) -> Iterator[str]:
    """Take along what was accepted of jobs that the target has; yield what was taken."""
    known = list(read_accepted(target.path))
    for source in sources:
        for item in read_accepted(source.path):
            results = {digest: why for digest, why in item.results.items() if target.is_done(digest)}
            taken = replace(item, results=results)
            if results and taken not in known:
                add_acceptance(target.path, taken)
                known.append(taken)
                told = f"by {item.by}: {item.because} ({len(results)} jobs)"
                yield f"what was accepted in {source.path} is accepted here, {told}"


def keep_studies(sources: Sequence[Store], target: Store) -> Iterator[str]:
    """Take along which specs were run; yield what could not be taken."""
    for source in sources:
        found, damaged = kept_studies(source.path)
        for study in found.values():
            keep_study(target.path, study)
        for error in damaged.values():
            yield f"what was run is not taken: {error.place}: {error.cause or error.message}"
