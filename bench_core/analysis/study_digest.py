"""The study digest: one hash over what the results of a study are, the same in a store and in its archive.

A report prints it, `bench verify` computes it anew, and an archive carries it: so a PDF can be tied to the
files that its numbers came from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from pathlib import PurePath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from bench_core.errors import BenchError
from bench_core.plan.expand import Plan
from bench_core.spec.model import Spec
from bench_core.store.accepted import read_accepted
from bench_core.store.manifest import manifest_of
from bench_core.store.store import Store

if TYPE_CHECKING:
    from bench_core.analysis.evidence import Evidence

DIGEST_FORMAT = 1
"""Raise it with any change to what is hashed."""
_PLACES = ("root", "folds", "weights")


def study_digest(
    spec: Spec,
    plan: Plan,
    store: Store,
    without: Collection[str] = (),
    fingerprints: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return 64 hexadecimal digits over spec, plan, and all that the store holds of its finished jobs.

    Each job counts by its manifest, which holds the size and SHA-256 of every file, weights included; whether
    the files are as listed is asked by `files` of `bench verify`. Places of files and how jobs were executed
    do not count. `without` names, by digest, jobs that are left out; `fingerprints` are those of the data of
    jobs whose results were read. Raises StoreError where the store's list of acceptances is damaged.
    """
    states = store.states()
    finished = sorted(
        job.digest for job in plan.jobs if states.get(job.digest) == "done" and job.digest not in without
    )
    jobs = {digest: _job(store, digest) for digest in finished}
    parts = {
        "format": DIGEST_FORMAT,
        "spec": without_places(spec.model_dump(mode="json", exclude_defaults=True, exclude={"runtime"})),
        "planned": sorted(job.digest for job in plan.jobs),
        "jobs": jobs,
        "datasets": {
            name: _dataset(store, name) for name in sorted(set(_fingerprints(store, finished, fingerprints)))
        },
        "accepted": [
            asdict(item) for item in read_accepted(store.path) if not jobs.keys().isdisjoint(item.results)
        ],
    }
    return _hash(parts)


def digest_of(evidence: Evidence, store: Store) -> str:
    """Return the study digest of what a report is made of, computed once."""
    if "study digest" not in evidence.memo:
        read = {job.digest: result.data.fingerprint for job, result in evidence.results}
        digest = study_digest(evidence.spec, evidence.plan, store, fingerprints=read)
        evidence.memo["study digest"] = digest
    found: str = evidence.memo["study digest"]
    return found


def without_places(data: dict[str, Any]) -> dict[str, Any]:
    """Return a spec's plain data without where files lie; plugins and own model files keep their names."""
    entries = [*data["models"], *data["datasets"]]
    entries += [step["dataset"] for step in data.get("steps", ()) if step.get("dataset")]
    for entry in entries:
        for place in _PLACES:
            entry.pop(place, None)
    for entry in data["models"]:
        prefix, colon, rest = str(entry["name"]).partition(":")
        entry["name"] = f"{prefix}{colon}{PurePath(rest).name}" if colon else prefix
    data["plugins"] = [PurePath(name).name for name in data.get("plugins", ())]
    return data


def _job(store: Store, digest: str) -> str | None:
    try:
        return _hash({name: list(fact) for name, fact in manifest_of(store.folder(digest)).items()})
    except BenchError:
        return None


def _fingerprints(store: Store, digests: list[str], known: Mapping[str, str]) -> Iterator[str]:
    for digest in digests:
        try:
            yield known[digest] if digest in known else store.result(digest).data.fingerprint
        except BenchError:
            continue


def _dataset(store: Store, fingerprint: str) -> str | None:
    """Return a hash over what is kept of a dataset; folds are dealt by any spec that uses the store."""
    try:
        plain = store.samples(fingerprint).to_json()
    except BenchError:
        return None
    del plain["folds"]
    return _hash(plain)


def _hash(data: Any) -> str:
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
