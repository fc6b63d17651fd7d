"""The house's rules about who may import whom, and what must stay light."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "torchvision", "timm", "cv2", "PIL", "nibabel", "jinja2", "scipy", "pandas", "mmengine")


def test_import_linter_contracts_hold() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["validate", "specs/paper.yaml"],
        ["plan", "specs/paper.yaml"],
        ["schema"],
        ["list", "models"],
        ["status", "specs/paper.yaml"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_light_commands_import_no_framework(arguments: list[str], tmp_path: Path) -> None:
    code = (
        "import sys\nfrom bench_core.cli.main import main\nsys.argv[0] = 'bench'\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    code = stop.code\nelse:\n    code = 0\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], code or 0, file=sys.stderr)\n"
    )
    places = {"PYTHONPATH": os.environ["PYTHONPATH"], "SEGTRIAL_STORE": str(tmp_path / "results")}
    environment = {"PATH": "/usr/bin:/bin", **places}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stderr.strip().splitlines()[-1] == "[] 0", done.stdout + done.stderr
