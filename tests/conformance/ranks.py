"""Prints how far two processes that share a job are from one: all architectures, both runners, on gloo.

    python -m tests.conformance.ranks                      # all of them, some minutes
    python -m tests.conformance.ranks u-net segformer      # some
    python -m tests.conformance.ranks --device cuda        # two processes on one GPU, exchanging by gloo

Exits with 1 where a training differs by more than rounding explains.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench_core.conformance.child import met
from bench_core.conformance.job import Subject, make_job
from bench_core.conformance.record import Record
from bench_core.conformance.sharing import Sharing, shared

RUNNERS = ("torch", "mmseg")
WORLD = 2
SMALL = (
    Subject("segformer", {"variant": "b0", "decoder_width": 64}),
    Subject("segnext", {"variant": "t"}),
    Subject("vw-mit", {"variant": "b0", "decoder_width": 64}),
    Subject("vw-conv", {"variant": "atto", "decoder_width": 64}),
    Subject("internimage", {"variant": "micro", "decoder_width": 64}),
    Subject("transnext", {"variant": "pico", "decoder_width": 64}),
    Subject("u-net", {"width": 4}),
    Subject("swin-umamba", {"variant": "pico"}),
    Subject("hiformer", {"variant": "tiny"}),
    Subject("missformer", {"variant": "tiny"}),
    Subject("u-kan", {"variant": "tiny"}),
    Subject("transunet", {"variant": "tiny"}),
    Subject("swin-unet", {"variant": "nano"}),
)
"""Every architecture of the study, as small as it comes."""


def observed(
    subjects: Sequence[Subject],
    device: str = "cpu",
    runners: Sequence[str] = RUNNERS,
    plugin: Path | None = None,
) -> dict[tuple[str, str], Sharing]:
    """Train in one process, and in two at the same time; return what each network and runner differs by."""
    with tempfile.TemporaryDirectory() as folder:
        errand: dict[str, object] = {
            "subjects": [[one.name, dict(one.options)] for one in subjects],
            "device": device,
            "runners": list(runners),
            "plugins": [] if plugin is None else [str(plugin)],
            "folder": folder,
        }
        places = [(0, 1), *((rank, WORLD) for rank in range(WORLD))]
        # All at once: the first exchange of those that share waits for the slower one anyway.
        children = [_start(errand, rank, world) for rank, world in places]
        for child in children:
            child.wait()
        records = [_records(Path(folder), rank, world) for rank, world in places]
    alone, *together = records
    return {
        key: shared(
            record, [one.get(key, Record(error="it ended early")) for one in together], exact=device == "cpu"
        )
        for key, record in alone.items()
    }


def _start(errand: dict[str, object], rank: int, world: int) -> subprocess.Popen[bytes]:
    text = json.dumps(errand | {"rank": rank, "world": world})
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-m", __spec__.name, "--child", text], env=environment)


def _records(folder: Path, rank: int, world: int) -> dict[tuple[str, str], Record]:
    file = folder / f"{world}-{rank}.pickle"
    found: dict[tuple[str, str], Record] = pickle.loads(file.read_bytes()) if file.exists() else {}
    return found


def _train(text: str) -> None:
    """Be one of the processes."""
    from bench_core.conformance.observe import observe
    from bench_core.plugins.wiring import load_registry
    from bench_core.protocol.contract import RunOptions

    errand = json.loads(text)
    rank, world, folder = errand["rank"], errand["world"], Path(errand["folder"])
    registry = load_registry([Path(path) for path in errand["plugins"]])
    found: dict[tuple[str, str], Record] = {}
    for name, options in errand["subjects"]:
        subject = Subject(name, options)
        for runner in errand["runners"]:
            job = make_job(registry.model(name), subject, runner, "shared", size=32)
            place = folder / str(len(found))
            with met(rank, world, place.with_suffix(".meeting") if world > 1 else None) as ranks:
                found[subject.label, runner] = observe(
                    job, registry, place / f"{world}-{rank}", RunOptions(device=errand["device"]), ranks=ranks
                )
    (folder / f"{world}-{rank}.pickle").write_bytes(pickle.dumps(found))


def table(found: dict[tuple[str, str], Sharing]) -> Iterator[str]:
    """Yield a line for each network and runner."""
    yield "| model | runner | largest loss difference | largest weight difference | counts | equal |"
    yield "|---|---|---|---|---|---|"
    for (model, runner), one in found.items():
        counts = "equal" if one.pixels == 0 else f"{one.pixels} pixels of {one.ties} nearly tied"
        verdict = "yes" if one.fault is None else f"no: {one.fault}"
        yield f"| {model} | {runner} | {one.loss:.1e} | {one.weights:.1e} | {counts} | {verdict} |"


def main() -> int:
    """Print the table; return 1 where something differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("models", nargs="*", help="names of architectures; all where none is given")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child is not None:
        _train(given.child)
        return 0
    found = observed(
        [one for one in SMALL if not given.models or one.name in given.models], device=given.device
    )
    print("\n".join(table(found)))
    return int(any(one.fault is not None for one in found.values()))


if __name__ == "__main__":
    sys.exit(main())
