"""A finished store verifies; whatever is changed in it is found by the check that is about it, and named."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from click.testing import Result as Done
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_core.analysis.verify.audit import Audit
from bench_core.analysis.verify.checks import Verification
from bench_core.analysis.verify.run import CHECKS, verify
from bench_core.analysis.verify.saved_weights import saved_weights, undefined_tensors
from bench_core.cli.main import bench
from bench_core.errors import StoreError
from bench_core.plan.job import Job
from bench_core.store import folder as files
from bench_core.store.manifest import write_manifest
from tests.helpers.changing import changed, in_json, in_trace
from tests.helpers.store_changes import EVALUATE, LEARNED, MUTATIONS, swap_steps
from tests.helpers.verified_study import STOPPING, Finished


@pytest.fixture(scope="module")
def finished(verified_study: Finished) -> Finished:
    return verified_study


OF_A_CELL = {"network", "checkpoint", "basis"}
"""Checks that compare a job with its model's jobs on other folds."""


def beside(study: Audit, job: Job) -> Audit:
    """Leave the jobs on a job's fold, which are those that most checks compare it with."""
    fold = job.stage, job.fold.index
    few = (item for item in study.subjects if (item.job.stage, item.job.fold.index) == fold)
    return replace(study, subjects=tuple(few))


def found(study: Audit) -> dict[str, str]:
    """Return the checks that find something, each with its first message."""
    return {
        outcome.check.name: f"{outcome.findings[0].job}: {outcome.findings[0].message}"
        for outcome in verify(study).outcomes
        if outcome.findings
    }


def test_a_finished_store_verifies(finished: Finished) -> None:
    outcome = verify(finished.audit())
    assert outcome.findings == () and outcome.ok and outcome.complete and outcome.done == 15
    asked = {check.name: 15 * ("train" in check.kinds) for check in CHECKS}
    assert {item.check.name: item.jobs for item in outcome.outcomes} == asked


def test_the_study_is_worth_verifying(finished: Finished) -> None:
    records = [subject.training for subject in finished.audit().subjects if subject.job.stage == "evaluate"]
    assert len({record.epochs_run for record in records if record}) > 1
    assert any(record.stopped_early for record in records if record)


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_change_is_found_and_named(finished: Finished, name: str) -> None:
    name, change, checks, said = MUTATIONS[name]
    job = finished.job(name)
    with changed(finished.store / "jobs" / job.digest, change):
        study = finished.audit()
        findings = found(study if checks & OF_A_CELL else beside(study, job))
    assert set(findings) == checks
    assert all(text.startswith(name) for text in findings.values()), findings
    assert any(said in text for text in findings.values()), findings


def test_each_check_finds_something() -> None:
    caught = {check for _, _, checks, _ in MUTATIONS.values() for check in checks}
    assert caught | {"environment", "coverage", "steps"} == {check.name for check in CHECKS}


def test_another_environment_is_a_warning(finished: Finished) -> None:
    def other(data: dict[str, Any]) -> None:
        data["provenance"]["packages"]["torch"] = "1.0"
        data["provenance"]["environments"] = data["attempts"] = 2

    def attempts(entries: list[dict[str, Any]]) -> None:
        entries.insert(0, entries[0] | {"seconds": 0.0, "environment": {}})
        entries[1]["environment"]["packages"]["torch"] = "1.0"

    def change(folder: Path) -> None:
        in_json(files.RESULT, other)(folder)
        in_json("attempts.json", attempts)(folder)

    with changed(finished.store / "jobs" / finished.job(EVALUATE).digest, change):
        outcome = verify(finished.audit())
    assert outcome.ok and {finding.level for finding in outcome.findings} == {"warning"}
    first, second = outcome.findings
    assert first.message.startswith("packages.torch is 1.0, most jobs on dots have 2.")
    assert "2 different environments" in second.message


@pytest.mark.parametrize(
    ("folds", "said"),
    [
        ((0,), "heavy lacks fold 0 of dots; dots-net has it"),
        ((2,), "heavy lacks fold 2 of dots; dots-net has it"),
        ((0, 2), "heavy lacks folds 0, 2 of dots; dots-net has the first of them"),
    ],
)
def test_folds_that_one_model_lacks_are_named(
    finished: Finished, tmp_path: Path, folds: tuple[int, ...], said: str
) -> None:
    shutil.copytree(finished.store, tmp_path / "results")
    names = [f"evaluate/heavy/dots/fold-{fold}" for fold in folds]
    for name in names:
        shutil.rmtree(tmp_path / "results" / "jobs" / finished.job(name).digest)
    (finding,) = verify(finished.audit(tmp_path / "results")).findings
    assert (finding.job, finding.level, finding.message) == (names[0], "warning", said)


def test_words_that_all_jobs_of_a_cell_say_alike_are_a_warning(finished: Finished, tmp_path: Path) -> None:
    """Results of a spec that called the model otherwise serve this one as well."""
    shutil.copytree(finished.store, tmp_path / "results")
    for subject in finished.audit().subjects:
        folder = tmp_path / "results" / "jobs" / subject.job.digest
        if subject.job.model.label == "heavy":
            in_json(files.JOB, lambda data: data["model"].update(label="old name"))(folder)
            names = json.loads((folder / files.MANIFEST).read_text())["files"]
            write_manifest(folder, list(names))
    outcome = verify(finished.audit(tmp_path / "results"))
    assert outcome.ok and len(outcome.findings) == 5
    assert "so in all jobs of heavy on dots" in outcome.findings[0].message


@pytest.mark.parametrize("declared", [53, 54])
def test_a_network_has_its_declared_size(finished: Finished, declared: int) -> None:
    """All jobs of a model agree, and yet the declaration says another number."""
    study = finished.audit()
    model = replace(study.registry.model("dots-net"), parameters={1: declared})
    registry = replace(study.registry, models={**study.registry.models, "dots-net": model})
    # Declared numbers are of three input channels.
    color = study.subjects[0].job.pixels.model_copy(update={"channels": "rgb"})
    subjects = tuple(replace(item, job=replace(item.job, pixels=color)) for item in study.subjects)
    check = next(check for check in CHECKS if check.name == "network")
    outcome = verify(replace(study, registry=registry, subjects=subjects, _memo={}), (check,))
    said = {finding.message for finding in outcome.findings}
    assert said == (
        set() if declared == 53 else {"its network has 53 parameters, dots-net is declared with 54"}
    )


def test_folds_are_cut_once_more(finished: Finished) -> None:
    """All models agree, and yet the folds are not those of the seed."""
    study = finished.audit()
    plan = [replace(subject, job=replace(subject.job, seed=43)) for subject in study.subjects]
    other = replace(study, subjects=tuple(plan), _memo={})
    assert "are not those of the spec's seed" in found(other)["images"]


def test_damage_is_found_by_the_manifest(finished: Finished) -> None:
    folder = finished.store / "jobs" / finished.job(EVALUATE).digest
    with changed(folder, in_trace(swap_steps), sealed=False):
        findings = found(finished.audit())
    assert set(findings) == {"files", "order"} and "not as it was sealed" in findings["files"]
    with changed(folder, lambda path: (path / files.MANIFEST).unlink(), sealed=False):
        assert set(found(finished.audit())) == {"files"}


SEALED = (files.JOB, files.RESULT, files.COUNTS, files.CASES, files.TRACE, files.BEST, files.MANIFEST)


def test_every_job_is_counted_again_from_the_data(finished: Finished) -> None:
    """Label maps and counts that agree with each other are still held against the masks."""
    arguments = (finished.path, "--set", STOPPING, "--store", finished.store, "--data")
    clean = call(*arguments)
    assert clean.exit_code == 0 and "recount" in clean.output

    def flattered(folder: Path) -> None:
        counts, kept = files.read_counts(folder), files.read_predictions(folder)
        # The masks' pixels are what the data alone know: misses become hits, and false alarms fewer.
        wrong = np.minimum(counts.values[..., 1], counts.values[..., 2])
        counts.values[...] += np.stack([wrong, -wrong, -wrong], axis=-1)
        files.write_counts(folder, counts)
        files.write_predictions(folder, kept)

    with changed(finished.store / "jobs" / finished.job(LEARNED).digest, flattered):
        done = call(*arguments)
    assert done.exit_code == 1 and f"recount: {LEARNED}: dot" in done.output
    assert "counted again gives" in done.output


def test_an_empty_manifest_is_found(finished: Finished) -> None:
    folder = finished.store / "jobs" / finished.job(EVALUATE).digest
    with changed(folder, lambda path: write_manifest(path, []), sealed=False):
        assert "does not list job.json" in found(finished.audit())["files"]


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(SEALED), share=st.floats(0, 0.999), byte=st.integers(0, 255), sealed=st.booleans()
)
def test_no_damage_ends_in_an_exception(
    finished: Finished, name: str, share: float, byte: int, sealed: bool
) -> None:
    """A file that ends anywhere, in any byte: a finding of the job that it belongs to, never an exception."""
    job = finished.job(EVALUATE)
    content = (finished.store / "jobs" / job.digest / name).read_bytes()
    broken = content[: int(share * len(content))] + bytes([byte])

    def change(folder: Path) -> None:
        (folder / name).write_bytes(broken)

    few = beside(finished.audit(), job)
    with changed(finished.store / "jobs" / job.digest, change, sealed=sealed):
        outcome = verify(few)
    if broken != content and not (sealed and name == files.MANIFEST):
        assert outcome.findings
        assert {finding.digest for finding in outcome.findings} == {job.digest}


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_any_two_samples_that_change_places_are_named(finished: Finished, data: st.DataObject) -> None:
    job = finished.job(EVALUATE)
    folder = finished.store / "jobs" / job.digest
    lines = [json.loads(line) for line in (folder / files.TRACE).read_text().splitlines()]
    epoch = data.draw(st.integers(0, lines[-1]["epoch"]))
    steps = [line for line in lines if line["epoch"] == epoch and "step" in line]
    places = [(step["step"], index) for step in steps for index in range(len(step["ids"]))]
    one, other = sorted(data.draw(st.lists(st.sampled_from(places), min_size=2, max_size=2, unique=True)))

    def swap(lines: list[dict[str, Any]]) -> None:
        mine = {line["step"]: line["ids"] for line in lines if line["epoch"] == epoch and "step" in line}
        first, second = mine[one[0]], mine[other[0]]
        first[one[1]], second[other[1]] = second[other[1]], first[one[1]]

    with changed(folder, in_trace(swap)):
        outcome = verify(beside(finished.audit(), job))
    (finding,) = outcome.findings
    assert finding.job == EVALUATE
    assert finding.message.startswith(f"epoch {epoch}, step {one[0]} trains on")
    line = next(index for index, line in enumerate(lines) if line is steps[one[0]]) + 1
    assert finding.place == f"{folder / files.TRACE}:{line}"


@pytest.mark.parametrize("epoch", [0, 7])
@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_saved_weights_are_read_without_a_framework(tmp_path: Path, epoch: int, kind: torch.dtype) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2)).to(kind)
    weights, path = network.state_dict(), tmp_path / "best.pt"
    torch.save({"epoch": epoch, "state_dict": weights}, path)
    saved = saved_weights(path)
    assert saved.epoch == epoch and undefined_tensors(path, saved) == ([], [])
    assert [(name, shape) for name, _, shape in saved.form] == [
        (n, tuple(w.shape)) for n, w in weights.items()
    ]
    assert saved.elements == sum(tensor.numel() for tensor in weights.values()) == 29
    with torch.no_grad():
        weights["0.weight"][0, 0, 0, 1], weights["1.bias"][1] = torch.nan, -torch.inf
        weights["1.weight"][0] = torch.finfo(kind).max
    torch.save({"epoch": epoch, "state_dict": weights}, path)
    assert undefined_tensors(path, saved_weights(path)) == (["0.weight"], ["1.bias"])


def test_reading_weights_runs_nothing(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path(tmp_path / "made").touch, ())

    path = tmp_path / "best.pt"
    for content in ({"more": Evil()}, {}):
        torch.save({"epoch": 1, "state_dict": {"weight": torch.zeros(2)}} | content, path)
        if content:
            with pytest.raises(StoreError, match="damaged"):
                saved_weights(path)
        else:
            assert saved_weights(path).epoch == 1
    assert not (tmp_path / "made").exists()
    for wrong in (
        {"epoch": 1},
        {"epoch": "1", "state_dict": {"a": torch.zeros(1)}},
        {"epoch": 1, "state_dict": {"a": 1}},
    ):
        torch.save(wrong, path)
        with pytest.raises(StoreError, match="damaged"):
            saved_weights(path)
    path.write_bytes(b"no archive")
    with pytest.raises(StoreError, match="damaged"):
        saved_weights(path)


def call(*arguments: object) -> Done:
    words = [str(argument) for argument in arguments]
    return CliRunner().invoke(bench, ["verify", *words], catch_exceptions=False)


def test_the_command_prints_a_table_and_exits_with_0(finished: Finished) -> None:
    done = call(finished.path, "--set", STOPPING, "--store", finished.store)
    assert done.exit_code == 0
    assert "small: 15 jobs looked at" in done.output
    assert "verified: everything that was looked at holds" in done.output
    assert all(check.name in done.output for check in CHECKS)


def test_findings_exit_with_1_and_name_the_place(finished: Finished) -> None:
    folder = finished.store / "jobs" / finished.job(EVALUATE).digest
    arguments = (finished.path, "--set", STOPPING, "--store", finished.store)
    with changed(folder, in_trace(swap_steps)):
        text, data = call(*arguments), call(*arguments, "--json")
    assert (text.exit_code, data.exit_code) == (1, 1)
    assert f"order: {EVALUATE}: epoch 0, step 0" in text.output
    assert f"{folder / files.TRACE}:1" in text.output
    assert "not verified: 1 of 15 jobs" in text.output
    found = {item["name"]: item["findings"] for item in json.loads(data.output)["checks"]}
    assert json.loads(data.output)["ok"] is False
    assert [finding["place"] for finding in found["order"]] == [f"{folder / files.TRACE}:1"]
    assert not any(findings for name, findings in found.items() if name != "order")


def test_a_partial_study_is_checked_as_far_as_it_is(finished: Finished, tmp_path: Path) -> None:
    shutil.copytree(finished.store, tmp_path / "results")
    for subject in finished.audit().subjects:
        if subject.job.model.label == "pairs" or subject.job.name == EVALUATE:
            shutil.rmtree(tmp_path / "results" / "jobs" / subject.job.digest)
    done = call(finished.path, "--set", STOPPING, "--store", tmp_path / "results")
    assert done.exit_code == 0
    assert "partial: 9 of 15 jobs looked at" in done.output
    assert "6 jobs are not finished and were not checked" in done.output


def test_nothing_finished_is_told_with_2(finished: Finished, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from bench_core.cli.main import main; main()", "verify"]
    done = subprocess.run(
        [*command, str(finished.path), "--store", str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "no job of 'small' is finished" in done.stderr and "fix: bench run" in done.stderr


def test_it_needs_no_framework(finished: Finished) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'torchvision', 'cv2', 'PIL', 'jinja2', 'mmengine'): sys.modules[name] = None\n"
        "from bench_core.cli.main import main\n"
        f"sys.argv = ['bench', 'verify', {str(finished.path)!r}, '--set', {STOPPING!r}]\n"
        f"sys.argv += ['--store', {str(finished.store)!r}]\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_verification_without_jobs_says_so() -> None:
    assert Verification(3, 0, ()).ok and not Verification(3, 0, ()).complete
