"""Results on folds that were cut without regard to copies are never mixed with others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench_core.data import opening
from bench_core.execute.fresh import freshness
from bench_core.execute.ground import Ground
from bench_core.plan.expand import make_plan
from bench_core.spec.load import load_spec
from bench_core.store.store import Store
from tests.helpers.bench import run_bench
from tests.helpers.pictures import blob
from tests.helpers.small_study import run, write_spec


def with_a_turned_copy(root: Path) -> Path:
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    random = np.random.default_rng(0)
    small = [Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8)) for _ in range(8)]
    images = [np.asarray(image.resize((24, 24), Image.Resampling.BICUBIC)) for image in small]
    for number, image in enumerate([*images, np.rot90(images[0])]):
        Image.fromarray(np.ascontiguousarray(image)).save(root / f"images/s{number}.png")
        Image.fromarray(blob(number, 24, 24)).save(root / f"masks/s{number}.png")
    return root


def spec_of(base: Path, root: Path, more: str = "") -> Path:
    entry = f"{{name: folder, label: mine, root: '{root}', options: {{classes: {{lesion: 255}}}}{more}}}"
    return write_spec(base, datasets=f"[{entry}]", epochs=1)


@pytest.mark.slow
def test_results_without_regard_to_copies_are_computed_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of(tmp_path / "spec", with_a_turned_copy(tmp_path / "data"))
    loaded = load_spec(spec)
    plan = make_plan(loaded.spec, loaded.registry)
    store = Store(tmp_path / "results", create=True)

    def untouched(arrays: Any, duplicates: object, cache: Path) -> Any:
        return arrays

    with monkeypatch.context() as patched:
        patched.setattr(opening, "apply", untouched)
        for job in plan.jobs[:2]:
            run(job, store, loaded.registry)
    before = store.result(plan.jobs[0].digest)
    assert freshness(plan.jobs, store, Ground(loaded.registry, store.cache)).stale == {}
    done = run_bench("run", spec, "--store", store.path, "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert "stale: evaluate/dots-net/mine/fold-0 and 1 more: data changed (" in done.stderr
    after = [store.result(job.digest).data for job in plan.jobs]
    assert len({facts.fold_hash for facts in after}) == len({facts.fingerprint for facts in after}) == 1
    assert after[0].fingerprint != before.data.fingerprint
    assert after[0].fingerprint[:32] == before.data.fingerprint[:32]
    assert after[0].groups == before.data.groups - 1
    assert "2 images look like copies and stay in one fold with theirs: s0 and s8" in after[0].warnings
    verified = run_bench("verify", spec, "--store", store.path, "--data")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    for note in store.cache.glob("copies-*.json"):
        note.unlink()
    assert freshness(plan.jobs, store, Ground(loaded.registry, store.cache)).stale == {}


@pytest.mark.parametrize(
    "more",
    [
        ", duplicates: drop",
        pytest.param(", duplicates: report", marks=pytest.mark.slow),
        pytest.param(", stratify: [classes]", marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_other_policies_are_other_jobs_and_verify(tmp_path: Path, more: str) -> None:
    root = with_a_turned_copy(tmp_path / "data")
    spec = spec_of(tmp_path / "spec", root, more)
    other = load_spec(spec_of(tmp_path / "usual", root))
    usual = make_plan(other.spec, other.registry)
    done = run_bench("run", spec, "--store", tmp_path / "results", "--workers", "1")
    assert done.returncode == 0, done.stderr
    loaded = load_spec(spec)
    plan = make_plan(loaded.spec, loaded.registry)
    assert not {job.digest for job in plan.jobs} & {job.digest for job in usual.jobs}
    store = Store(tmp_path / "results")
    facts = store.result(plan.jobs[0].digest).data
    assert facts.samples == (8 if "drop" in more else 9)
    assert ("left out as copies: s0 and s8" in " ".join(facts.warnings)) == ("drop" in more)
    verified = run_bench("verify", spec, "--store", store.path, "--data")
    assert verified.returncode == 0, verified.stdout + verified.stderr
