"""Time and memory of every architecture, next to the same network from well-kept libraries.

    python benchmarks/models.py [--models u-net,segformer] [--sizes 256,512] [--batch 1] [--repeats 3]
                                [--device cpu] [--variants fp32,amp] [--json]

Each network runs in a process of its own: the fastest of some repeats of a forward pass without gradients,
and of a forward and a backward pass, after one to warm up; on a CPU seconds of the process on one thread, on
CUDA of the clock. MB is how far the highest memory is above what was taken before: of a CPU's process, in the
first passes, gradients of the parameters included; on CUDA what was allocated. A batch of one image runs in
evaluation mode, in which no path is dropped; larger ones train. Ratios are ours by theirs, below 1 where ours
takes less. Without --sizes and --batch, CUDA also runs 8 images of 512, and all variants.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from typing import Any

import torch
from memory import peak, reset_peak
from rivals import CHANNELS, RIVALS, Rival, build
from torch import Tensor, nn

from bench_core.plugins.wiring import load_registry

VARIANTS = ("fp32", "amp", "amp+channels-last", "amp+compile", "amp+channels-last+compile")
FIELDS = ("forward", "both", "forward_mb", "both_mb")
Row = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", help="with commas between; all that are built if not given")
    parser.add_argument("--sizes", help="sides of the images (256,512)")
    parser.add_argument("--batch", type=int, help="images; 1, on CUDA also 8 of 512, if not given")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--variants", help=f"of {', '.join(VARIANTS)}; on a CPU fp32, else all, if not given")
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    arguments = parser.parse_args()
    declared = load_registry().models
    names = arguments.models.split(",") if arguments.models else [n for n, d in declared.items() if d.build]
    if wrong := [name for name in names if name not in declared or declared[name].build is None]:
        parser.error(f"not built: {', '.join(wrong)} (see `bench list models`)")
    on_cuda = arguments.device == "cuda"
    if on_cuda and not torch.cuda.is_available():
        parser.error("there is no CUDA device here")
    variants = arguments.variants.split(",") if arguments.variants else VARIANTS if on_cuda else VARIANTS[:1]
    if wrong := [variant for variant in variants if variant not in VARIANTS]:
        parser.error(f"no variant: {', '.join(wrong)} (choices are: {', '.join(VARIANTS)})")
    rows = []
    for name in names:
        for size, batch in shapes(arguments):
            for variant in variants:
                rows += list(measure_beside_rivals(name, (size, batch, variant), arguments))
    print(json.dumps(rows, indent=2) if arguments.json else table(rows))
    return 0


def shapes(arguments: argparse.Namespace) -> list[tuple[int, int]]:
    """Return sides and numbers of images."""
    sizes = [int(size) for size in (arguments.sizes or "256,512").split(",")]
    given = [(size, arguments.batch or 1) for size in sizes]
    usual = arguments.sizes is None and arguments.batch is None
    return given + ([(512, 8)] if usual and arguments.device == "cuda" else [])


def measure_beside_rivals(
    name: str, case: tuple[int, int, str], arguments: argparse.Namespace
) -> Iterator[Row]:
    """Yield a network's row, then each rival's, ours as that rival has it before it where that differs."""
    whole = in_process((name, None), case, arguments)
    yield whole
    beside: dict[str, Row] = {name: whole}
    for rival in RIVALS.get(name, ()):
        if not rival.is_there:
            print(f"{rival.package} is not installed: {name} is not compared with it", file=sys.stderr)
            continue
        label = ours_label(name, rival)
        if label not in beside:
            beside[label] = in_process((name, rival), case, arguments, ours=True) | {"network": label}
            yield beside[label]
        theirs = in_process((name, rival), case, arguments)
        ours = beside[label]
        if "error" not in ours and "error" not in theirs:
            theirs["ratio"] = {key: ours[key] / theirs[key] for key in FIELDS if theirs[key]}
        yield theirs


def ours_label(name: str, rival: Rival) -> str:
    options = "".join(f" {key}={value}" for key, value in rival.options.items())
    return name + (f".{rival.part}" if rival.part else "") + options


def in_process(
    which: tuple[str, Rival | None],
    case: tuple[int, int, str],
    arguments: argparse.Namespace,
    ours: bool = False,
) -> Row:
    """Measure one network in a process of its own; its row holds `error` where it could not run."""
    name, rival = which
    size, batch, variant = case
    at = 0 if rival is None else RIVALS[name].index(rival)
    label = name if rival is None else f"  {rival.name}"
    print(f"{label.strip()} at {batch} x {size}, {variant} ...", file=sys.stderr)
    row: Row = {"network": label, "size": size, "batch": batch, "variant": variant}
    work = (
        name,
        -1 if rival is None else at,
        ours,
        size,
        batch,
        variant,
        arguments.device,
        arguments.repeats,
    )
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return row | pool.submit(measure, *work).result()
        except Exception as error:  # a network too large for the device must not end the others' comparison
            return row | {"error": f"{type(error).__name__}: {str(error).splitlines()[0][:100]}"}


def measure(
    name: str, rival: int, ours: bool, size: int, batch: int, variant: str, device: str, repeats: int
) -> Row:
    """Build one network and return its parameters, seconds and MB; `rival` is its place in RIVALS, or -1."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    other = RIVALS[name][rival] if rival >= 0 else None
    if other is None:
        network = build(name, size)
    else:
        network = build(name, size, other.options, other.part) if ours else other.build(size)
    network.to(device).train(batch > 1)
    images = torch.randn(batch, CHANNELS, size, size, device=device)
    if "channels-last" in variant:
        network, images = (
            network.to(memory_format=torch.channels_last),
            images.to(memory_format=torch.channels_last),
        )
    parameters = sum(parameter.numel() for parameter in network.parameters())
    run: Callable[[Tensor], Any] = torch.compile(network) if "compile" in variant else network
    return {"parameters": parameters} | time_passes(run, network, images, "amp" in variant, repeats)


def time_passes(
    run: Callable[[Tensor], Any], network: nn.Module, images: Tensor, amp: bool, repeats: int
) -> dict[str, float]:
    """Return the fastest forward, and forward and backward pass, in seconds, and their memory in MB."""
    on_cuda = images.is_cuda
    half = torch.float16 if on_cuda else torch.bfloat16

    def autocast() -> Any:
        return torch.autocast(images.device.type, half) if amp else nullcontext()

    def forward() -> None:
        with torch.no_grad(), autocast():
            run(images)

    def both() -> None:
        network.zero_grad(set_to_none=True)
        with autocast():
            loss = sum(maps.float().square().mean() for maps in maps_of(run(images)))
        loss.backward()  # type: ignore[union-attr]

    clock = time.perf_counter if on_cuda else time.process_time
    found: dict[str, float] = {}
    for key, work in (("forward", forward), ("both", both)):
        if on_cuda:
            work()  # compiles and chooses kernels, which is not the network's memory
        base = reset_peak(on_cuda)
        work()
        found[f"{key}_mb"] = (peak(on_cuda) - base) / 2**20
        seconds = []
        for _ in range(repeats):
            _wait(on_cuda)
            start = clock()
            work()
            _wait(on_cuda)
            seconds.append(clock() - start)
        found[key] = min(seconds)
    return found


def maps_of(output: Any) -> list[Tensor]:
    """Return the output's maps: one tensor's, a list's, or those that transformers names."""
    if isinstance(output, Tensor):
        return [output]
    if isinstance(output, (list, tuple)):
        return [maps for item in output for maps in maps_of(item)]
    return [output["logits"]] if "logits" in output else list(output["hidden_states"])


def _wait(on_cuda: bool) -> None:
    if on_cuda:
        torch.cuda.synchronize()


def table(rows: list[Row]) -> str:
    """Return the rows as text, ratios of ours by theirs behind the rivals' numbers."""
    lines = [
        f"{'network':<30}{'batch x size':>13}{'variant':>27}{'M params':>10}{'forward s':>11}{'MB':>8}"
        f"{'+backward s':>13}{'MB':>8}  ours by theirs: s, MB, s, MB"
    ]
    for row in rows:
        start = f"{row['network']:<30}{row['batch']:>6} x {row['size']:<4}{row['variant']:>27}"
        if "error" in row:
            lines.append(f"{start}  {row['error']}")
            continue
        ratio = row.get("ratio", {})
        ratios = ", ".join(
            f"{ratio[key]:.2f}" for key in ("forward", "forward_mb", "both", "both_mb") if key in ratio
        )
        lines.append(
            f"{start}{row['parameters'] / 1e6:>10.2f}{row['forward']:>11.4f}{row['forward_mb']:>8.0f}"
            f"{row['both']:>13.4f}{row['both_mb']:>8.0f}  {ratios}".rstrip()
        )
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
