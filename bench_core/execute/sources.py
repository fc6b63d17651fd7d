"""The finished jobs that a job needs, as its session sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench_core.errors import DataError, StoreError, WeightsError
from bench_core.execute.prepare import build_model, open_data
from bench_core.files.bounded import open_regular
from bench_core.plan.job import Job, Need, Role
from bench_core.plugins.registry import Registry
from bench_core.store.folder import BEST, fix_for
from bench_core.store.store import Store

if TYPE_CHECKING:
    from torch import nn

    from bench_core.data.loader import Split
    from bench_core.execute.prepare import JobData
    from bench_core.protocol.site import Source


def sources_of(job: Job, store: Store, registry: Registry, cache: Path | None = None) -> dict[Role, Source]:
    """Return the needed jobs by role, of several the first; raises as `members_of`."""
    return by_role(job, members_of(job, store, registry, cache))


def by_role(job: Job, members: Sequence[Source]) -> dict[Role, Source]:
    """Return the first of the needed jobs of each role."""
    found: dict[Role, Source] = {}
    for need, member in zip(_needs(job), members, strict=True):
        found.setdefault(need.role, member)
    return found


def members_of(job: Job, store: Store, registry: Registry, cache: Path | None = None) -> tuple[Source, ...]:
    """Return all needed jobs but peers and siblings; those that choose a learning rate are asked elsewhere.

    Their data are opened through `cache`, by default the store's, when they are asked for. Raises StoreError
    if one is not done.
    """
    return _sources(job, _needs(job), store, registry, cache)


def peers_of(job: Job, store: Store, registry: Registry, cache: Path | None = None) -> tuple[Source, ...]:
    """Return the jobs of all models that tested the same images, where the job needs them; raises as
    `members_of`."""
    needs = [need for need in job.needs if need.role == "peers"]
    return _sources(job, needs, store, registry, cache)


def siblings_of(job: Job, store: Store, registry: Registry, cache: Path | None = None) -> tuple[Source, ...]:
    """Return the jobs of the model's other folds, where the job needs them; raises as `members_of`."""
    needs = [need for need in job.needs if need.role == "siblings"]
    return _sources(job, needs, store, registry, cache)


def _sources(
    job: Job, needs: Sequence[Need], store: Store, registry: Registry, cache: Path | None
) -> tuple[Source, ...]:
    from bench_core.protocol.site import Source

    found: list[Source] = []
    for need in needs:
        if not store.is_done(need.digest):
            raise StoreError(f"job {need.digest}, which {job.name} needs, is not done", place=str(store.path))
        needed = store.job(need.digest)
        found.append(
            Source(
                job=needed,
                predictions=partial(store.predictions, need.digest),
                weights=partial(tested_weights, store, need.digest),
                network=partial(tested_network, needed, store, registry),
                random_at_inference=registry.model(needed.model.name).random_at_inference,
                explained=registry.model(needed.model.name).explained,
                tested=partial(_tested, needed, store, registry, cache or store.cache),
                trained=partial(_trained, needed, store, registry, cache or store.cache),
            )
        )
    return tuple(found)


def _needs(job: Job) -> list[Need]:
    return [need for need in job.needs if need.role not in ("rate", "peers", "siblings")]


def _tested(job: Job, store: Store, registry: Registry, cache: Path) -> Split:
    """Return the images that a done job tested; raises DataError if they are others now."""
    return _data(job, store, registry, cache).tested


def _trained(job: Job, store: Store, registry: Registry, cache: Path) -> frozenset[str]:
    """Return the ids of the images that a done job's network was trained on; raises as `_tested`."""
    train = _data(job, store, registry, cache).train
    return frozenset(() if train is None else train.ids)


def _data(job: Job, store: Store, registry: Registry, cache: Path) -> JobData:
    data, then = open_data(job, registry, cache), store.result(job.digest).data
    if (data.facts.fingerprint, data.facts.fold_hash) != (then.fingerprint, then.fold_hash):
        raise DataError(
            f"dataset {job.dataset.label} has changed since {job.name} was trained on it",
            place=job.dataset.root,
            cause=f"its content is {data.facts.fingerprint[:12]}, the job saw {then.fingerprint[:12]}",
            fix="run that job again, too (`bench run SPEC` without --only), or put the files back",
        )
    return data


def tested_weights(store: Store, digest: str) -> Mapping[str, Any]:
    """Return the state of a done job's network at its tested epoch; raises StoreError where it is damaged."""
    from bench_core.weights.load import load_bounded

    path = store.folder(digest) / BEST
    try:
        with open_regular(path) as file:
            kept = load_bounded(file)
        weights: Mapping[str, Any] = kept["state_dict"]
    except FileNotFoundError as error:
        raise StoreError("the job left no weights", place=str(path)) from error
    except Exception as error:  # torch.load raises nearly anything for bytes that are not a checkpoint
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        fix = fix_for(path.parent)
        raise StoreError("damaged file in the store", place=str(path), cause=cause, fix=fix) from error
    return weights


def tested_network(job: Job, store: Store, registry: Registry) -> nn.Module:
    """Return a done job's network with its weights, in evaluation mode on the CPU.

    Pretrained files are not needed, unless the network has another form with them.
    """
    weights = tested_weights(store, job.digest)
    offered = registry.model(job.model.name).pretrained
    ways = [job if "none" not in offered else replace(job, model=replace(job.model, pretrained="none")), job]
    problem = ""
    for way in ways:
        network = build_model(way, registry)
        try:
            network.load_state_dict(weights)
        except RuntimeError as error:
            problem = str(error).splitlines()[-1].strip()
            continue
        return network.eval()
    raise WeightsError(
        f"the stored weights do not fit {job.model.name}",
        place=job.name,
        cause=problem,
        fix="use the version of the model's code that trained them",
    )
