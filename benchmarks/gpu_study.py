"""A small study through the command line on a GPU: trained, looked at by every step, predicted, exported."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from gpu_jobs import Check
from PIL import Image

IMAGES = 6
BENCH = "from bench_core.cli.main import main; main()"


def spec_of(check: Check) -> dict[str, Any]:
    """Return two quick networks of the native runner on generated skin, and every step that looks at them."""
    size, samples, epochs = (64, 18, 1) if check.dry else (256, 36, 2)
    pictures: dict[str, Any] = {"look": "dermoscopy", "samples": samples}
    maps = {
        "sets": ["common-worst"],
        "worst": 1 if check.dry else 3,
        "interventions": 1,
        "stability": 1,
        "randomization": 1,
    }
    elsewhere = {"name": "synthetic", "label": "elsewhere", "options": pictures | {"seed": 1}}
    return {
        "version": 1,
        "name": "gpu-study",
        "models": [
            {"name": "u-net", "options": {"width": 16}},
            {
                "name": "smp:unet/efficientnet-lite0",
                "label": "lite0",
                "pretrained": "none",
                "because": "speed",
            },
        ],
        "datasets": [{"name": "synthetic", "label": "skin", "options": pictures}],
        "protocol": {
            "image_size": size,
            "batch_size": check.batch,
            "precision": check.precision,
            "optimizer": {"name": "adamw"},
            "learning_rate": 1e-3,
            "evaluate": {"folds": 3, "epochs": epochs},
        },
        "steps": [
            {"name": "measure"},
            {"name": "transfer", "dataset": elsewhere},
            {"name": "corruption", "options": {"kinds": ["gaussian-noise", "hair"], "severities": [1, 5]}},
            {"name": "grad-cam", "options": maps},
            {"name": "cost", "options": {"repeats": 5, "seconds": 0.2}},
        ],
    }


def study_in(check: Check, folder: Path) -> None:
    """Run the study in two stores and compare them (dry: in one); then ask what needs networks or maps."""
    spec = folder / "study.yaml"
    spec.write_text(yaml.safe_dump(spec_of(check)))
    one, two = folder / "one", folder / "two"
    for store in (one,) if check.dry else (one, two):
        bench(check, f"run in store {store.name}", "run", spec, "--store", store, "--device", check.device)
    said = None if check.dry else bench(check, "compare", "compare", one, two, "--json")
    if said is not None:
        check.note("two runs", said["stages"])
    bench(check, "verify", "verify", spec, "--store", one, "--data", "--json")
    bench(check, "report", "report", spec, "--store", one, "--out", folder / "report")
    pictures = folder / "pictures"
    pictures.mkdir()
    random = np.random.default_rng(0)
    for number in range(IMAGES):
        noise = random.integers(0, 255, (300, 400, 3), np.uint8)
        Image.fromarray(noise).save(pictures / f"{number}.png")
    for device in dict.fromkeys((check.device, "cpu")):
        out = folder / f"maps-{device}"
        options = ("--model", "u-net", "--store", one, "--device", device, "--out", out)
        bench(check, f"predict on {device}", "predict", spec, pictures, *options)
    maps = [_maps(folder / f"maps-{device}") for device in (check.device, "cpu")]
    if len(maps[0]) == len(maps[1]) == IMAGES:
        check.note("predicted pixels that differ from the CPU's", int((maps[0] != maps[1]).sum()))
    bench(
        check, "export", "export", "model", spec, "--model", "u-net", "--store", one, "--out", folder / "net"
    )


def bench(check: Check, what: str, *words: object) -> dict[str, Any] | None:
    """Run a command of bench, note seconds and exit code, and return what it prints as JSON, if it does.

    Its lines go to the screen with the second in which they came, so that a time limit leaves them.
    """
    start = time.perf_counter()
    command = [sys.executable, "-c", BENCH, *map(str, words)]
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            print(f"{what} {time.perf_counter() - start:6.1f} {line.rstrip()}", file=sys.stderr)
    seconds = round(time.perf_counter() - start, 1)
    check.note(what, {"seconds": seconds, "exit": process.returncode, "said": "".join(lines)[-200:].strip()})
    try:
        said = json.loads("".join(lines))
    except ValueError:
        return None
    return said if isinstance(said, dict) else None


def _maps(folder: Path) -> np.ndarray[Any, Any]:
    return np.array([np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))])
