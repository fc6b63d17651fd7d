"""How long planning takes: the study from a cold start, and a plan of 100,000 jobs with its memory.

    python benchmarks/plan.py

Prints one JSON object: wall seconds of `bench plan specs/paper.yaml` (best of five processes), and of a
spec of 100 models x 125 datasets x 8 jobs (text, JSON) with its peak memory.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PAPER = Path(__file__).parents[1] / "specs" / "paper.yaml"
MEASURED = """
import resource, sys
from bench_core.cli.main import bench
bench.main(sys.argv[1:], standalone_mode=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


def measure(*arguments: str) -> tuple[float, float, str]:
    """Return wall seconds, peak MiB and output of `bench` in a process of its own."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *arguments], capture_output=True, text=True, check=True
    )
    # Linux counts in KiB.
    return time.perf_counter() - start, int(done.stderr.splitlines()[-1]) / 1024, done.stdout


def large_spec() -> str:
    """Return a spec of 100,000 jobs."""
    models = [{"name": "u-net", "label": f"model-{n}", "options": {"width": n}} for n in range(1, 101)]
    datasets = [
        {
            "name": "camus",
            "label": f"data-{n}",
            "root": "data",
            "augmentation": [{"GaussianBlur": {"kernel_size": n}}],
        }
        for n in range(1, 250, 2)
    ]
    protocol = {
        "search": {"learning_rate": [1e-4, 5e-5, 1e-5], "epochs": 100},
        "evaluate": {"epochs": 150},
    }
    # JSON is YAML.
    return json.dumps(
        {"version": 1, "name": "large", "models": models, "datasets": datasets, "protocol": protocol},
        indent=1,
    )


def main() -> None:
    """Measure and print."""
    paper = [measure("plan", str(PAPER)) for _ in range(5)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.yaml"
        path.write_text(large_spec())
        text = measure("plan", str(path))
        data = measure("plan", str(path), "--json")
    figures = {
        "paper_seconds": round(min(seconds for seconds, _, _ in paper), 3),
        "paper_mib": round(paper[0][1], 1),
        "large_jobs": len(json.loads(data[2])["jobs"]),
        "large_seconds": round(text[0], 2),
        "large_mib": round(text[1]),
        "large_lines": len(text[2].splitlines()),
        "large_json_seconds": round(data[0], 2),
        "large_json_mib": round(data[1]),
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
