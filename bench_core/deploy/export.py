"""Writes a network as files for other programs, each read back and compared before it is kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench_core.deploy import plain
from bench_core.deploy.chosen import Chosen, Member, facts_of
from bench_core.deploy.described import (
    classes_of,
    in_channels,
    model_of,
    preprocessing_of,
    scoring_of,
    versions,
)
from bench_core.deploy.draws import Draws
from bench_core.deploy.formats import FORMATS, Network
from bench_core.deploy.parity import Parity, as_plain, images_of
from bench_core.deploy.readme import readme
from bench_core.deploy.tried import try_formats
from bench_core.files.hashes import sha256_of
from bench_core.plan.job import Job, job_seed
from bench_core.seeds import derive_seed
from bench_core.text import json_visible

ABOUT_FILE, SCRIPT, README = "model.json", "predict.py", "README.md"
FORMAT = 1


@dataclass(frozen=True)
class Exported:
    """What became of one network."""

    folder: Path
    fold: int
    parities: dict[str, Parity] = field(default_factory=dict)
    """By format."""
    failed: dict[str, str] = field(default_factory=dict)
    """Format to the reason."""


def export_network(
    chosen: Chosen, member: Member, formats: Sequence[str], folder: Path, heard: Callable[[str], None]
) -> Exported:
    """Write one network into an empty folder; `heard` gets each format's name before it is tried.

    A format that the network cannot be written in, or whose file computes something else, is left out and
    told with its reason. Raises WeightsError where the weights do not fit the code.
    """
    job = member.job
    images, which = images_of(job, member.store)
    module = member.network()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    network = Network(module, images, Draws(module, images[:1], derive_seed(job_seed(job), "export")))
    about = about_network(chosen, member, network)
    inside = json_visible(json.dumps(about, ensure_ascii=False, sort_keys=True))
    tried = try_formats(network, formats, folder, job.dataset.task, job.scoring, inside, heard)
    found = Exported(folder, job.fold.index, tried.parities, tried.failed)
    files = {
        FORMATS[name].file: {
            "format": name,
            "sha256": sha256_of(folder / FORMATS[name].file),
            "bytes": (folder / FORMATS[name].file).stat().st_size,
            "batch": parity.batch,
            "parity": as_plain(parity, which),
        }
        for name, parity in found.parities.items()
    }
    whole = {**about, "files": files, "failed": found.failed}
    _write(folder / ABOUT_FILE, json_visible(json.dumps(whole, indent=1, ensure_ascii=False)) + "\n")
    _write(folder / SCRIPT, Path(plain.__file__).read_text("utf-8"))
    _write(folder / README, readme(whole))
    return found


def about_network(chosen: Chosen, member: Member, network: Network) -> dict[str, Any]:
    """Return what is said of the network beside its files and inside of them."""
    job = member.job
    only = Chosen((member,), f"fold {job.fold.index}")
    declared = member.registry.model(job.model.name)
    size, channels = job.pixels.image_size, in_channels(job)
    return {
        "format": FORMAT,
        "model": {**model_of(job), "paper": declared.paper, "license": declared.license},
        "network": facts_of(only, member.store.path)[0],
        "chosen": chosen.how,
        "dataset": job.dataset.label,
        "input": {"name": "images", "dtype": "float32", "shape": ["batch", channels, size, size]},
        "output": {"name": "logits", "dtype": "float32", "shape": ["batch", _logits(job), size, size]},
        "classes": classes_of(job),
        "preprocessing": preprocessing_of(job),
        "scoring": scoring_of(job),
        "trained_in": job.training.precision,
        "draws": "none"
        if not network.draws.tensors
        else "fixed: the network draws random numbers when it predicts, here always the same ones",
        "versions": versions(),
    }


def _logits(job: Job) -> int:
    return job.dataset.task.logit_channels


def _write(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
