"""Pretrained against scratch on real MRI slices, and U-Net on every dataset of the first release.

    python benchmarks/pretrained.py [--store DIR] [--only mni152] [--folds 0 1 2 3 4] [--json]

Runs benchmarks/pretrained.yaml through the usual way (spec, plan, jobs, store), one job after the other, and
prints the validation mDSC of every epoch, averaged over folds, and the test mDSC of each fold. Goes on where
it was stopped when given the same --store.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench_core.declarations import JobEvent
from bench_core.execute.job import run_job
from bench_core.plan.expand import make_plan
from bench_core.plan.job import Job
from bench_core.protocol.interfaces import RunOptions
from bench_core.protocol.metrics import micro
from bench_core.spec.load import LoadedSpec, load_spec
from bench_core.store.store import Store

SPEC = Path(__file__).with_suffix(".yaml")
PAIR = ("lite0-imagenet", "lite0-scratch")


def run(loaded: LoadedSpec, jobs: list[Job], store: Store) -> None:
    """Run what is not done; a failed job ends the script with its error."""
    for job in jobs:
        if not store.is_done(job.digest):
            print(job.name, file=sys.stderr)
            run_job(job, store, loaded.registry, RunOptions(), _tell)


def _tell(event: JobEvent) -> None:
    if event.kind == "epoch":
        print(f"  epoch {event.epoch + 1:>2}: mDSC {event.metrics['mdsc']:.4f}", file=sys.stderr)


def gather(jobs: list[Job], store: Store) -> dict[str, dict[str, dict[str, Any]]]:
    """Return dataset to model to its curves and scores."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for job in jobs:
        result = store.result(job.digest)
        cell = found.setdefault(job.dataset.label, {}).setdefault(
            job.model.label, {"folds": [], "curves": [], "test": [], "loaded": result.model_facts}
        )
        cell["folds"].append(job.fold.index)
        cell["curves"].append([record.validation["mdsc"] for record in result.history])
        cell["test"].append(micro(store.counts(job.digest).values)["mdsc"])
    return found


def show(found: dict[str, dict[str, dict[str, Any]]]) -> None:
    """Print curves and scores in percent."""
    for dataset, models in found.items():
        print(f"\n{dataset}: validation mDSC an epoch (mean over folds), then test mDSC of each fold")
        for model, cell in models.items():
            curve = [statistics.fmean(values) for values in zip(*cell["curves"], strict=True)]
            print(f"  {model:<16}" + " ".join(f"{100 * value:5.1f}" for value in curve))
            scores = " ".join(f"{100 * value:5.1f}" for value in cell["test"])
            print(f"  {'':<16}test {scores}   mean {100 * statistics.fmean(cell['test']):.2f}")
        if all(model in models for model in PAIR):
            better, worse = (models[model]["test"] for model in PAIR)
            gains = [100 * (a - b) for a, b in zip(better, worse, strict=True)]
            won = sum(gain > 0 for gain in gains)
            print(
                f"  pretrained beats scratch in {won} of {len(gains)} folds, by {statistics.fmean(gains):.2f}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--only", nargs="+", default=[], help="labels of datasets or models")
    parser.add_argument("--folds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    loaded = load_spec(SPEC, arguments.set)
    jobs = [job for job in make_plan(loaded.spec, loaded.registry).jobs if job.fold.index in arguments.folds]
    for labels in ({job.dataset.label for job in jobs}, {job.model.label for job in jobs}):
        wanted = labels.intersection(arguments.only)
        if wanted:
            jobs = [job for job in jobs if {job.dataset.label, job.model.label} & wanted]
    with tempfile.TemporaryDirectory() as folder:
        store = Store(arguments.store or Path(folder) / "store", create=True)
        run(loaded, jobs, store)
        found = gather(jobs, store)
    if arguments.json:
        print(json.dumps(found, indent=2))
    else:
        show(found)


if __name__ == "__main__":
    main()
