"""`python -m tests.slurm.faults [NAME...]`: faults on an emulated cluster, and whether results differ.

Each meets a study at work, in a store of its own, on a disk of the cluster's own. At the end every job must
be done, with the same weights, losses, traces, label maps and counts, bit for bit, as in an undisturbed run.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.slurm.cluster import Cluster, ClusterError, running_cluster, why_not
from tests.slurm.study import write_study
from tests.slurm.trial import Trial, descendants, run_undisturbed

LEASE_SECONDS = 6
"""After so long without a sign of life an owner on another machine counts as dead."""
PACE_SECONDS = 0.15
"""What a training step takes at least, so that faults meet jobs in the middle."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    fault: str
    happened: str
    equal: bool


def kill_worker(trial: Trial) -> str:
    """Kill a worker, and elsewhere the process of its job alone."""
    trial.until(lambda: len(trial.at_work()) >= 2, "two jobs at work", 30)
    first, second, *_ = [item for item in trial.bench_workers() if _jobs(item)]
    job = _jobs(second)
    os.kill(first, signal.SIGKILL)
    os.kill(job[-1], signal.SIGKILL)
    return "a worker and another one's job were killed; both started again"


def kill_node(trial: Trial) -> str:
    """Kill a node with all that runs on it, and bring it back."""
    workers = len(trial.bench_workers("n1"))
    trial.cluster.kill_node("n1")
    time.sleep(3 * LEASE_SECONDS)
    trial.cluster.start_node("n1")
    return f"slurmd and {workers} workers were killed; jobs went to the other node"


def kill_front_end(trial: Trial) -> str:
    """Kill the front end, and start it again when something was done meanwhile."""
    trial.kill_front()
    before = trial.done()
    trial.until(lambda: trial.done() > before, "a job that ends without a front end")
    meanwhile = trial.done() - before
    trial.start()
    return f"the workers ended {meanwhile} or more jobs meanwhile; the new front end joined them"


def preempt(trial: Trial) -> str:
    """Requeue a running element twice, as a preempting scheduler does."""
    for _ in range(2):
        trial.until(lambda: bool(trial.elements()), "a running element")
        trial.cluster.call("scontrol", "requeue", trial.elements()[0])
        time.sleep(3)
    return "an element was requeued twice; its worker gave its job back"


def reach_the_time_limit(trial: Trial) -> str:
    """Send what Slurm sends before the time limit."""
    for element in trial.elements():
        trial.cluster.call("scancel", "--batch", "--signal=USR1", element)
    return "all workers were told of the time limit; they saved, ended and were requeued"


def stop_past_the_lease(trial: Trial) -> str:
    """Stop a worker and its job for longer than their claim lasts, and let them run again."""
    trial.until(lambda: bool(trial.at_work()), "a job at work")
    stopped = descendants((trial.bench_workers("n2") or trial.bench_workers())[0])
    held = set(trial.at_work())
    for number in stopped:
        os.kill(number, signal.SIGSTOP)
    if trial.cluster.namespaces:
        trial.until(lambda: not held & set(trial.at_work()), "others to take its job over")
    for number in stopped:
        with suppress(OSError):
            os.kill(number, signal.SIGCONT)
    return "its job was taken over from the last epoch; it woke up and changed nothing"


def fill_the_disk(trial: Trial) -> str:
    """Leave no byte on the disk for a while."""
    filler = trial.cluster.disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(2**16))
    before = trial.done()
    time.sleep(6)
    during = trial.done() - before
    filler.unlink()
    return f"no byte was left for 6 s, in which {during} jobs ended; workers tried again later"


def make_read_only(trial: Trial) -> str:
    """Make the store read-only for a while."""
    trial.cluster.make_disk_read_only(True)
    before = trial.done()
    time.sleep(6)
    during = trial.done() - before
    trial.cluster.make_disk_read_only(False)
    return f"read-only for 6 s, in which {during} jobs ended; workers tried again later"


def skew_a_clock(trial: Trial) -> str:
    """Do nothing more: the clock of one node is an hour ahead from the start."""
    return "workers of n2 live an hour ahead; nobody took a living owner's job"


@dataclass(frozen=True)
class Fault:
    """What is done to a study at work."""

    do: Callable[[Trial], str]
    needs_disk: bool = False
    needs_faketime: bool = False


FAULTS = {
    "kill a worker (-9)": Fault(kill_worker),
    "kill a node": Fault(kill_node),
    "kill the front end (-9)": Fault(kill_front_end),
    "preempt twice": Fault(preempt),
    "time limit": Fault(reach_the_time_limit),
    "stop a worker past its lease": Fault(stop_past_the_lease),
    "fill the disk": Fault(fill_the_disk, needs_disk=True),
    "read-only store": Fault(make_read_only, needs_disk=True),
    "clock an hour ahead": Fault(skew_a_clock, needs_faketime=True),
}


def inject(cluster: Cluster, spec: Path, name: str, reference: dict[str, dict[str, str]]) -> Row:
    """Run a study with a fault and compare its results; raises ClusterError where it does not end."""
    fault = FAULTS[name]
    if fault.needs_disk and not cluster.mounted:
        return Row(name, "not tried: nothing can be mounted here", False)
    setup = []
    if fault.needs_faketime:
        library = faketime_library()
        if library is None:
            return Row(name, "not tried: libfaketime is not installed", False)
        # Files keep the times that their server gives them.
        ahead = f"LD_PRELOAD={library} FAKETIME=+1h NO_FAKE_STAT=1"
        setup = [f'if [ "$SLURMD_NODENAME" = n2 ]; then export {ahead}; fi']
    number = list(FAULTS).index(name)
    trial = Trial(
        cluster,
        spec,
        cluster.disk / f"trial-{number}" / "store",
        settings=(f"runtime.executors={{slurm: {{pause: 2, setup: {setup}}}}}",),
        variables={"SEGTRIAL_LEASE_SECONDS": str(LEASE_SECONDS), "SEGTRIAL_TEST_PACE": str(PACE_SECONDS)},
    )
    trial.store.parent.mkdir()
    try:
        trial.start()
        trial.until(lambda: trial.done() >= 2, "the first jobs to end")
        happened = fault.do(trial)
        code = trial.finish()
        if code != 0 and trial.done() < len(reference):
            # A front end that met the fault itself is started again, as its user would.
            trial.start()
            code = trial.finish()
        equal = code == 0 and trial.contents() == reference
        if not equal:
            happened += f"; exit code {code}, {trial.done()} of {len(reference)} done, {trial.failures()}"
        return Row(name, f"{happened}; {trial.resumed()} jobs resumed", equal)
    finally:
        trial.end()


def faketime_library() -> Path | None:
    """Return libfaketime, if it is installed."""
    return next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)


def _jobs(worker: int) -> list[int]:
    """Return the processes in which a worker runs its job."""
    found = []
    for number in descendants(worker)[1:]:
        with suppress(OSError):
            if b"spawn_main" in Path(f"/proc/{number}/cmdline").read_bytes():
                found.append(number)
    return found


def main(names: list[str]) -> int:
    """Print the table, row by row; return 0 if all results are equal."""
    reason = why_not()
    if reason is not None:
        print(f"no emulated Slurm cluster: {reason}")
        return 2
    chosen = [name for name in FAULTS if not names or any(text in name for text in names)]
    with running_cluster() as cluster:
        spec = write_study(cluster.disk / "study", models=2, datasets=1, epochs=4)
        reference = run_undisturbed(spec, cluster.disk / "undisturbed")
        print(
            f"{len(reference)} jobs, 4 workers on 2 nodes; undisturbed run on one machine as the reference\n"
        )
        print("| fault | what happened | results equal |\n|---|---|---|", flush=True)
        rows = []
        for name in chosen:
            try:
                rows.append(inject(cluster, spec, name, reference))
            except ClusterError as error:
                print(error, file=sys.stderr)
                rows.append(Row(name, f"did not end: {str(error).splitlines()[0]}", False))
            row = rows[-1]
            print(f"| {row.fault} | {row.happened} | {'yes' if row.equal else 'NO'} |", flush=True)
    return 0 if all(row.equal for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
