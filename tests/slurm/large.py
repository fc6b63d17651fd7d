"""`python -m tests.slurm.large [--models 11] [--datasets 3]`: a study of 264 small jobs that is disturbed.

On an emulated cluster two of its jobs are preempted in their middle, and its front end is killed once.
All results must be those of an undisturbed run, bit for bit, and the jobs that were caught must have resumed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from functools import partial

from tests.slurm.cluster import running_cluster, why_not
from tests.slurm.faults import EPOCHS, judge, kill_front_end, preempt, tried
from tests.slurm.study import write_study
from tests.slurm.trial import Trial, run_undisturbed

PACE_SECONDS = 0.05
"""What a training step takes at least."""
MOST_SECONDS = 3600.0


def main(arguments: Sequence[str]) -> int:
    """Print what happened, and how long it took; return 0 if all is as it must be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", type=int, default=11)
    parser.add_argument("--datasets", type=int, default=3)
    parser.add_argument("--workers", type=int, default=8)
    options = parser.parse_args(arguments)
    reason = why_not()
    if reason is not None:
        print(f"no emulated Slurm cluster: {reason}")
        return 2
    with running_cluster() as cluster:
        spec = write_study(
            cluster.disk / "study", models=options.models, datasets=options.datasets, epochs=EPOCHS
        )
        began = time.monotonic()
        reference = run_undisturbed(spec, cluster.disk / "undisturbed")
        print(f"undisturbed: {len(reference)} jobs in {time.monotonic() - began:.0f} s", flush=True)
        began = time.monotonic()
        with tried(
            Trial(
                cluster,
                spec,
                cluster.disk / "disturbed" / "store",
                EPOCHS,
                workers=options.workers,
                variables={"SEGTRIAL_TEST_PACE": str(PACE_SECONDS)},
            )
        ) as trial:
            mets = []
            for part, disturb in ((0.1, preempt), (0.5, kill_front_end)):
                least = part * len(reference)
                trial.until(partial(_has_done, trial, least), "jobs to end", MOST_SECONDS)
                mets.append(disturb(trial))
            row = judge(trial, "all of it", mets, reference, MOST_SECONDS)
            print(f"disturbed: {trial.done()} jobs in {time.monotonic() - began:.0f} s; {row.happened}")
            print(f"hit, and results equal: {'yes' if row.equal else 'NO'}")
    return 0 if row.equal else 1


def _has_done(trial: Trial, least: float) -> bool:
    return trial.done() >= least


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
