"""The page on steps and own runners: its code runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from bench_core.analysis.gather import gather
from bench_core.analysis.verify.audit import open_audit
from bench_core.analysis.verify.run import verify
from bench_core.conformance.works import PROPERTIES, judge, procedure_subject, step_subject
from bench_core.errors import BenchError, DivergedError, PluginError
from bench_core.plan.expand import Plan, make_plan
from bench_core.plan.job import Own
from bench_core.plugins.wiring import load_registry
from bench_core.spec.load import LoadedSpec, load_spec
from bench_core.store.store import Store
from tests.helpers.changing import changed, in_json
from tests.helpers.small_study import run, write_spec

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "steps.md").read_text()
STEP, ASKED, RUNNER = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
pytestmark = pytest.mark.usefixtures("one_thread")


def study(
    folder: Path, step: str = STEP, runner: str = RUNNER, **more: str
) -> tuple[LoadedSpec, Plan, Store]:
    """A study of a network and of the page's rule, with the page's step."""
    path = write_spec(folder, models="[dots-net, {name: bright, options: {level: 0.42}}]", epochs=1)
    text = path.read_text().replace("[plugin.py]", "[plugin.py, step.py, rule.py]") + "steps: [mirrored]\n"
    for old, new in more.items():
        text = text.replace(old, new)
    path.write_text(text)
    (folder / "step.py").write_text(step)
    (folder / "rule.py").write_text(runner)
    loaded = load_spec(path)
    return loaded, make_plan(loaded.spec, loaded.registry), Store(folder / "results", create=True)


def test_the_page_s_step_and_runner_have_the_properties_of_their_kinds(tmp_path: Path) -> None:
    (tmp_path / "step.py").write_text(STEP)
    (tmp_path / "rule.py").write_text(RUNNER)
    registry = load_registry([tmp_path / "step.py", tmp_path / "rule.py"])
    for subject in (step_subject(registry, "mirrored", {}), procedure_subject(registry, "bright", {})):
        found = [judge(item, subject) for item in PROPERTIES if "process" not in item.name]
        assert [item for item in found if item.state == "wrong"] == []


def test_the_page_s_step_and_runner_run_as_they_stand_there(tmp_path: Path) -> None:
    loaded, plan, store = study(tmp_path)
    for job in plan.jobs:
        run(job, store, loaded.registry)
    evidence = gather(loaded.spec, plan, loaded.registry, store)
    assert evidence.complete
    assert plan.stages == ("search", "evaluate", "mirrored")
    steps = evidence.finished("mirrored", "dots-net", "dots")
    assert len(steps) == 3 and not evidence.finished("mirrored", "bright", "dots")
    for done, fold in zip(steps, evidence.finished("evaluate", "dots-net", "dots"), strict=True):
        same = (done.predictions().labels == fold.predictions().labels).mean(axis=(1, 2))
        assert [float(row["share"]) for row in done.records("agreement")] == same.tolist()
        np.testing.assert_array_equal(np.load(done.artifact("agreement.npy")), same)
        assert done.result.values == {"agreement": float(same.mean())}
    rule = evidence.finished("evaluate", "bright", "dots")
    assert all(isinstance(done.job.work, Own) and done.job.work.settings == {"level": 0.42} for done in rule)
    assert all(done.training is None and done.counts.values.sum() > 0 for done in rule)


def test_the_page_s_step_is_asked_what_follows(tmp_path: Path) -> None:
    before, hook, after = STEP.partition("@hookimpl")
    declared = broken('needs="weights",', 'needs="weights", follows=follows,', after)
    loaded, plan, store = study(tmp_path, step=f"{before}{ASKED}\n\n{hook}{declared}")
    for job in plan.jobs:
        run(job, store, loaded.registry)
    (folder,) = (store.folder(job.digest) for job in plan.jobs if job.name == "mirrored/dots-net/dots/fold-0")
    audit = open_audit(loaded.spec, plan, loaded.registry, store)
    assert verify(audit).ok
    change = in_json("result.json", lambda data: data["values"].update(agreement=0.999))
    with changed(folder, change):
        (finding,) = verify(open_audit(loaded.spec, plan, loaded.registry, store)).findings
    assert finding.job == "mirrored/dots-net/dots/fold-0"
    assert finding.message.startswith("its value 'agreement' is 0.999")


def broken(old: str, new: str, text: str) -> str:
    assert old in text
    return text.replace(old, new)


STEPS = {
    "a file that is not written": (
        'np.save(session.artifact("agreement.npy"), same)',
        'session.artifact("x")',
        "did not write artifacts/x",
    ),
    "a value that is not a number": ("float(same.mean())", "same", "neither a number nor text"),
    "maps of other images": (
        "predictions=found",
        "predictions=type(found)(found.ids[::-1], found.labels)",
        "of other images",
    ),
    "something else": ("return Outcome(", "return dict(", "handed back dict"),
}


@pytest.mark.parametrize("fault", STEPS)
def test_what_a_step_owes_is_asked_for(fault: str, tmp_path: Path) -> None:
    old, new, says = STEPS[fault]
    loaded, plan, store = study(tmp_path, step=broken(old, new, STEP))
    done, step = (job for job in plan.jobs if job.model.label == "dots-net" and job.fold.index == 0)
    run(done, store, loaded.registry)
    with pytest.raises(PluginError, match=says):
        run(step, store, loaded.registry)
    assert store.state(step.digest) == "failed" and not store.is_done(step.digest)


def test_a_number_of_numpy_is_a_number_and_what_is_undefined_stays_undefined(tmp_path: Path) -> None:
    text = broken("float(same.mean())}", 'np.float32(0.5), "rows": np.int64(3), "lost": float("inf")}', STEP)
    loaded, plan, store = study(tmp_path, step=text)
    for job in (job for job in plan.jobs if job.model.label == "dots-net" and job.fold.index == 0):
        run(job, store, loaded.registry)
    values = dict(store.result(job.digest).values)
    assert np.isnan(float(values.pop("lost"))) and values == {"agreement": 0.5, "rows": 3.0}


def test_a_step_waits_for_the_job_that_it_looks_at(tmp_path: Path) -> None:
    loaded, plan, store = study(tmp_path)
    step = next(job for job in plan.jobs if job.stage == "mirrored")
    with pytest.raises(BenchError, match="is not done"):
        run(step, store, loaded.registry)


def test_logits_that_are_not_numbers_fail_the_step_as_diverged(tmp_path: Path) -> None:
    text = broken(".flip(-1))\n    same", '.flip(-1) * float("nan"))\n    same', STEP)
    loaded, plan, store = study(tmp_path, step=text)
    done, step = (job for job in plan.jobs if job.model.label == "dots-net" and job.fold.index == 0)
    run(done, store, loaded.registry)
    with pytest.raises(DivergedError):
        run(step, store, loaded.registry)
    failure = store.failure(step.digest)
    assert failure is not None and failure.diverged


def test_what_changes_no_number_of_a_step_changes_no_digest(tmp_path: Path) -> None:
    def digests(**more: str) -> list[str]:
        _, plan, _ = study(tmp_path, **more)
        return [job.digest for job in plan.jobs if job.stage not in ("search", "evaluate")]

    usual = digests()
    assert digests(**{"[mirrored]": "[{name: mirrored, label: other}]"}) == usual
    option = 'help="compares mirrored images", options={"way": Option(type=int, default=1, help="x")}'
    wider = broken('help="compares mirrored images"', option, STEP)
    _, plan, _ = study(tmp_path, step=wider)
    assert [job.digest for job in plan.jobs if job.stage == "mirrored"] == usual
    newer = broken('"mirrored", version=1', '"mirrored", version=2', STEP)
    _, plan, _ = study(tmp_path, step=newer)
    assert not set(usual) & {job.digest for job in plan.jobs}
