"""The selective scan's forms against each other, and against mambapy, at Swin-UMamba's shapes.

    python benchmarks/scan.py [--size 256] [--batch 1] [--device cpu] [--forms numba,blocked,mambapy]
                              [--repeats 3] [--json]

For each stage of an image of this size: time of a forward pass, and of a forward and a backward pass (on a
CPU seconds of the process on one thread, on CUDA milliseconds of the clock; the fastest of some repeats), and
how much memory the latter takes beyond what was there. `blocks` is the sum over the network's 15 blocks, with
how many times the fastest form's it is. Errors are the largest ones of y and of all seven gradients to
float64, relative to the largest value, on 16 channels a direction, with the steps of a fresh network and with
steps up to 10 and more. mambapy takes part where it is installed; "sequential", which takes minutes, where it
is asked for.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from memory import peak, reset_peak
from torch import Tensor
from torch.nn import functional

from bench_sma.swin_umamba.scan import selective_scan, use_backend
from bench_sma.swin_umamba.scan.dispatcher import is_installed

STAGES = ((192, 4, 2), (384, 8, 2), (768, 16, 9), (1536, 32, 2))
"""Channels of a direction, stride and number of blocks of each stage."""
DIRECTIONS, STATES = 4, 16
ERROR_CHANNELS = 16
ON = {"cpu": ("numba", "blocked", "mambapy"), "cuda": ("mamba_ssm", "triton", "blocked", "mambapy")}
Scan = Callable[..., Tensor]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=256, help="side of the image (256)")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--forms", help="with commas between; all that are installed if not given")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print a JSON object instead of a table")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    names = (
        arguments.forms.split(",") if arguments.forms else [n for n in ON[arguments.device] if _is_there(n)]
    )
    results = {name: measure(name, arguments) for name in names}
    if arguments.json:
        print(json.dumps({"size": arguments.size, "batch": arguments.batch, "forms": results}, indent=2))
    else:
        print_tables(results, *(("ms", 1000) if arguments.device == "cuda" else ("s", 1)))
    return 0


def _is_there(name: str) -> bool:
    return importlib.util.find_spec(name) is not None if name == "mambapy" else is_installed(name)


def measure(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return seconds and MB by stage, and errors, of one form."""
    scan = mambapy_scan if name == "mambapy" else in_form(name)
    print(f"{name} ...", file=sys.stderr)
    stages = []
    for channels, stride, blocks in STAGES:
        length = (arguments.size // stride) ** 2
        tensors = scan_inputs(arguments.batch, channels, length)
        timed = time_scan(scan, [tensor.to(arguments.device) for tensor in tensors], arguments.repeats)
        stages.append({"channels": channels, "length": length, "blocks": blocks, **timed})
    length = (arguments.size // STAGES[0][1]) ** 2
    return {
        "stages": stages,
        "errors": {
            steps: worst_error(scan, length, steps == "large", arguments.device)
            for steps in ("usual", "large")
        },
    }


def scan_inputs(batch: int, channels: int, length: int, large_steps: bool = False) -> list[Tensor]:
    """Return arguments like those of a fresh network in float32, or with steps up to 10 and more."""
    draw = torch.Generator().manual_seed(0)
    rows = DIRECTIONS * channels

    def normal(*sizes: int) -> Tensor:
        return torch.randn(*sizes, generator=draw)

    decay = torch.arange(1.0, STATES + 1).repeat(rows, 1)
    return [
        normal(batch, rows, length),
        normal(batch, rows, length) * (4 if large_steps else 0.5),
        -decay * (normal(rows, STATES) * (0.5 if large_steps else 0)).exp(),
        normal(batch, DIRECTIONS, STATES, length),
        normal(batch, DIRECTIONS, STATES, length),
        normal(rows),
        normal(rows) + (2 if large_steps else -4.6),
    ]


def in_form(name: str) -> Scan:
    def scan(*tensors: Tensor) -> Tensor:
        with use_backend(name):
            return selective_scan(*tensors)  # type: ignore[arg-type]

    return scan


def mambapy_scan(*tensors: Tensor) -> Tensor:
    """Scan as mambapy's Mamba block does: every state held, a parallel scan over them."""
    from mambapy.pscan import pscan

    u, delta, decay, b, c, through, bias = tensors
    batch, groups, states, length = b.shape
    delta = functional.softplus(delta + bias[:, None])

    def sequences(rows: Tensor) -> Tensor:
        return rows.view(batch * groups, -1, length).mT

    step, inputs = sequences(delta)[..., None], sequences(u)[..., None]
    rates = decay.view(groups, -1, states).repeat(batch, 1, 1)[:, None]
    b, c = (tensor.flatten(0, 1).mT for tensor in (b, c))
    held: Tensor = pscan((step * rates).exp(), step * b[:, :, None] * inputs)
    return (held @ c[..., None])[..., 0].mT.reshape(u.shape) + through[:, None] * u


def time_scan(scan: Scan, tensors: list[Tensor], repeats: int) -> dict[str, float]:
    """Return the fastest forward, and forward and backward pass, in seconds, and the memory in MB."""
    on_cuda = tensors[0].is_cuda
    leaves = [tensor.requires_grad_() for tensor in tensors]
    gradient = torch.ones_like(tensors[0])
    torch.autograd.grad(scan(*leaves), leaves, gradient)  # compiles
    clock = time.perf_counter if on_cuda else time.process_time
    forward, both = [], []
    base = reset_peak(on_cuda)
    for _ in range(repeats):
        _wait(on_cuda)
        start = clock()
        y = scan(*leaves)
        _wait(on_cuda)
        middle = clock()
        gradients = torch.autograd.grad(y, leaves, gradient)
        _wait(on_cuda)
        forward.append(middle - start)
        both.append(clock() - start)
        del y, gradients
    return {"forward": min(forward), "both": min(both), "mb": (peak(on_cuda) - base) / 2**20}


def worst_error(scan: Scan, length: int, large_steps: bool, device: str) -> float:
    """Return the largest relative error of y and the gradients to float64."""
    tensors = scan_inputs(1, ERROR_CHANNELS, length, large_steps)
    exact = _outcome(in_form("blocked"), [tensor.double() for tensor in tensors])
    found = _outcome(scan, [tensor.to(device) for tensor in tensors])
    pairs = zip(found, exact, strict=True)
    return max(((ours.cpu().double() - true).abs().max() / true.abs().max()).item() for ours, true in pairs)


def _outcome(scan: Scan, tensors: list[Tensor]) -> list[Tensor]:
    leaves = [tensor.requires_grad_() for tensor in tensors]
    y = scan(*leaves)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    return [y.detach(), *torch.autograd.grad(y, leaves, weights.to(y))]


def _wait(on_cuda: bool) -> None:
    if on_cuda:
        torch.cuda.synchronize()


def print_tables(results: dict[str, Any], unit: str, scale: int) -> None:
    """Print times (forward / with backward) and MB, a column a stage, and errors."""
    first = next(iter(results.values()))["stages"]
    heads = [f"{stage['channels']} x {stage['length']}" for stage in first]
    columns = [
        "form",
        *heads,
        f"blocks, {unit}",
        "times the fastest",
        "MB, largest",
        "error, usual",
        "large steps",
    ]
    print("| " + " | ".join(columns) + " |")
    print("|---" * len(columns) + "|")
    totals = {
        name: [in_blocks(result, key) for key in ("forward", "both")] for name, result in results.items()
    }
    fastest = [min(times) for times in zip(*totals.values(), strict=True)]
    for name, result in results.items():
        stages, total = result["stages"], totals[name]
        ratios = [time / least for time, least in zip(total, fastest, strict=True)]
        cells = [f"{scale * stage['forward']:.4f} / {scale * stage['both']:.4f}" for stage in stages]
        cells += [f"{scale * total[0]:.2f} / {scale * total[1]:.2f}", f"{ratios[0]:.2f} / {ratios[1]:.2f}"]
        cells += [f"{max(stage['mb'] for stage in stages):.0f}"]
        cells += [f"{error:.1e}" for error in result["errors"].values()]
        print(f"| {name} | " + " | ".join(cells) + " |")


def in_blocks(result: dict[str, Any], key: str) -> float:
    """Return the time of the network's blocks."""
    return math.fsum(stage[key] * stage["blocks"] for stage in result["stages"])


if __name__ == "__main__":
    raise SystemExit(main())
