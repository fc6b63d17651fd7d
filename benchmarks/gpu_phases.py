"""The phases of benchmarks/gpu_check.sh, one per call: what runs on a GPU, how fast, and with which bits.

    python benchmarks/gpu_phases.py PHASE [--dry] [--out FILE]

Every phase writes its JSON after each measurement, so that a time limit costs only what was still to come.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from gpu_jobs import (
    FAST,
    Check,
    cost_of,
    largest_difference,
    step_times,
    together,
    train,
    train_together,
    train_watched,
)
from gpu_study import study_in

FOLDER = Path(__file__).parent
STUDY = ("u-net", "u-kan", "swin-umamba", "hiformer", "missformer", "segformer", "segnext", "internimage",
         "transnext", "vw-mit", "vw-conv")  # fmt: skip
COMPARED = ("u-net", "segformer", "swin-umamba", "transnext", "internimage")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("phase", choices=PHASES)
    parser.add_argument("--dry", action="store_true", help="on the CPU, as small as possible")
    parser.add_argument("--out", type=Path, help="JSON file; the screen otherwise")
    arguments = parser.parse_args()
    if not arguments.dry and not torch.cuda.is_available():
        parser.error("there is no CUDA device here; --dry runs on the CPU")
    torch.set_num_threads(1 if arguments.dry else 8)
    check = Check(arguments.dry, arguments.out)
    PHASES[arguments.phase](check)
    if arguments.out is None:
        print(json.dumps(check.found, indent=1))
    return 0


def environment(check: Check) -> None:
    """Name the card and the versions."""
    check.note("python", platform.python_version())
    check.note("torch", torch.__version__)
    check.note("cuda", torch.version.cuda)
    if not check.dry:
        facts = torch.cuda.get_device_properties(0)
        check.note("card", {"name": facts.name, "gib": round(facts.total_memory / 2**30, 1)})


def scan(check: Check) -> None:
    """Hold the selective scan's forms to the definition and time them."""
    command = [sys.executable, str(FOLDER / "scan.py"), "--device", check.device, "--json"]
    done = subprocess.run([*command, "--size", str(check.size)], capture_output=True, text=True)
    check.note("scan", json.loads(done.stdout) if done.returncode == 0 else {"error": done.stderr[-400:]})


def repeat(check: Check) -> None:
    """Run one job twice, and once killed after its first epoch and resumed: are the weights equal?"""
    with tempfile.TemporaryDirectory() as folder:
        results = {}
        for name, stop in (("first", None), ("second", None), ("resumed", 1)):
            place = Path(folder) / name
            if stop is not None:
                train(check, "u-net", place, epochs=3, stop_after=stop)
            results[name] = train(check, "u-net", place, epochs=3)
        for name in ("second", "resumed"):
            check.note(f"{name} differs from first by", largest_difference(results["first"], results[name]))


def loader(check: Check) -> None:
    """Measure the share of an epoch's time that training waits for batches, by loader processes."""
    for workers in (0, 2) if check.dry else (0, 4, 8):
        with tempfile.TemporaryDirectory() as folder:
            waited, whole = train_watched(check, "u-net", Path(folder), workers)
            check.note(
                f"{workers} processes", {"waiting": round(waited / whole, 3), "seconds": round(whole, 2)}
            )


def settings(check: Check) -> None:
    """Time a training step under each fast setting, and say whether two runs under it are equal."""
    # Compiling comes last: it takes a C++ compiler and most of the time.
    for label in FAST[:-1] if check.dry else FAST:
        for name in check.names(("u-net", "segformer")):
            try:
                check.note(f"{name}, {label}", step_times(check, name, label))
            except Exception as error:
                check.note(f"{name}, {label}", {"error": f"{type(error).__name__}: {str(error)[:200]}"})


def networks(check: Check) -> None:
    """Compare networks with other libraries' at the study's size."""
    names = check.names(COMPARED)
    options = ["--models", ",".join(names), "--sizes", str(check.size), "--batch", str(check.batch), "--json"]
    variants = "fp32" if check.dry else "amp"
    command = [sys.executable, str(FOLDER / "models.py"), *options, "--device", check.device]
    done = subprocess.run(
        [*command, "--variants", variants, "--repeats", "3"], capture_output=True, text=True
    )
    rows = json.loads(done.stdout) if done.returncode == 0 else []
    for row in rows:
        for key in ("forward", "both"):
            if key in row:
                row[f"images per second, {key}"] = round(check.batch / row[key], 1)
    check.note("networks", rows or {"error": done.stderr[-400:]})


def study(check: Check) -> None:
    """Train one step of each network of the study at its size and batch."""
    for name in check.names(STUDY):
        try:
            check.note(name, step_times(check, name, "as it is", steps=1 if check.dry else 3, runs=1))
        except Exception as error:
            check.note(name, {"error": f"{type(error).__name__}: {str(error)[:200]}"})


def cost(check: Check) -> None:
    """Count and measure each network of the study as the step `cost` does."""
    for name in check.names(STUDY):
        try:
            check.note(name, cost_of(check, name))
        except Exception as error:
            check.note(name, {"error": f"{type(error).__name__}: {str(error)[:400]}"})


def commands(check: Check) -> None:
    """Run a small study twice through the command line, with every step, and predict and export with it."""
    with tempfile.TemporaryDirectory() as folder:
        study_in(check, Path(folder))
    failed = [what for what, found in check.found.items() if isinstance(found, dict) and found.get("exit")]
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


def ranks(check: Check) -> None:
    """Train jobs in one process and in two on the same device: equal losses, images a second, memory."""
    jobs = (("u-net", "fp32"), ("u-net", check.precision), ("segformer", "fp32"))[: 1 if check.dry else 3]
    with tempfile.TemporaryDirectory() as alone, tempfile.TemporaryDirectory() as shared:
        train_together(check, jobs, Path(alone), 1)
        ones = together(check, jobs, Path(alone))
        for (name, precision), one in ones.items():
            check.note(f"{name}, {precision}", {"one process": one})
        try:
            train_together(check, jobs, Path(shared), 2)
        finally:
            for (name, precision), two in together(check, jobs, Path(shared)).items():
                one = ones[name, precision]
                losses = list(zip(one["losses"], two["losses"], strict=True))
                apart = [abs(ours - theirs) for ours, theirs in losses]
                found = {
                    "same samples in the same order": one["samples"] == two["samples"],
                    "largest difference of losses, first step": apart[0],
                    "largest difference of losses, all steps": max(apart),
                }
                check.note(f"{name}, {precision}", found | {"one process": one, "two processes": two})


PHASES: dict[str, Callable[[Check], None]] = {
    "environment": environment,
    "scan": scan,
    "repeat": repeat,
    "loader": loader,
    "settings": settings,
    "networks": networks,
    "study": study,
    "cost": cost,
    "ranks": ranks,
    "commands": commands,
}

if __name__ == "__main__":
    raise SystemExit(main())
