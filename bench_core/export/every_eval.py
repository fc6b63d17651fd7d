"""Results as records of Every Eval Ever, a shared schema of evaluation results (version 0.3.0).

Source: eval.schema.json and instance_level_eval.schema.json of the package every-eval-ever 0.3.0 (arXiv
2606.14516). Names, required fields and the layout data/BENCHMARK/DEVELOPER/MODEL/UUID4.json are the schema's.
It was made for language models: what it has no field for stands as text in `additional_details`.
"""

from __future__ import annotations

import hashlib
import json
import math
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from statistics import fmean, stdev
from typing import Any, Literal

from bench_core.analysis.evidence import Cell, Evidence
from bench_core.analysis.quantities import quantities
from bench_core.analysis.quantity import Quantity
from bench_core.analysis.scores import score
from bench_core.export.names import file_names
from bench_core.metrics.scale import Scale
from bench_core.report import names
from bench_core.text import json_visible
from bench_core.version import __version__

SCHEMA = "0.3.0"
Relationship = Literal["first_party", "third_party", "collaborative", "other"]
Record = dict[str, Any]
_PER_IMAGE = "The mean over an image's classes, then over the test images of all finished folds."
_UNITS = {"fraction": "proportion"}


@dataclass(frozen=True)
class Source:
    """Who publishes the results."""

    organization: str
    url: str = ""
    relationship: Relationship = "first_party"
    """Of whoever evaluated to whoever trained the models."""


def record_files(
    evidence: Evidence, source: Source, created: int, correct: float | None = None
) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Yield one JSON file per model that has any result; `created` is in seconds since 1970.

    With `correct`, each is followed by a file of records of single images (`sample_lines`). Equal results and
    times give equal files: the UUID is made of the content.
    """
    study, developer = _plain(evidence.spec.name), _plain(source.organization)
    models = {label: _plain(name) for label, name in file_names(x.label for x in evidence.models).items()}
    for model in evidence.models:
        record = _record(evidence, model.label, source, created, f"{developer}/{models[model.label]}")
        if not record["evaluation_results"]:
            continue
        folder = PurePosixPath("data", study, developer, models[model.label])
        content = _text(record, 1)
        name = uuid.UUID(bytes=hashlib.sha256(content).digest()[:16], version=4)
        if correct is None:
            yield folder / f"{name}.json", content
            continue
        lines = [*sample_lines(evidence, model.label, record, correct)]
        samples = b"".join(_text(line) for line in lines)
        record["detailed_evaluation_results"] = {
            "format": "jsonl",
            "file_path": str(folder / f"{name}_samples.jsonl"),
            "hash_algorithm": "sha256",
            "checksum": hashlib.sha256(samples).hexdigest(),
            "total_rows": len(lines),
        }
        yield folder / f"{name}.json", _text(record, 1)
        yield folder / f"{name}_samples.jsonl", samples


def sample_lines(evidence: Evidence, label: str, record: Record, correct: float) -> Iterator[Record]:
    """Yield a record of each tested image and metric that is a share, of instance_level_eval.schema.json.

    The schema asks whether an answer is correct. A segmentation is right to a degree, so whoever exports says
    from which score on it is. Images and label maps are no texts: input and output are empty.
    """
    for data in evidence.datasets:
        cell = evidence.cell(label, data.label)
        for found in quantities(evidence).values():
            scale = found.scale(data.label)
            if scale.unit != "fraction" or scale.better != "higher":
                continue
            for fold in (fold for fold in cell.folds if found.has(fold)):
                values = found.of_images(fold).tolist()
                rows = zip(fold.counts.ids, fold.counts.groups, values, strict=True)
                for sample, group, value in (row for row in rows if not math.isnan(row[2])):
                    yield {
                        "schema_version": SCHEMA,
                        "evaluation_id": record["evaluation_id"],
                        "model_id": record["model_info"]["id"],
                        "evaluation_name": data.label,
                        "evaluation_result_id": f"{data.label}/{found.name}/image_mean",
                        "sample_id": sample,
                        "interaction_type": "single_turn",
                        "input": {"raw": "", "reference": []},
                        "output": {"raw": []},
                        "answer_attribution": [],
                        "evaluation": {"score": value, "is_correct": value >= correct},
                        "metadata": {
                            "group": group,
                            "fold": str(fold.job.fold.index),
                            "repeat": str(fold.job.repeat),
                            "is_correct": f"the score is at least {correct:g}",
                        },
                    }


def _text(data: Record, indent: int | None = None) -> bytes:
    text = json.dumps(data, indent=indent, ensure_ascii=False, allow_nan=False)
    return (json_visible(text) + "\n").encode()


def _record(evidence: Evidence, label: str, source: Source, created: int, identity: str) -> Record:
    results = [
        item
        for data in evidence.datasets
        for found in quantities(evidence).values()
        for item in _results(evidence, evidence.cell(label, data.label), found)
    ]
    origin: Record = {
        "source_name": evidence.spec.name,
        "source_type": "evaluation_run",
        "source_organization_name": source.organization,
        "evaluator_relationship": source.relationship,
    }
    if source.url:
        origin["source_organization_url"] = source.url
    finished = _finished(evidence, label)
    return {
        "schema_version": SCHEMA,
        "evaluation_id": f"{evidence.spec.name}/{identity}/{created}",
        **({"evaluation_timestamp": finished} if finished else {}),
        "retrieved_timestamp": str(created),
        "source_metadata": origin,
        "eval_library": {"name": "segtrial", "version": _version(evidence, label)},
        "model_info": _model(evidence, label, source, identity),
        "evaluation_results": results,
    }


def _model(evidence: Evidence, label: str, source: Source, identity: str) -> Record:
    facts = evidence.model(label)
    details = {
        "deployment_type": "self_deployed",
        "model_availability": "unknown",
        "label": label,
        "family": facts.family,
        "runner": facts.runner,
        "track": facts.track,
        "parameters": " or ".join(map(str, facts.parameters)) or "unknown",
        "training_protocol": _compact(evidence.spec.protocol.model_dump(mode="json", exclude_none=True)),
        "seed": str(evidence.spec.seed),
    }
    if facts.options:
        details["options"] = names.options(facts)
    if facts.deviations:
        details["deviations"] = "; ".join(
            f"{item.setting}: {names.deviation(item)}" for item in facts.deviations
        )
    if facts.departures:
        details["departures"] = "; ".join(
            f"{item.what}: {names.departure(item)}" for item in facts.departures
        )
    if facts.notes:
        details["notes"] = "; ".join(facts.notes)
    return {
        "name": facts.title,
        "id": identity,
        "developer": source.organization,
        "additional_details": details,
    }


def _results(evidence: Evidence, cell: Cell, found: Quantity) -> Iterator[Record]:
    """Yield the mean over folds, as the study's table has it, and the mean over test images."""
    scale = found.scale(cell.dataset)
    folds = score(cell, found)
    if folds is not None:
        details = {
            "view": "mean over the folds of the cross-validation",
            "folds": str(len(folds.folds)),
            "folds_planned": str(folds.planned),
            **({"std_over_folds": repr(folds.std)} if folds.std is not None else {}),
        }
        yield _result(evidence, cell, found, scale, "fold_mean", {"score": folds.mean, "details": details})
    done = [fold for fold in cell.folds if found.has(fold)]
    values = [value for fold in done for value in found.of_images(fold).tolist() if not math.isnan(value)]
    if values:
        spread: Record = {"num_samples": len(values)}
        if len(values) > 1:
            spread["standard_deviation"] = stdev(values)
        groups = len({group for fold in done for group in fold.counts.groups})
        details = {
            "view": "mean over all test images of the cross-validation",
            "groups": str(groups),
            "note": "images of one group (patient, session, volume) are not independent",
        }
        scored = {"score": fmean(values), "details": details, "uncertainty": spread}
        yield _result(evidence, cell, found, scale, "image_mean", scored)


def _result(
    evidence: Evidence, cell: Cell, found: Quantity, scale: Scale, view: str, scored: Mapping[str, Any]
) -> Record:
    data = evidence.dataset(cell.dataset)
    seen = cell.folds[0].result.data
    details = {
        "label": data.label,
        "modality": data.modality,
        "license": data.license,
        "citation": data.citation,
        "classes": ", ".join(data.classes),
        "samples": str(seen.samples),
        "fingerprint": seen.fingerprint,
        "folds_fingerprint": seen.fold_hash,
    }
    return {
        "evaluation_result_id": f"{data.label}/{found.name}/{view}",
        "evaluation_name": data.label,
        "source_data": {
            "dataset_name": data.title,
            "source_type": "other",
            "additional_details": {key: value for key, value in details.items() if value},
        },
        "metric_config": {
            "evaluation_description": found.caption if view == "fold_mean" else _PER_IMAGE,
            "metric_id": f"segtrial.{found.name}.{view}",
            "metric_name": found.title
            if view == "fold_mean"
            else f"per-image {found.metric.title}{found.suffix}",
            "metric_kind": found.metric.name,
            "metric_unit": _UNITS.get(scale.unit, scale.unit),
            "lower_is_better": scale.better == "lower",
            "score_type": "continuous",
            "min_score": 0.0,
            "max_score": 1.0 if scale.unit == "fraction" else "Infinity",
        },
        "score_details": dict(scored),
    }


def _finished(evidence: Evidence, label: str) -> str:
    """Return when the model's last job ended, as the results have it; empty where none says it."""
    times: list[tuple[float, str]] = []
    for data in evidence.datasets:
        for fold in evidence.cell(label, data.label).folds:
            run = fold.result.provenance.get("run")
            text = str(run.get("finished")) if isinstance(run, Mapping) else ""
            with suppress(ValueError, OverflowError):
                times.append((datetime.fromisoformat(text).timestamp(), text))
    return max(times)[1] if times else ""


def _version(evidence: Evidence, label: str) -> str:
    """Return with which versions of segtrial the model was evaluated."""
    found = {
        str(fold.result.provenance.get("segtrial", __version__))
        for data in evidence.datasets
        for fold in evidence.cell(label, data.label).folds
    }
    return ", ".join(sorted(found)) or __version__


def _compact(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _plain(name: str) -> str:
    """Return a name as a part of the path, where `data` stands for the root only."""
    plain = file_names([name])[name]
    return f"{plain}-" if plain == "data" else plain
