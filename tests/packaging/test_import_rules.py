"""The house's rules about who may import whom, and what must stay light."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "torchvision", "timm", "cv2", "PIL", "nibabel", "jinja2", "scipy", "pandas", "mmengine")


def test_import_linter_contracts_hold() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


LIGHT = (
    ["--help"],
    ["validate", "specs/paper.yaml"],
    ["plan", "specs/paper.yaml"],
    ["schema"],
    ["list", "models"],
    ["status", "specs/paper.yaml"],
)


def test_light_commands_import_no_framework(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom bench_core.cli.main import run\n"
        f"for words in {LIGHT!r}:\n    sys.argv = ['bench', *words]\n    code = run()\n"
        f"    found = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "    print('>', words[0], code, *found, file=sys.stderr)\n"
    )
    places = {"PYTHONPATH": os.environ["PYTHONPATH"], "SEGTRIAL_STORE": str(tmp_path / "results")}
    environment = {"PATH": "/usr/bin:/bin", **places}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    found = [line for line in done.stderr.splitlines() if line.startswith("> ")]
    assert found == [f"> {words[0]} 0" for words in LIGHT], done.stdout + done.stderr
