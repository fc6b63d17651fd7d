"""What handing out jobs costs on an emulated Slurm cluster: 264 sleeping jobs of 10 seconds on 8 workers.

    python benchmarks/dispatch.py [--seconds 10] [--workers 8] [--models 11] [--datasets 3]

A worker is idle between the end of one job (its result is written, not sealed yet) and the start of its
next one (claimed, its log begins). The share of idle time is counted while all workers could be busy: from
when all have started one until the last job is handed out. Needs root and the packages of Slurm.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from tests.slurm.cluster import running_cluster, why_not
from tests.slurm.study import write_study
from tests.slurm.trial import Trial

BATCH_SIZE = 16
"""More than a job's training images: each job is one step, and sleeps once."""
MOST_SECONDS = 3600.0


def spans(store: Path) -> list[tuple[float, float]]:
    """Return when each finished job began and ended, in seconds."""
    found = []
    for path in (store / "jobs").glob("*/attempts.json"):
        for entry in json.loads(path.read_text()):
            began = datetime.fromisoformat(entry["started"]).timestamp()
            found.append((began, began + entry["seconds"]))
    return sorted(found)


def idle_share(found: Sequence[tuple[float, float]], workers: int) -> tuple[float, float]:
    """Return the share of the workers' time that is idle between jobs, and the seconds it was taken of."""
    begin, end = found[workers - 1][0], found[-1][0]
    busy = sum(min(last, end) - max(first, begin) for first, last in found if last > begin and first < end)
    return 1 - busy / (workers * (end - begin)), end - begin


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="of a job")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--models", type=int, default=11)
    parser.add_argument("--datasets", type=int, default=3)
    options = parser.parse_args(arguments)
    reason = why_not()
    if reason is not None:
        print(f"not measured: {reason}")
        return 2
    with running_cluster() as cluster:
        spec = write_study(cluster.disk / "study", models=options.models, datasets=options.datasets, epochs=1)
        trial = Trial(
            cluster,
            spec,
            cluster.disk / "store",
            1,
            workers=options.workers,
            settings=(f"protocol.batch_size={BATCH_SIZE}",),
            variables={"SEGTRIAL_TEST_PACE": str(options.seconds)},
        )
        submitted = datetime.now().timestamp()
        trial.start()
        code = trial.finish(MOST_SECONDS)
        found = spans(trial.store)
    share, window = idle_share(found, options.workers)
    mean = sum(last - first for first, last in found) / len(found)
    print(
        f"{len(found)} jobs of {mean:.2f} s (asleep for {options.seconds:g} s) on {options.workers} workers"
    )
    print(f"idle between jobs: {100 * share:.2f} % of the workers' time, over {window:.0f} s")
    print(f"first job after {found[0][0] - submitted:.1f} s, all workers busy after "
          f"{found[options.workers - 1][0] - submitted:.1f} s, last job ended after "
          f"{max(last for _, last in found) - submitted:.0f} s; "
          f"{len(found) * mean / options.workers:.0f} s is the least")  # fmt: skip
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
