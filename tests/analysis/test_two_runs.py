"""`bench compare STORE1 STORE2`: what two runs of one study share, and how far apart their numbers are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench_core.export.pack import pack
from bench_core.metrics.counts import micro
from bench_core.plan.expand import make_plan
from bench_core.plan.identity import digest_of
from bench_core.plan.job import Job
from bench_core.store import folder as files
from bench_core.store.store import Store
from tests.helpers.bench import call_bench
from tests.helpers.forgeries import counts, halved, result, sealed, without
from tests.helpers.forgery_list import other_hardware
from tests.helpers.verified_study import STOPPING, Finished

Other = tuple[Path, dict[str, Path]]


@pytest.fixture
def other(verified_study: Finished, tmp_path: Path) -> Other:
    """A copy of the store, and its folders by the jobs' names."""
    store = tmp_path / "other"
    shutil.copytree(verified_study.store, store, ignore=shutil.ignore_patterns("cache"))
    return store, {
        item.job.name: store / "jobs" / item.job.digest for item in verified_study.audit().subjects
    }


def compared(*words: str | Path) -> Any:
    done = call_bench("compare", *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def of(data: Any, model: str) -> Any:
    return next(cell for cell in data["cells"] if cell["model"] == model)


def evaluated(folders: dict[str, Path], model: str) -> list[Path]:
    return [folder for name, folder in folders.items() if name.startswith(f"evaluate/{model}/")]


def mdsc(folder: Path) -> float:
    return float(micro(files.read_counts(folder).values)["mdsc"])


def test_a_copy_is_identical_and_so_is_an_archive(
    verified_study: Finished, other: Other, tmp_path: Path
) -> None:
    plan = make_plan(verified_study.loaded.spec, verified_study.loaded.registry)
    archive = pack(verified_study.loaded, plan, Store(other[0]), tmp_path / "a.zip").path
    for place in (other[0], archive):
        found = compared(verified_study.store, place)
        assert found["stages"] == {
            "evaluate": {"jobs": 9, "equal": 9},
            "search": {"jobs": 6, "equal": 6},
        }
        assert {cell["verdict"] for cell in found["cells"]} == {"identical"}
        assert all(cell["equal_weights"] == 3 and cell["difference"] == 0 for cell in found["cells"])
        assert found["only"] == [[], []] and found["differing"] == {}


def test_differences_are_the_numbers_of_the_counts_and_are_judged_over_groups(
    verified_study: Finished, other: Other
) -> None:
    store, folders = other
    for folder in evaluated(folders, "heavy"):
        counts(folder, lambda found, rows: halved(found, range(len(found.ids))))
        result(folder, other_hardware)
    # One image by one pixel: far below the margin and the noise of folds.
    one = folders["evaluate/pairs/dots/fold-0"]
    counts(
        one, lambda found, rows: found.values.__setitem__((rows[0], 0, 1), found.values[rows[0], 0, 1] + 1)
    )
    sealed(folders.values())
    found = compared(verified_study.store, store)
    heavy, pairs = of(found, "heavy"), of(found, "pairs")
    sides = [
        [mdsc(base / "jobs" / folder.name) for folder in evaluated(folders, "heavy")]
        for base in (verified_study.store, store)
    ]
    assert heavy["first"] == pytest.approx(np.mean(sides[0])) and heavy["second"] == pytest.approx(
        np.mean(sides[1])
    )
    assert heavy["difference"] == pytest.approx(np.mean(sides[1]) - np.mean(sides[0]))
    assert heavy["noise"] == {"over": "folds", "size": pytest.approx(np.std(sides[0], ddof=1))}
    assert (heavy["verdict"], heavy["equal"], heavy["equal_weights"]) == ("different", 0, 3)
    assert heavy["within_noise"] is (abs(heavy["difference"]) <= heavy["noise"]["size"])
    assert heavy["interval"][0] > 0
    assert (pairs["verdict"], pairs["equal"], pairs["within_noise"]) == ("equivalent", 2, True)
    assert of(found, "dots-net")["verdict"] == "identical"
    assert any(
        text.startswith("packages.torch: ") and number == 3 for text, number in found["differing"].items()
    )
    mirrored = of(compared(store, verified_study.store), "heavy")
    assert (
        mirrored["difference"] == pytest.approx(-heavy["difference"]) and mirrored["verdict"] == "different"
    )
    said = call_bench("compare", verified_study.store, store).stdout
    assert "heavy on dots: micro mDSC" in said and "different (margin 1 point); 0 of 3 jobs equal" in said
    assert "packages.torch: " in said and "(3)" in said


def renamed(folders: dict[str, Path], change: Callable[[Job], Job]) -> None:
    """Write the evaluate jobs as another version of segtrial would have named them."""
    for name, folder in folders.items():
        if name.startswith("evaluate/"):
            job = change(files.read_job(folder))
            job = replace(job, digest=digest_of(job))
            files.write_job(folder, job)
            result(folder, lambda data, job=job: data.update(digest=job.digest))
            sealed([folder])
            folder.rename(folder.with_name(job.digest))


def test_jobs_of_other_digests_are_paired_by_their_place_and_say_what_differs(
    verified_study: Finished, other: Other
) -> None:
    store, folders = other
    renamed(folders, lambda job: replace(job, model=replace(job.model, version=7)))
    found = compared(verified_study.store, store)
    assert found["stages"]["evaluate"] == {"jobs": 9, "equal": 9} and found["only"] == [[], []]
    for cell in found["cells"]:
        assert cell["verdict"] == "identical"
        assert [(item["field"], item["second"]) for item in cell["changes"]] == [("model.version", 7)]
    # Two results of one place: nobody knows which of them is meant.
    shutil.copytree(verified_study.store / "jobs", store / "jobs", dirs_exist_ok=True)
    assert all(cell["changes"] == [] for cell in compared(verified_study.store, store)["cells"]), (
        "equal digests first"
    )
    renamed(
        {name: verified for name, verified in folders.items() if verified.exists()},
        lambda job: replace(job, seed=9),
    )
    found = compared(verified_study.store, store)
    assert set(found["stages"]) == {"search"} and len(found["only"][0]) == 9 and len(found["only"][1]) == 18


def test_what_cannot_be_paired_or_read_is_said(
    verified_study: Finished, other: Other, tmp_path: Path
) -> None:
    store, folders = other
    shutil.rmtree(folders["evaluate/pairs/dots/fold-1"])
    (folders["evaluate/pairs/dots/fold-2"] / files.COUNTS).write_text("id")
    without(folders["evaluate/heavy/dots/fold-0"], 1)
    sealed([folders["evaluate/heavy/dots/fold-0"]])
    found = compared(verified_study.store, store)
    assert found["only"][0] == ["evaluate/pairs/dots/fold-1", "evaluate/pairs/dots/fold-2"]
    assert len(found["damaged"]) == 1 and files.COUNTS in found["damaged"][0]["place"]
    assert of(found, "heavy")["verdict"] is None and "other test images" in of(found, "heavy")["reason"]
    assert of(found, "pairs")["jobs"] == 1
    spec = ("--set", STOPPING, "--set", "models=[dots-net]")
    chosen = compared(verified_study.store, store, verified_study.path, *spec)
    assert [cell["model"] for cell in chosen["cells"]] == ["dots-net"]
    empty = Store(tmp_path / "empty", create=True).path
    for words, code, text in (
        ((verified_study.store, empty), 2, "no finished job in common"),
        ((verified_study.store, store, "--dataset", "polyps"), 2, "no finished job in common"),
        ((verified_study.store, store, "--metric", "hd95"), 2, "metric of pixel counts"),
        ((verified_study.store, store, "--metric", "nothing"), 1, "unknown metric"),
        ((verified_study.store, "heavy"), 2, "neither a store nor an archive"),
        ((verified_study.store, store, "--planned"), 2, "two stores"),
    ):
        done = call_bench("compare", *words)
        assert done.returncode == code and text in done.stderr, done.stderr
