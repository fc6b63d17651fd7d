"""Where the numbers come from and how to get them again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.provenance import data_identities, effort, traits
from bench_core.analysis.study_digest import digest_of
from bench_core.report import names
from bench_core.report.blocks import Block, Callout, Code, Details, Facts, Prose, Section
from bench_core.report.names import plural
from bench_core.report.protocol import protocol_lines
from bench_core.report.tables import Cell, Column, Row, Table
from bench_core.store.store import Store

_SHORT = 16
DIGEST_KEY = "study/digest"
"""By which a paper quotes the digest of the study."""


def section(evidence: Evidence, options: Mapping[str, Any]) -> Section:
    """Return warnings, protocol, environment, data, effort, exclusions and the commands to repeat it all."""
    blocks: list[Block] = [*_warnings(evidence)]
    blocks.append(
        Details(
            "Protocol", (Facts(tuple((*line, False) for line in protocol_lines(evidence.spec))),), open=True
        )
    )
    if evidence.results:
        if evidence.store is not None:
            blocks.append(digest_table(evidence, evidence.store))
        blocks.append(Details("Environment", (Facts(_environment(evidence)),), open=True))
        blocks.append(Details("Data", (data_table(evidence),), open=True))
        weights = weights_table(evidence)
        if weights.rows:
            blocks.append(Details("Pretrained weights", (weights,), open=True))
        blocks.append(Details("Effort", (effort_table(evidence),), open=True))
    blocks.append(Details("Options, deviations and exclusions", tuple(_exceptions(evidence)), open=True))
    blocks.append(Details("How to repeat it", _repeat(evidence, bool(options["spec"])), open=True))
    if options["jobs"]:
        blocks.append(Details("Every job", (job_table(evidence),)))
    return Section("provenance", "Provenance, and how to repeat it", tuple(blocks))


def _warnings(evidence: Evidence) -> list[Block]:
    found: list[Block] = []
    differing = [
        f"{trait.key}: "
        + ", ".join(f"{value} ({plural(number, 'job')})" for value, number in trait.values.items())
        for trait in traits(evidence)
        if trait.suspicious
    ]
    if differing:
        text = "Jobs of this report ran under different conditions; numbers may differ for that reason alone."
        found.append(Callout("warning", text, tuple(differing)))
    for data in data_identities(evidence):
        if not data.consistent:
            title = evidence.dataset(data.dataset).title
            text = f"Jobs on {title} did not see the same samples in the same folds."
            seen = (
                *(f"samples {value}" for value in data.fingerprints),
                *(f"folds {value}" for value in data.fold_hashes),
            )
            found.append(Callout("warning", text, seen))
    return found


def _environment(evidence: Evidence) -> tuple[tuple[str, str, bool], ...]:
    runners = Counter(job.model.runner for job, _ in evidence.results)
    used = "; ".join(f"{name} ({plural(number, 'job')})" for name, number in sorted(runners.items()))
    rows = [("seed", str(evidence.spec.seed), False), ("runner", used, False)]
    for trait in traits(evidence):
        if trait.same:
            value = next(iter(trait.values))
        else:
            value = "; ".join(f"{text} ({plural(number, 'job')})" for text, number in trait.values.items())
        rows.append((trait.key, value, trait.suspicious))
    return tuple(rows)


def digest_table(evidence: Evidence, store: Store) -> Table:
    """Return what ties this report to the files that its numbers came from."""
    digest = digest_of(evidence, store)
    done = len({job.digest for job in evidence.plan.jobs if store.is_done(job.digest)})
    cells = (
        Cell(evidence.spec.name),
        Cell(f"{done} of {len(evidence.plan.jobs)}", (done, len(evidence.plan.jobs))),
        Cell(digest, quotes=((DIGEST_KEY, digest),)),
    )
    return Table(
        name="digest",
        title="What this report was made from",
        columns=(
            Column("study", "Study", numeric=False),
            Column("jobs", "Finished jobs", ("done", "planned")),
            Column("digest", "Study digest", numeric=False),
        ),
        rows=(Row(cells),),
        caption="A hash over spec, plan and every file of every finished job. `bench verify ARCHIVE --digest "
        "DIGEST` says whether an archive holds these results and no others.",
    )


def data_table(evidence: Evidence) -> Table:
    """Return what each dataset was: fingerprint, fold hash, sizes."""
    rows = []
    for data in data_identities(evidence):
        facts = evidence.dataset(data.dataset)
        sizes = ", ".join(f"{key.removeprefix('sizes.')} {value}" for key, value in data.sizes.items())
        cells = (
            Cell(facts.title, (data.dataset,)),
            Cell(facts.modality or "–"),
            Cell(", ".join(facts.classes)),
            Cell(", ".join(facts.attributes) or "–"),
            Cell(facts.license or "–"),
            Cell(names.grouping(facts) or "–"),
            _hashes(data.fingerprints),
            _hashes(data.fold_hashes),
            Cell(sizes or "–"),
        )
        rows.append(Row(cells))
    titles = {
        **{key: key.capitalize() for key in ("dataset", "modality", "classes", "attributes", "license")},
        **{"grouping": "Grouping", "fingerprint": "Samples", "fold_hash": "Folds", "sizes": "Sizes"},
    }
    return Table(
        name="data",
        title="Data as the jobs saw it",
        columns=tuple(Column(key, title, numeric=False) for key, title in titles.items()),
        rows=tuple(rows),
        caption="Grouping: the option by which the reader keeps samples together. Samples: hash over the "
        "files' content. Folds: hash over the assignment of samples to folds.",
    )


def weights_table(evidence: Evidence) -> Table:
    """Return the files that networks were filled from, as the results recorded them: name, hash, tensors."""
    seen: dict[tuple[str, ...], int] = {}
    for done in evidence.done:
        network = done.result.network
        facts = network.weights if network is not None else {}
        files = {
            name.removeprefix("weights "): digest
            for name, digest in done.result.basis.items()
            if name.startswith("weights ")
        }
        if facts.get("file"):
            files.setdefault(str(facts["file"]), str(facts.get("sha256", "")))
        filled = f"{facts['loaded']} of {facts['total']}" if {"loaded", "total"} <= set(facts) else "–"
        if done.job.work.kind == "train":
            for name, digest in files.items():
                key = (done.job.model.label, str(facts.get("source", "")) or "–", name, digest, filled)
                seen[key] = seen.get(key, 0) + 1
    rows = [
        Row((Cell(evidence.model(label).title, (label,)), Cell(source), Cell(name), Cell(digest),
             Cell(filled), Cell(str(jobs), (jobs,))))
        for (label, source, name, digest, filled), jobs in seen.items()
    ]  # fmt: skip
    return Table(
        name="weights",
        title="Pretrained weights as the jobs read them",
        columns=(
            Column("model", "Model", numeric=False),
            Column("source", "Source", numeric=False),
            Column("file", "File", numeric=False),
            Column("sha256", "SHA-256", numeric=False),
            Column("tensors", "Tensors filled", numeric=False),
            Column("jobs", "Jobs"),
        ),
        rows=tuple(rows),
        caption="Each job hashes the file that it reads; a model with two rows was not the same in all jobs.",
    )


def _hashes(values: tuple[str, ...]) -> Cell:
    short = ", ".join(value[:_SHORT] + ("…" if len(value) > _SHORT else "") for value in values)
    return Cell(short or "–", (" ".join(values),))


def effort_table(evidence: Evidence) -> Table:
    """Return wall time, epochs and memory a stage."""
    rows = []
    stages: list[tuple[str, str | None]] = [(stage, stage) for stage in evidence.plan.stages]
    for title, stage in (*stages, ("together", None)):
        taken = effort(evidence, stage)
        if taken.jobs:
            rows.append(
                Row(
                    (
                        Cell(title),
                        Cell(str(taken.jobs), (taken.jobs,)),
                        Cell(names.duration(taken.seconds), (taken.seconds,)),
                        Cell(
                            f"{taken.epochs} of {taken.epochs_planned}" if taken.epochs_planned else "–",
                            (taken.epochs, taken.epochs_planned),
                        ),
                        Cell(str(taken.stopped_early), (taken.stopped_early,)),
                        Cell(str(taken.resumed), (taken.resumed,)),
                        Cell(names.size(taken.peak_memory_bytes), (taken.peak_memory_bytes,)),
                    )
                )
            )
    return Table(
        name="effort",
        title="What the finished jobs took",
        columns=(
            Column("stage", "Stage", numeric=False),
            Column("jobs", "Jobs"),
            Column("seconds", "Job time"),
            Column("epochs", "Epochs", ("run", "planned")),
            Column("stopped_early", "Stopped early"),
            Column("resumed", "Resumed"),
            Column("peak_memory_bytes", "Largest memory"),
        ),
        rows=tuple(rows),
        caption="Job time is the sum over jobs, whether they ran one after the other or side by side.",
    )


def _exceptions(evidence: Evidence) -> list[Block]:
    rows = [
        (f"{model.title}: options", names.options(model), False) for model in evidence.models if model.options
    ]
    rows += [
        (f"{data.title}: options", names.options(data), False) for data in evidence.datasets if data.options
    ]
    rows += [
        (f"{model.title}: {item.setting}", names.deviation(item), False)
        for model in evidence.models
        for item in model.deviations
    ]
    rows += [
        (f"{model.title}: {item.what}", names.departure(item), False)
        for model in evidence.models
        for item in model.departures
    ]
    rows += [(model.title, names.procedure(model), False) for model in evidence.models if model.own_protocol]
    rows += [(model.title, note, False) for model in evidence.models for note in model.notes]
    rows += [
        (f"{cell.model} on {cell.dataset}", f"excluded: {cell.excluded}", False)
        for cell in evidence.cells.values()
        if cell.excluded is not None
    ]
    rows += [
        (f"{item.step} on jobs of {item.whose}", f"not worked on: {item.because}", False)
        for item in evidence.plan.passed_over
    ]
    if rows:
        return [Facts(tuple(rows))]
    return [
        Prose(
            (
                "None: every model ran on every dataset, both with their default options, under the protocol "
                "as it is.",
            )
        )
    ]


def _repeat(evidence: Evidence, with_spec: bool) -> tuple[Block, ...]:
    commands = "\n".join(names.bench(evidence, verb) for verb in ("validate", "run", "report"))
    blocks: list[Block] = [
        Prose(
            ("With the versions above, the spec below and the same data, these commands give the same jobs:",)
        ),
        Code(commands),
    ]
    if with_spec:
        data = _portable(
            evidence.spec.model_dump(mode="json", exclude_unset=True, exclude_none=True), evidence.base
        )
        text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)
        blocks.append(Details("The resolved spec", (Code(text),)))
    return tuple(blocks)


def _portable(data: Any, base: Path | None) -> Any:
    """Return the data with paths below the spec's folder made relative to it again."""
    if isinstance(data, dict):
        return {key: _portable(value, base) for key, value in data.items()}
    if isinstance(data, list):
        return [_portable(value, base) for value in data]
    if (
        base is not None
        and isinstance(data, str)
        and Path(data).is_absolute()
        and Path(data).is_relative_to(base)
    ):
        return str(Path(data).relative_to(base))
    return data


def job_table(evidence: Evidence) -> Table:
    """Return every planned job with its digest and state."""
    gaps = {gap.job.digest: gap.state for gap in evidence.gaps}
    results = {done.job.digest: done.result for done in evidence.done}
    rows = []
    for job in evidence.plan.jobs:
        result = results.get(job.digest)
        trained = result.training if result else None
        cells = (
            Cell(job.name),
            Cell(gaps.get(job.digest, "done")),
            Cell(job.digest),
            Cell(names.duration(result.seconds) if result else "–", (result.seconds if result else None,)),
            Cell(str(trained.epochs_run) if trained else "–", (trained.epochs_run if trained else None,)),
        )
        rows.append(Row(cells))
    return Table(
        name="jobs",
        title="Every job and its digest, the name of its folder in the store",
        columns=(
            Column("job", "Job", numeric=False),
            Column("state", "State", numeric=False),
            Column("digest", "Digest", numeric=False),
            Column("seconds", "Wall time"),
            Column("epochs", "Epochs"),
        ),
        rows=tuple(rows),
    )
