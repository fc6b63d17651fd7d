"""Was every job trained under the spec's protocol, and under the same conditions as the others?"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from bench_core.analysis.provenance import HARMLESS, PER_RUN, flatten
from bench_core.analysis.verify.audit import Audit, Subject
from bench_core.analysis.verify.findings import Finding
from bench_core.plan.identity import canonical
from bench_core.plan.job import Job, JobDeviation
from bench_core.plan.resolve import choose_dataset, choose_model
from bench_core.plan.training import Cell
from bench_core.spec.loss import Losses
from bench_core.spec.protocol import Section
from bench_core.spec.training import Training
from bench_core.store.folder import JOB, RESULT


def protocol(subject: Subject, audit: Audit) -> Iterable[Finding] | None:
    """Compare the job's settings with the protocol of the spec, deviations set aside."""
    if subject.sealed is None:
        return None
    return list(_protocol(subject, subject.sealed, audit))


def _protocol(subject: Subject, sealed: Job, audit: Audit) -> Iterable[Finding]:
    declared = {item.setting: item for item in sealed.model.deviations}
    usual, here = _settings(protocol_of(subject.job, audit)), _settings(sealed.training)
    usual["pretrained"], here["pretrained"] = audit.spec.protocol.pretrained, sealed.model.pretrained
    for name in dict.fromkeys((*usual, *here)):
        before, after = usual.get(name), here.get(name)
        item = declared.pop(name, None)
        if item is None and before != after:
            text = f"{name} is {_worded(after)} and not declared, the protocol says {_worded(before)}"
            yield subject.finding(text, JOB)
        elif item is not None:
            yield from _declared(subject, item, before, after)
    for name in declared:
        yield subject.finding(f"a deviation of {name} is declared, not a setting of the protocol", JOB)


def _declared(subject: Subject, item: JobDeviation, before: Any, after: Any) -> Iterable[Finding]:
    told = canonical(item.protocol), canonical(item.value)
    if told != (before, after):
        text = (
            f"{item.setting} is {_worded(after)} where the protocol says {_worded(before)}, but the declared "
            f"deviation says {_worded(item.value)} instead of {_worded(item.protocol)}"
        )
        yield subject.finding(text, JOB)
    elif not item.because.strip():
        yield subject.finding(f"the deviation of {item.setting} has no reason", JOB)


def protocol_of(job: Job, audit: Audit) -> Training:
    """Return what the spec says of the job's dataset and stage for a model without deviations."""
    spec = audit.spec
    models = {entry.label or entry.name: entry for entry in spec.models}
    datasets = {entry.label or entry.name: entry for entry in spec.datasets}
    model = choose_model(models[job.model.label], audit.registry, spec.protocol)
    plain = replace(model, changes={}, pretrained_deviation=None)
    cell = Cell(spec.protocol, plain, choose_dataset(datasets[job.dataset.label], audit.registry))
    search = spec.protocol.search
    if job.stage == "search" and search is not None:
        return cell.training(search.epochs, search.early_stopping)
    return cell.training(spec.protocol.evaluate.epochs, spec.protocol.early_stopping)


def _settings(training: Training) -> dict[str, Any]:
    found: dict[str, Any] = {}
    data = training.model_dump(mode="json")
    for name in type(training).model_fields:
        value = getattr(training, name)
        if isinstance(value, Losses):
            found[name] = canonical(value.plain())
        elif isinstance(value, Section):
            found |= {f"{name}.{key}": canonical(value) for key, value in data[name].items()}
        else:
            found[name] = "off" if data[name] is None else canonical(data[name])
    return found


def _worded(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def environment(subject: Subject, audit: Audit) -> Iterable[Finding] | None:
    """Compare versions, hardware and threads with most jobs on the dataset; warn where they differ."""
    result = subject.result
    if result is None or not result.provenance:
        return None
    found = []
    for key, value in _conditions(subject, audit).items():
        peers = audit.same_data(subject)
        usual = audit.usual(f"environment {key}", peers, partial(_condition, audit=audit, key=key))
        if usual is not None and usual[0] != value:
            text = f"{key} is {value}, most jobs on {subject.job.dataset.label} have {usual[0]}"
            found.append(subject.finding(text, RESULT, level="warning"))
    attempts = result.provenance.get("environments")
    if isinstance(attempts, int) and attempts > 1:
        text = f"it was resumed: its attempts ran in {attempts} different environments"
        found.append(subject.finding(text, RESULT, level="warning"))
    return found


def _conditions(subject: Subject, audit: Audit) -> Mapping[str, str]:
    def read() -> dict[str, str]:
        left_out = (*PER_RUN, *HARMLESS)
        kept = flatten(subject.result.provenance) if subject.result else ()
        return {key: value for key, value in kept if key.split(".")[0] not in left_out}

    # Each job is asked once for each condition of all its peers.
    return audit.once(("conditions", subject.job.digest), read)


def _condition(subject: Subject, audit: Audit, key: str) -> str | None:
    return _conditions(subject, audit).get(key)
