"""Is the folder whole, and is each result a result of its own?"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial

import numpy as np

from bench_core.analysis.verify.audit import Audit, Subject
from bench_core.analysis.verify.findings import Finding
from bench_core.errors import BenchError
from bench_core.execute.ground import DATA, Change, effective_basis
from bench_core.plan.identity import canonical
from bench_core.plan.job import Train
from bench_core.records import Counts
from bench_core.store.accepted import Acceptance, read_accepted
from bench_core.store.files import read_json
from bench_core.store.folder import BEST, COUNTS, RESULT

ATTEMPTS = "attempts.json"


def origin(subject: Subject, audit: Audit) -> Iterable[Finding] | None:
    """Compare what the result says of its making with its attempts, and with other networks' results."""
    if subject.result is None:
        return None
    return list(_origin(subject, audit))


def _origin(subject: Subject, audit: Audit) -> Iterable[Finding]:
    result = subject.result
    if result is None:
        return
    for key in ("packages", "python", "device", "environments"):
        if key not in result.provenance:
            yield subject.finding(f"its provenance says nothing of {key}", RESULT)
            break
    path = subject.folder / ATTEMPTS
    if path.exists():
        try:
            entries = read_json(path, "")
        except BenchError as error:
            yield subject.finding(error.message, ATTEMPTS)
            return
        if not isinstance(entries, list) or len(entries) != result.attempts:
            number = len(entries) if isinstance(entries, list) else 0
            yield subject.finding(f"it lists {number} attempts, the result says {result.attempts}", ATTEMPTS)
    yield from _twins(subject, audit)
    yield from _same_weights(subject, audit)


def _twins(subject: Subject, audit: Audit) -> Iterable[Finding]:
    """Find jobs on the same images with the very same results that they cannot have.

    Losses are never equal to the last digit where anything in training differs, counts not where the network
    differs.
    """
    mine = _results(subject, audit)
    if mine is None:
        return
    for peer in audit.same_split(subject):
        if peer is subject:
            # Of two that are equal the later one is named.
            return
        theirs = _results(peer, audit)
        if theirs is None or peer.job.learning_rate != subject.job.learning_rate:
            continue
        # Nearly all jobs differ in their results, which are asked first.
        for what, differ, which in (
            ("losses", _recipe, "trained otherwise"),
            ("counts", _network, "another network"),
        ):
            if mine[what] and mine[what] == theirs[what] and differ(peer) != differ(subject):
                text = f"its {what} are exactly those of {peer.job.name}, which is {which}"
                yield subject.finding(text, RESULT if what == "losses" else COUNTS)


def _same_weights(subject: Subject, audit: Audit) -> Iterable[Finding]:
    """Find weights that another job has whose training went otherwise: they were copied."""
    mine = subject.result.files.get(BEST) if subject.result is not None else None
    if mine is None:
        return
    first: Subject = audit.once(("copied weights", mine), lambda: subject)
    if _course(first) != _course(subject):
        yield subject.finding(f"its weights are exactly those of {first.job.name}", BEST)


def _course(subject: Subject) -> tuple[object, ...]:
    """Return recipe, images and losses up to the chosen epoch: what equal weights have in common."""
    job, training = subject.job, subject.training
    losses = () if training is None else [record.loss for record in training.history]
    chosen = 0 if training is None else training.chosen_epoch + 1
    return _recipe(subject), job.dataset.label, job.fold.index, job.repeat, tuple(losses[:chosen])


def _network(subject: Subject) -> str:
    model = subject.job.model
    parts = [model.name, model.version, model.pretrained, model.content, dict(model.options)]
    return json.dumps(canonical(parts), sort_keys=True)


def _recipe(subject: Subject) -> str:
    """Return network and training; how long it trains and which epoch is chosen may have no effect."""
    work, network = subject.job.work, _network(subject)
    if not isinstance(work, Train):
        return network
    settings = work.training.model_dump(mode="json", exclude={"epochs", "early_stopping", "checkpoint"})
    return network + json.dumps(canonical(settings), sort_keys=True)


def _results(subject: Subject, audit: Audit) -> dict[str, object] | None:
    return audit.once(("results", subject.job.digest), lambda: _read_results(subject))


def _read_results(subject: Subject) -> dict[str, object] | None:
    if subject.training is None:
        return None
    counts = subject.counts
    return {
        "losses": tuple(record.loss for record in subject.training.history),
        "counts": counts.values.tobytes() if counts is not None and _telling(counts) else None,
    }


def _telling(counts: Counts) -> bool:
    """Say whether counts have hits, misses and false alarms: constant predictions are alike by nature."""
    return bool(np.all(counts.values.sum(axis=(0, 1)) > 0))


def basis(subject: Subject, audit: Audit) -> Iterable[Finding] | None:
    """Compare data, plugin files and weights files with those of the other jobs of the cell, and with now."""
    if subject.result is None:
        return None
    return list(_basis(subject, audit))


def _basis(subject: Subject, audit: Audit) -> Iterable[Finding]:
    result = subject.result
    if result is None:
        return
    accepted: tuple[Acceptance, ...] = audit.once("accepted", lambda: read_accepted(audit.store.path))
    if result.basis.get(DATA, result.data.fingerprint) != result.data.fingerprint:
        yield subject.finding("it names two fingerprints of its data", RESULT)
    peers = audit.same_cell(subject)
    for name, digest in effective_basis(result, accepted).items():
        usual = audit.usual(f"basis {name}", peers, partial(_part, name=name, accepted=accepted))
        if name != DATA and usual is not None and usual[0] != digest:
            text = f"{name} is {digest[:12]}, {usual[1].job.name} has {usual[0][:12]}"
            yield subject.finding(text, RESULT)
    if audit.ground is not None:
        for change in audit.ground.changes(subject.job, result, accepted):
            yield subject.finding(f"stale: {change}", RESULT)
    for acceptance in accepted:
        for what, pair in acceptance.results.get(subject.job.digest, {}).items():
            text = f"{Change(what, *pair)}, accepted by {acceptance.by}: {acceptance.because}"
            yield subject.finding(text, RESULT, level="warning")


def _part(subject: Subject, name: str, accepted: tuple[Acceptance, ...]) -> str | None:
    return effective_basis(subject.result, accepted).get(name) if subject.result is not None else None
