"""In which files networks can be written, and how near their logits are: a table, found by trying.

    python benchmarks/export.py [NAME ...] [--full] [--size 128] [--images 2] [--format NAME ...] [--json]

Without names: the thirteen architectures, and some networks of the sources. Weights are random; `--full`
takes the published variants in place of the declared small ones. Each file is read back and asked the same
images. A cell has the largest difference of a logit, divided by the largest logit, the file's size, and the
processor seconds for writing it, reading it and asking it; and the share of pixels with the same label where
that is not every pixel.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from bench_core.declarations import Task
from bench_core.deploy.draws import Draws
from bench_core.deploy.formats import FORMATS, Network
from bench_core.deploy.tried import try_formats
from bench_core.network import build_network
from bench_core.options import complete_options
from bench_core.plugins.wiring import load_registry
from bench_core.spec.training import Scoring

SOURCES = (
    "smp:unet/resnet18",
    "smp:deeplabv3plus/mobilenet_v2",
    "timm:convnext_atto/uper",
    "timm:swin_tiny_patch4_window7_224/uper",
    "hf:segformer",
    "hf:upernet-convnext",
    "monai:basicunet",
    "monai:swinunetr",
    "mmseg:segformer_mit-b0_8xb2-160k_ade20k-512x512",
    "mmseg:segnext_mscan-t_1xb16-adamw-160k_ade20k-512x512",
    "mmseg:pspnet_r50-d8_4xb2-40k_cityscapes-512x1024",
)
TASK = Task(classes=("first", "second"), channels=3)


def measure(name: str, full: bool, wanted: int, count: int, formats: Sequence[str]) -> dict[str, Any]:
    """Return what each format gives for one network, asked `count` images."""
    declared = load_registry().model(name)
    size = max(wanted, declared.size_minimum)
    torch.manual_seed(0)
    module = build_network(
        declared,
        in_channels=3,
        num_classes=TASK.logit_channels,
        image_size=size,
        options=complete_options(declared.options, {} if full else declared.small),
    ).eval()
    images = torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))
    network = Network(module, images, Draws(module, images[:1], 7))
    began: list[tuple[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:

        def heard(kind: str) -> None:
            began.append((kind, time.process_time()))

        tried = try_formats(network, formats, Path(folder), TASK, Scoring(), "{}", heard)
        heard("")
        sizes = {
            kind: (Path(folder) / declared_format.file).stat().st_size
            for kind, declared_format in FORMATS.items()
            if kind in tried.parities
        }
    seconds = {kind: after - at for (kind, at), (_, after) in itertools.pairwise(began)}
    return {
        "name": name,
        "size": size,
        "millions": sum(parameter.numel() for parameter in module.parameters()) / 1e6,
        "seconds": began[-1][1] - began[0][1],
        "peak_gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2,
        "draws": bool(network.draws.tensors),
        "formats": {
            kind: {
                "megabytes": sizes[kind] / 1e6,
                "seconds": seconds[kind],
                "difference": parity.max_abs_difference,
                "relative": parity.max_abs_difference / parity.largest_logit,
                "equal_pixels": parity.equal_pixels,
                "batch": parity.batch,
            }
            for kind, parity in tried.parities.items()
        },
        "failed": tried.failed,
    }


def row(found: dict[str, Any]) -> str:
    """Return a line of a Markdown table."""
    cells = [f"`{found['name']}`", str(found["size"]), f"{found['millions']:.1f}"]
    for kind in FORMATS:
        if kind not in {*found["failed"], *found["formats"]}:
            cells.append("not tried")
            continue
        if kind in found["failed"]:
            cells.append(f"no: {found['failed'][kind].replace('|', '/')}")
            continue
        value = found["formats"][kind]
        batch = "" if value["batch"] == "any" else ", one image at a time"
        equal = "" if value["equal_pixels"] == 1 else f", {100 * value['equal_pixels']:.4f}% equal"
        took = f"{value['megabytes']:.0f} MB, {value['seconds']:.0f} s"
        cells.append(f"{value['relative']:.1g}; {took}{equal}{batch}")
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*")
    parser.add_argument("--full", action="store_true", help="the published variants")
    parser.add_argument("--size", type=int, default=128, help="side of the images; larger where one must be")
    parser.add_argument("--images", type=int, default=2, help="images that each file is asked")
    parser.add_argument("--format", nargs="+", choices=list(FORMATS), default=list(FORMATS))
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    own = [model.name for model in load_registry().models.values() if model.build is not None]
    results = []
    if not asked.json:
        print(f"| network | size | million parameters | {' | '.join(FORMATS)} |")
        print("|---" * (3 + len(FORMATS)) + "|")
    for name in asked.names or [*own, *SOURCES]:
        try:
            results.append(measure(name, asked.full, asked.size, asked.images, asked.format))
        except Exception as error:  # A package of a source may be missing here.
            results.append({"name": name, "error": f"{type(error).__name__}: {error}"})
        if not asked.json:
            last = results[-1]
            print(row(last) if "error" not in last else f"| `{name}` | {last['error']} |", flush=True)
    if asked.json:
        print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
