"""Which finished networks of a study are taken: one fold's, the best fold's, or all that vote."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench_core.errors import StoreError, UnknownNameError
from bench_core.execute.ground import PLUGIN, changes_between, effective_basis, kind_of, plugin_basis
from bench_core.execute.sources import tested_network
from bench_core.files.hashes import sha256_of
from bench_core.plan.expand import Plan
from bench_core.plan.job import Job, Train
from bench_core.plugins.registry import Registry, unknown
from bench_core.records import TrainingRecord
from bench_core.store.accepted import read_accepted
from bench_core.store.folder import BEST, fix_for
from bench_core.store.result import Result
from bench_core.store.store import Store

if TYPE_CHECKING:
    from torch import nn

ALL, BEST_FOLD = "all", "best"


@dataclass(frozen=True)
class Wanted:
    """What a user asks for."""

    model: str
    """Label of a model."""
    dataset: str | None = None
    """Label of the dataset that it was trained on; None where there is one."""
    fold: str = ALL
    """all, best, or the number of one."""
    repeat: int = 0


@dataclass(frozen=True)
class Member:
    """A finished job and its network."""

    job: Job
    result: Result
    weights_sha256: str
    store: Store
    registry: Registry

    @property
    def training(self) -> TrainingRecord:
        """How it was trained."""
        assert self.result.training is not None
        return self.result.training

    @property
    def random_at_inference(self) -> bool:
        """Whether its network draws random numbers when it predicts."""
        return self.registry.model(self.job.model.name).random_at_inference

    def network(self) -> nn.Module:
        """Return its network with its tested weights, in evaluation mode on the CPU.

        Raises WeightsError where the weights do not fit the model's code.
        """
        return tested_network(self.job, self.store, self.registry)


@dataclass(frozen=True)
class Chosen:
    """The networks that were asked for, of one model on one dataset."""

    members: tuple[Member, ...]
    how: str
    """In words: the mean of 5 folds; fold 2, which is the best."""
    notes: tuple[str, ...] = ()

    @property
    def job(self) -> Job:
        """The first one's job; pixels, scoring and training are the same for all."""
        return self.members[0].job


def choose(plan: Plan, registry: Registry, store: Store, wanted: Wanted, command: str) -> Chosen:
    """Return the networks that are wanted; `command` is the words behind `bench run` that would train them.

    Raises UnknownNameError for a model, dataset, fold or repeat that the study does not have, StoreError for
    networks that are not finished, damaged, of other code than now, or none of ours to run.
    """
    jobs = _planned(plan, wanted)
    fix = f"bench run {command} --store {shlex.quote(str(store.path))}"
    done = [job for job in jobs if store.is_done(job.digest)]
    missing = [job for job in jobs if not store.is_done(job.digest)]
    numbers = ", ".join(str(job.fold.index) for job in missing)
    if missing and (wanted.fold != BEST_FOLD or not done):
        others = "" if wanted.fold != ALL or not done else ", or choose --fold best"
        raise StoreError(
            f"{wanted.model} on {jobs[0].dataset.label} is not finished: fold {numbers}",
            place=str(store.path),
            fix=f"{fix}{others}",
        )
    members = [_member(job, registry, store, fix) for job in done]
    if wanted.fold == ALL:
        folds = ", ".join(str(member.job.fold.index) for member in members)
        how = f"the mean probability of folds {folds}" if len(members) > 1 else f"fold {folds}"
        return Chosen(tuple(members), how)
    if wanted.fold != BEST_FOLD:
        return Chosen(tuple(members), f"fold {wanted.fold}")
    # The first of equals; an undefined value is below all others.
    best = max(members, key=lambda member: (member.training.best_value >= 0, member.training.best_value))
    how = (
        f"fold {best.job.fold.index}, the best of {len(members)} by {best.training.monitor} on its own "
        f"validation images ({best.training.best_value:.4f})"
    )
    if len(members) == 1:
        how = f"fold {best.job.fold.index}, the only one"
    notes = (f"fold {numbers} is not finished and was not compared",) if missing else ()
    return Chosen((best,), how, notes)


def _planned(plan: Plan, wanted: Wanted) -> list[Job]:
    """Return the evaluate jobs that are asked for, in the order of folds."""
    if wanted.model not in plan.models:
        raise unknown("model", wanted.model, plan.models)
    if wanted.dataset is not None and wanted.dataset not in plan.datasets:
        raise unknown("dataset", wanted.dataset, plan.datasets)
    jobs = [job for job in plan.jobs if job.stage == "evaluate" and job.model.label == wanted.model]
    datasets = list(dict.fromkeys(job.dataset.label for job in jobs))
    if wanted.dataset is None and len(datasets) > 1:
        raise UnknownNameError(
            f"{wanted.model} is trained on {len(datasets)} datasets",
            fix="name one: " + " or ".join(f"--dataset {shlex.quote(name)}" for name in datasets),
        )
    jobs = [job for job in jobs if wanted.dataset in (None, job.dataset.label)]
    if not jobs:
        raise UnknownNameError(f"the study trains no {wanted.model} on {wanted.dataset}")
    repeats = sorted({job.repeat for job in jobs})
    if wanted.repeat not in repeats:
        raise _unknown_number("repeat", wanted.repeat, repeats)
    jobs = sorted((job for job in jobs if job.repeat == wanted.repeat), key=lambda job: job.fold.index)
    own = next((job for job in jobs if not isinstance(job.work, Train)), None)
    if own is not None:
        raise StoreError(
            f"{wanted.model} is the work of runner {own.model.runner}, which has a procedure of its own",
            cause="its network and what it does to an image are known to that runner alone",
            fix="predict with that framework's own commands",
        )
    if wanted.fold in (ALL, BEST_FOLD):
        return jobs
    found = [job for job in jobs if str(job.fold.index) == wanted.fold]
    if not found:
        raise _unknown_number("fold", wanted.fold, [job.fold.index for job in jobs])
    return found


def _unknown_number(kind: str, number: object, known: Sequence[int]) -> UnknownNameError:
    listed = ", ".join(map(str, known))
    return UnknownNameError(f"the study has no {kind} {number}", fix=f"choose --{kind} from {listed}")


def _member(job: Job, registry: Registry, store: Store, fix: str) -> Member:
    store.check_quickly(job.digest)
    result = store.result(job.digest)
    folder = store.folder(job.digest)
    path = folder / BEST
    if path.is_symlink() or not path.is_file():
        raise StoreError(
            f"the weights of {job.name} are not here",
            place=str(path),
            fix="an archive holds them where it was packed with --weights"
            if job.digest in store.left_out
            else fix_for(folder),
        )
    found = sha256_of(path)
    if result.training is None or result.files.get(BEST) != found:
        raise StoreError(
            "the weights are not those that were tested",
            place=str(path),
            cause=f"their SHA-256 is {found[:12]}, the result says {result.files.get(BEST, 'nothing')[:12]}",
            fix=fix_for(folder),
        )
    was = effective_basis(result, read_accepted(store.path))
    changed = changes_between(
        {name: digest for name, digest in was.items() if kind_of(name) == PLUGIN},
        plugin_basis(job, registry),
    )
    if changed:
        raise StoreError(
            f"{job.name} was trained with other code: {'; '.join(map(str, changed))}",
            place=str(store.path),
            fix=f"{fix}, or `bench accept` if it computes the same",
        )
    return Member(job, result, found, store, registry)


def facts_of(chosen: Chosen, store: Path) -> list[dict[str, object]]:
    """Return what is written beside predictions and exports of each network, as plain JSON data."""
    return [
        {
            "job": member.job.name,
            "digest": member.job.digest,
            "store": str(store.absolute()),
            "fold": member.job.fold.index,
            "repeat": member.job.repeat,
            "epoch": member.training.chosen_epoch,
            "validation": {member.training.monitor: member.training.best_value},
            "weights_sha256": member.weights_sha256,
            "dataset_fingerprint": member.result.data.fingerprint,
        }
        for member in chosen.members
    ]
