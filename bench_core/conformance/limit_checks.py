"""Whether an architecture's declared limits of the image size are kept, by specs and by the network."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from bench_core.conformance.candidate import Candidate, noise
from bench_core.conformance.model_checks import expect_logits
from bench_core.conformance.properties import NotApplicable, Wrong
from bench_core.declarations import Dataset, RunnerDeclaration, Task
from bench_core.plugins.registry import Registry
from bench_core.spec.diagnostics import SpecError
from bench_core.spec.load import load_spec


def size_limits(candidate: Candidate) -> None:
    """A spec whose images do not fit is refused with a clear error, and never answered by wrong logits."""
    declared = candidate.architecture
    multiple, least = declared.size_multiple, declared.size_minimum
    unfit = [candidate.sizes[0] + 1] * (multiple > 1)
    unfit += [size for size in [(least - 1) // multiple * multiple] if size >= 1]
    if not unfit:
        raise NotApplicable("it takes images of every size")
    complaint = _complaint(candidate, candidate.sizes[0])
    if complaint:
        raise Wrong(f"a spec of {candidate.sizes[0]} pixels, within the limits, is refused: {complaint}")
    for size in unfit:
        if not _complaint(candidate, size):
            raise Wrong(f"a spec of {size} pixels, outside the limits, is accepted")
        try:
            with torch.no_grad():
                found = candidate.network.eval()(noise(1, 3, size))
        except Exception:
            continue  # the spec has said it in words; whoever calls the network itself reads its own error
        expect_logits(found, (1, 2, size, size), False)


def _complaint(candidate: Candidate, size: int) -> str:
    declared = replace(candidate.architecture, name="candidate")
    task = Task(classes=("one",), channels=3)
    registry = Registry(
        models={"candidate": declared},
        sources={},
        datasets={"images": Dataset(name="images", version=1, task=task, needs_root=False)},
        runners={
            declared.runner: RunnerDeclaration(name=declared.runner, fit="candidate:fit", help="trains it")
        },
        analyses={},
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spec.yaml"
        path.write_text(
            "version: 1\nname: limits\nmodels: [candidate]\ndatasets: [images]\n"
            f"protocol: {{image_size: {size}, learning_rate: 1e-3}}\n",
            encoding="utf-8",
        )
        try:
            load_spec(path, registry=registry)
        except SpecError as error:
            found = [item.message for item in error.diagnostics if item.check == "image-size"]
            return found[0] if found else ""
    return ""
