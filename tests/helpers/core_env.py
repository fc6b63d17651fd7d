"""A virtual environment that holds segtrial's core requirements and nothing else."""

from __future__ import annotations

import subprocess
import sysconfig
import venv
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

REPOSITORY = Path(__file__).resolve().parents[2]


def core_distributions(extra: str = "") -> dict[str, Distribution]:
    """Follow the core requirements that segtrial's metadata declares, and those of one of its extras."""
    found: dict[str, Distribution] = {}
    queue = ["segtrial"]
    while queue:
        name = queue.pop()
        if name in found:
            continue
        found[name] = distribution(name)
        wanted = ("", extra) if name == "segtrial" else ("",)
        for text in found[name].requires or []:
            requirement = Requirement(text)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": item}) for item in wanted):
                queue.append(requirement.name)
    return found


def make_core_environment(folder: Path, extra: str = "") -> Path:
    """Create the environment and return its Python; what pip would install is linked, not fetched."""
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    target = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    for found in core_distributions(extra).values():
        for file in found.files or []:
            top = file.parts[0]
            source = Path(str(found.locate_file(top)))
            if top not in ("..", "__pycache__") and source.exists() and not (target / top).exists():
                (target / top).symlink_to(source)
    (target / "segtrial-source.pth").write_text(
        "\n".join(str(REPOSITORY / part) for part in (".", "runners", "plugins")) + "\n"
    )
    return python


def run_in(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `bench` (or any module call) in that environment, untouched by this one's variables."""
    environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [str(python), *arguments], env=environment, capture_output=True, text=True, timeout=120
    )


BENCH = ("-c", "from bench_core.cli.main import main; main()")
