"""What a store keeps of each dataset: once per fingerprint, never part of a digest."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench_core.analysis.gather import gather
from bench_core.errors import StoreError
from bench_core.samples import Samples
from bench_core.store.store import Store
from tests.helpers.small_study import load, run

FINGERPRINT = "ab" * 32


def samples(**folds: tuple[int, ...]) -> Samples:
    return Samples(
        fingerprint=FINGERPRINT,
        ids=("a", "b", "é"),
        groups=("p", "p", "q"),
        sizes=np.array([[4, 6], [4, 4], [8, 2]]),
        spacing=None,
        attributes={"sex": ("f", None, "m"), "age": (61.0, 40.5, None)},
        folds=folds,
    )


def test_samples_are_read_as_they_were_kept_and_folds_are_added(tmp_path: Path) -> None:
    store = Store(tmp_path / "results", create=True)
    store.keep_samples(samples(first=(0, 0, 1)))
    store.keep_samples(samples(second=(1, 1, 0)))
    assert store.samples(FINGERPRINT).to_json() == samples(first=(0, 0, 1), second=(1, 1, 0)).to_json()
    assert [path.name for path in store.datasets.iterdir()] == [f"{FINGERPRINT}.json"]


def test_what_is_known_already_is_not_written_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "results", create=True)
    store.keep_samples(samples(first=(0, 0, 1), second=(1, 1, 0)))
    before = (store.datasets / f"{FINGERPRINT}.json").stat()
    store.keep_samples(samples(second=(1, 1, 0)))
    after = (store.datasets / f"{FINGERPRINT}.json").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "results", create=True)
    store.keep_samples(samples())
    assert store.samples(FINGERPRINT) is store.samples(FINGERPRINT)
    store.keep_samples(samples(second=(1, 1, 0)))
    assert store.samples(FINGERPRINT).folds == {"second": (1, 1, 0)}
    (store.datasets / f"{FINGERPRINT}.json").write_text("{}")
    with pytest.raises(StoreError):
        store.samples(FINGERPRINT)


def test_newer_attributes_replace_older_ones(tmp_path: Path) -> None:
    store = Store(tmp_path / "results", create=True)
    store.keep_samples(samples(first=(0, 0, 1)))
    store.keep_samples(replace(samples(), attributes={"scanner": ("x", "y", "x")}))
    found = store.samples(FINGERPRINT)
    assert dict(found.attributes) == {"scanner": ("x", "y", "x")} and "first" in found.folds


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1}', '{"ids": NaN}', "null"])
def test_a_damaged_file_is_named_and_written_anew_by_the_next_job(content: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "results", create=True)
    path = store.datasets / f"{FINGERPRINT}.json"
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(StoreError, match="damaged") as caught:
        store.samples(FINGERPRINT)
    assert caught.value.place == str(path)
    store.keep_samples(samples())
    assert store.samples(FINGERPRINT).ids == ("a", "b", "é")


def test_a_description_of_another_dataset_is_not_believed(tmp_path: Path) -> None:
    store = Store(tmp_path / "results", create=True)
    store.keep_samples(samples())
    (store.datasets / f"{FINGERPRINT}.json").rename(store.datasets / f"{'cd' * 32}.json")
    with pytest.raises(StoreError, match="damaged"):
        store.samples("cd" * 32)
    for name in (FINGERPRINT, "../store", "x"):
        with pytest.raises(StoreError):
            store.samples(name)


@pytest.mark.usefixtures("one_thread")
def test_jobs_keep_it_and_evidence_finds_it_by_label(tmp_path: Path) -> None:
    loaded, plan = load(tmp_path, epochs=1)
    store = Store(tmp_path / "results", create=True)
    evidence = gather(loaded.spec, plan, loaded.registry, store)
    with pytest.raises(StoreError, match="no job on dots is finished"):
        evidence.samples("dots")
    digests = [job.digest for job in plan.jobs]
    run(plan.jobs[0], store, loaded.registry)
    found = gather(loaded.spec, plan, loaded.registry, store).samples("dots")
    assert found.fingerprint == store.result(digests[0]).data.fingerprint
    assert len(found.ids) == 15 and found.sizes.tolist() == [[16, 16]] * 15
    (folds,) = found.folds.values()
    tested = {sample for sample, fold in zip(found.ids, folds, strict=True) if fold in plan.jobs[0].fold.test}
    assert tested == set(store.predictions(digests[0]).ids)
    (path,) = store.datasets.iterdir()
    data = json.loads(path.read_text())
    data["attributes"]["site"] = ["north"] * 15
    path.write_text(json.dumps(data))
    evidence = gather(loaded.spec, plan, loaded.registry, store)
    assert evidence.dataset("dots").attributes == ("site",)
    path.unlink()
    evidence = gather(loaded.spec, plan, loaded.registry, store)
    assert evidence.dataset("dots").attributes == () and [job.digest for job in plan.jobs] == digests
    with pytest.raises(StoreError, match="keeps no description") as caught:
        evidence.samples("dots")
    assert "bench data" in (caught.value.fix or "")
