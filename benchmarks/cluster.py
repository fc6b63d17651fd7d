"""A study on a cluster, simulated: thousands of workers with failures over the policy that real ones follow.

    python benchmarks/cluster.py [--jobs 100000] [--workers 10 100 1000] [--seed 0] [--sizes 0] [--json]

Workers, their clock and the store are simulated (`simulated_cluster.py`); which job a worker takes, when it
looks at the store and when it leaves is decided by `bench_core.execute.board`. What a question or a job costs
in operations of a file system is counted on a real store first. Fails if a job is not sealed exactly once.
"""

from __future__ import annotations

import argparse
import json
import time

from simulated_cluster import Settings, Simulation, study
from store_operations import per_question


def main() -> None:
    """Simulate with each number of workers and print a table, or one JSON object."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--spread", type=float, default=Settings.spread, help="sigma of log seconds")
    parser.add_argument("--sizes", type=float, default=Settings.sizes, help="sigma of log images of datasets")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    jobs = study(given.jobs)
    costs = per_question()
    rows = []
    for workers in given.workers:
        began = time.perf_counter()
        settings = Settings(workers=workers, seed=given.seed, spread=given.spread, sizes=given.sizes)
        figures = Simulation(jobs, settings).run().figures(costs)
        figures["seconds to simulate"] = round(time.perf_counter() - began, 1)
        rows.append(figures)
    if given.json:
        print(json.dumps({"operations": costs, "runs": rows}, indent=1))
        return
    for name in rows[0]:
        print(f"{name:32}" + "".join(f"{row[name]!s:>14}" for row in rows))


if __name__ == "__main__":
    main()
