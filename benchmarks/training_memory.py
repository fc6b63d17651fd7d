"""Memory of a training step of every architecture: how large a device must be, computed where there is none.

    python benchmarks/training_memory.py [--models u-net,segformer] [--size 512] [--batch 8]
                                         [--check] [--json]

Each network takes two steps of AdamW on tensors that have shapes and no data (PyTorch's FakeTensorMode),
while its MemTracker counts the storages that are alive: the highest sum, in GiB, whole and by kind, in fp32
and under bf16 autocast. A kernel's own workspace and the gaps between allocations are not in it. Attention
is counted as PyTorch's fused form, the scan of Swin-UMamba as one that keeps the states of every 64th
position. With --check each network also really computes the gradients for one image of 256 on this machine,
in fp32 and evaluation mode, and its memory is printed beside the count for the same.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch
from memory import peak, reset_peak
from rivals import CHANNELS, build
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker

from bench_core.plugins.wiring import load_registry
from bench_sma.swin_umamba.scan import numba_scan
from bench_sma.swin_umamba.scan.numba_kernels import CHUNK

KINDS = ("PARAM", "GRAD", "ACT", "TEMP", "OPT")
CHECKED = (256, 1)
GIB = 2**30


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", help="with commas between; all that are built if not given")
    parser.add_argument("--size", type=int, default=512, help="side of the images")
    parser.add_argument("--batch", type=int, default=8, help="images")
    parser.add_argument("--check", action="store_true", help="also compare a step with its real memory")
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    arguments = parser.parse_args()
    declared = load_registry().models
    names = arguments.models.split(",") if arguments.models else [n for n, d in declared.items() if d.build]
    if wrong := [name for name in names if name not in declared or declared[name].build is None]:
        parser.error(f"not built: {', '.join(wrong)} (see `bench list models`)")
    rows = []
    for name in names:
        print(f"{name} ...", file=sys.stderr)
        row: dict[str, Any] = {"network": name, "size": arguments.size, "batch": arguments.batch}
        for precision in ("fp32", "bf16"):
            row[precision] = alone(counted, name, arguments.size, arguments.batch, precision == "bf16")
        if arguments.check:
            row["check"] = alone(counted, name, *CHECKED, False, False)["whole"], alone(measured, name)
        rows.append(row)
    print(json.dumps(rows, indent=2) if arguments.json else table(rows))
    return 0


def alone(work: Any, *arguments: Any) -> Any:
    """Return what a function returns in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def counted(name: str, size: int, batch: int, amp: bool, optimize: bool = True) -> dict[str, float]:
    """Return the peak of a training step in GiB: `whole`, and by kind of storage."""
    network = build(name, size).train(optimize)
    numba_scan._Scan = _ScanOfShapes  # type: ignore[assignment,misc]
    mode = FakeTensorMode()
    for module in network.modules():
        for key, parameter in module._parameters.items():
            if parameter is not None:
                fake = mode.from_tensor(parameter.detach())
                module._parameters[key] = nn.Parameter(fake, requires_grad=parameter.requires_grad)
        for key, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[key] = mode.from_tensor(buffer)
    tracker = MemTracker()
    with mode:
        optimizer = torch.optim.AdamW(network.parameters())
        tracker.track_external(network, optimizer)
        with tracker:
            for _ in range(1 + optimize):  # the optimizer's state is there from the second step on
                tracker.reset_mod_stats()
                images = torch.randn(batch, CHANNELS, size, size)
                with torch.autocast("cpu", torch.bfloat16, enabled=amp):
                    logits = network(images)
                logits.float().square().mean().backward()
                if optimize:
                    optimizer.step()
                    optimizer.zero_grad()
    (by_kind,) = tracker.get_tracker_snapshot("peak").values()
    found = {getattr(kind, "name", kind): size / GIB for kind, size in by_kind.items()}
    return {"whole": found["Total"]} | {kind: found[kind] for kind in KINDS}


class _ScanOfShapes(torch.autograd.Function):
    """The scan's tensors without its numbers, which no form computes without data."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, delta: Tensor, *others: Tensor) -> Tensor:
        groups, channels, length = u.shape
        kept = u.new_empty(groups, -(-length // CHUNK), channels, others[0].shape[-1])
        ctx.save_for_backward(u, delta, *others, kept)
        return torch.empty_like(u)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.empty_like(tensor) for tensor in ctx.saved_tensors[:-1])


def measured(name: str) -> float:
    """Return how far a real step for one image raises this process's memory, weights included, in GiB."""
    torch.set_num_threads(1)
    size, batch = CHECKED
    network = build(name, size).eval()
    weights = sum(tensor.nbytes for tensor in network.state_dict().values())
    base = reset_peak(False)
    logits = network(torch.randn(batch, CHANNELS, size, size))
    logits.square().mean().backward()
    return float(peak(False) - base + weights) / GIB


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as text, memory in GiB."""
    kinds = "".join(f"{kind.lower():>8}" for kind in KINDS)
    lines = [f"{'network':<14}{'batch x size':>14}{'fp32':>8}{'bf16':>8}   of which{kinds}"]
    for row in rows:
        parts = "".join(f"{row['bf16'][kind]:>8.2f}" for kind in KINDS)
        line = f"{row['network']:<14}{row['batch']:>7} x {row['size']:<4}"
        line += f"{row['fp32']['whole']:>8.2f}{row['bf16']['whole']:>8.2f}{'':>11}{parts}"
        if "check" in row:
            count, real = row["check"]
            line += f"   one of {CHECKED[0]}: {count:.2f} counted, {real:.2f} measured"
        lines.append(line)
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
