"""`bench slurm`: a script for sbatch on stdout, the one that the executor submits, and nothing else."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.helpers.bench import call_bench
from tests.helpers.small_study import write_spec

SBATCH = """#!/bin/bash
cat > "$(dirname "$0")/submitted"
echo 42
"""
SCONTROL = """#!/bin/bash
echo "MaxArraySize            = 3"
"""


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """Return a folder with commands that stand in for Slurm's."""
    folder = tmp_path / "commands"
    folder.mkdir()
    for name, text in {
        "sbatch": SBATCH,
        "scontrol": SCONTROL,
        "squeue": "#!/bin/sh\n",
        "scancel": "#!/bin/sh\n",
    }.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def test_printed_script_is_the_one_that_is_submitted(tmp_path: Path, commands: Path) -> None:
    spec, store = write_spec(tmp_path / "spec", epochs=1), tmp_path / "a 'b' $c"
    path = f"{commands}{os.pathsep}{os.environ['PATH']}"
    options = ("--store", store, "--device", "cpu", "--workers", "3")
    printed = call_bench("slurm", spec, *options, PATH=path)
    assert printed.returncode == 0, printed.stderr
    assert printed.stdout.startswith("#!/bin/bash\n#SBATCH ")
    assert "--array=1-2\n" in printed.stdout
    # Its cluster has arrays of two elements.
    assert "submit it 2 times" in printed.stderr
    read = subprocess.run(["bash", "-n"], input=printed.stdout, text=True, capture_output=True)
    assert (read.returncode, read.stderr) == (0, "")
    run = call_bench("run", spec, *options, "--executor", "slurm", "--detach", PATH=path)
    assert run.returncode == 0, run.stderr
    submitted = (commands / "submitted").read_text()
    folders = [
        next((store / "queue" / "fleets").glob("*/jobs.json")).parent,
        store / "queue" / "fleets" / "by-hand",
    ]
    assert submitted.replace(folders[0].name, "FOLDER") == printed.stdout.replace(folders[1].name, "FOLDER")
