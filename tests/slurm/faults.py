"""`python -m tests.slurm.faults [NAME...]`: faults on an emulated cluster, and whether results differ.

Each meets a study at work, in a store of its own, on a disk of the cluster's own. At the end every job must
be done, with the same weights, losses, traces, label maps and counts, bit for bit, as in an undisturbed run.
A fault that hit nothing counts for nothing: the jobs that it met in their middle must have been resumed from
a whole epoch, and where it must disturb no job, no job may have had a second attempt.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench_core.store.store import Store
from tests.slurm.cluster import Cluster, ClusterError, running_cluster, why_not
from tests.slurm.study import write_study
from tests.slurm.trial import PATIENCE_SECONDS, Trial, descendants, run_undisturbed

LEASE_SECONDS = 6
"""After so long without a sign of life an owner on another machine counts as dead."""
PACE_SECONDS = 0.2
"""What a training step takes at least, so that faults meet jobs in the middle."""
EPOCHS = 6
AHEAD_SECONDS = 3600


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    fault: str
    happened: str
    equal: bool


@dataclass(frozen=True)
class Met:
    """What a fault met."""

    text: str
    caught: Collection[str] = ()
    """Digests of jobs in their middle, which must be resumed."""
    disturbs: bool = True
    """False: no job may need a second attempt."""


def kill_worker(trial: Trial) -> Met:
    """Kill a worker, and of another one the process of its job alone."""
    (first, one), (second, other), *_ = trial.catch(2).items()
    job = trial.process(second, other)
    os.kill(first, signal.SIGKILL)
    os.kill(job, signal.SIGKILL)
    return Met("a worker and another one's job were killed", {one, other})


def kill_node(trial: Trial) -> Met:
    """Kill a node with all that runs on it, and bring it back."""
    caught: dict[int, str] = {}

    def on_both() -> bool:
        caught.clear()
        caught.update(trial.caught("n1"))
        return bool(caught and trial.bench_workers("n2"))

    trial.until(on_both, "workers on both nodes", interval=0.02)
    here, there = len(trial.bench_workers("n1")), len(trial.bench_workers("n2"))
    trial.cluster.kill_node("n1")
    time.sleep(3 * LEASE_SECONDS)
    trial.cluster.start_node("n1")
    return Met(f"slurmd and {here} workers of n1 were killed, {there} worked on n2", set(caught.values()))


def kill_front_end(trial: Trial) -> Met:
    """Kill the front end, and start it again when something was done meanwhile."""
    trial.catch()
    if trial.front is None or trial.front.poll() is not None:
        raise ClusterError("the front end had ended before it was to be killed")
    trial.kill_front()
    before, fleets = trial.done(), trial.fleets()
    trial.until(lambda: trial.done() > before, "a job that ends without a front end")
    meanwhile = trial.done() - before
    trial.start()
    trial.until(lambda: "joined" in trial.said_by_front(), "the new front end to join")
    if trial.fleets() != fleets:
        raise ClusterError("the new front end started workers of its own")
    return Met(f"workers ended {meanwhile} or more jobs meanwhile; the new one joined them", disturbs=False)


def preempt(trial: Trial) -> Met:
    """Requeue an element in the middle of its job, twice, as a preempting scheduler does."""
    caught = set()
    for _ in range(2):
        ((worker, digest), *_) = trial.catch().items()
        trial.cluster.call("scontrol", "requeue", trial.element(worker))
        trial.until(lambda worker=worker: worker not in trial.bench_workers(), "the worker to end")  # type: ignore[misc]
        caught.add(digest)
    return Met("twice an element was requeued in the middle of a job, which its worker gave back", caught)


def reach_the_time_limit(trial: Trial) -> Met:
    """Send what Slurm sends before the time limit."""
    caught = trial.catch(2)
    elements = trial.elements()
    for element in elements:
        trial.cluster.call("scancel", "--batch", "--signal=USR1", element)
    return Met(f"{len(elements)} workers were told; they ended and were requeued", set(caught.values()))


def stop_past_the_lease(trial: Trial) -> Met:
    """Stop a worker and its job for longer than their claim lasts, and let them run again."""
    ((worker, digest), *_) = trial.catch().items()
    stopped, store = descendants(worker), Store(trial.store)
    owner = store.owner(digest)
    for number in stopped:
        os.kill(number, signal.SIGSTOP)
    began = time.monotonic()

    def followed() -> bool:
        now = store.owner(digest)
        return now is not None and owner is not None and now.token != owner.token

    try:
        trial.until(followed, "another worker to take the job over")
    finally:
        for number in stopped:
            with suppress(OSError):
                os.kill(number, signal.SIGCONT)
    seconds = time.monotonic() - began
    return Met(f"its job was taken over after {seconds:.0f} s; it woke up and changed nothing", {digest})


def fill_the_disk(trial: Trial) -> Met:
    """Leave no byte on the disk for a while."""
    caught, filler, refused = trial.catch(2), trial.cluster.disk / "filler", 0
    before, end = trial.done(), time.monotonic() + 6
    with filler.open("wb", buffering=0) as file:
        # Again and again: who cannot write takes what it has begun away.
        while time.monotonic() < end:
            try:
                file.write(bytes(2**16))
            except OSError:
                refused += 1
                time.sleep(0.02)
    during = trial.done() - before
    filler.unlink()
    if not refused:
        raise ClusterError("the disk was never full")
    return Met(f"no byte was left for 6 s, in which {during} jobs ended", set(caught.values()))


def make_read_only(trial: Trial) -> Met:
    """Make the store read-only for a while."""
    caught = trial.catch(2)
    try:
        trial.cluster.make_disk_read_only(True)
        before = trial.done()
        time.sleep(6)
        during = trial.done() - before
    finally:
        trial.cluster.make_disk_read_only(False)
    if during:
        raise ClusterError(f"the store was not read-only: {during} jobs ended")
    return Met("read-only for 6 s, in which no job ended", set(caught.values()))


def skew_a_clock(trial: Trial) -> Met:
    """Do nothing more: the clock of one node is an hour ahead from the start."""
    trial.until(lambda: {"n1", "n2"} <= set(trial.began()), "owners on both nodes", interval=0.02)
    began = trial.began()
    ahead = {node: (time - datetime.now(UTC)).total_seconds() for node, time in began.items()}
    if not (ahead["n1"] < AHEAD_SECONDS / 2 < ahead["n2"]):
        raise ClusterError(f"the clocks of the nodes are ahead by {ahead}")
    return Met("claims of n2 were dated an hour ahead; nobody took a living owner's job", disturbs=False)


@dataclass(frozen=True)
class Fault:
    """What is done to a study at work."""

    do: Callable[[Trial], Met]
    needs_disk: bool = False
    needs_faketime: bool = False
    lease: float = LEASE_SECONDS


FAULTS = {
    "kill a worker (-9)": Fault(kill_worker),
    "kill a node": Fault(kill_node),
    "kill the front end (-9)": Fault(kill_front_end, lease=60),
    "preempt twice": Fault(preempt),
    "time limit": Fault(reach_the_time_limit),
    "stop a worker past its lease": Fault(stop_past_the_lease),
    "fill the disk": Fault(fill_the_disk, needs_disk=True),
    "read-only store": Fault(make_read_only, needs_disk=True),
    "clock an hour ahead": Fault(skew_a_clock, needs_faketime=True, lease=60),
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
        ahead = f"LD_PRELOAD={library} FAKETIME=+{AHEAD_SECONDS}s NO_FAKE_STAT=1"
        setup = [f'if [ "$SLURMD_NODENAME" = n2 ]; then export {ahead}; fi']
    number = list(FAULTS).index(name)
    with tried(
        Trial(
            cluster,
            spec,
            cluster.disk / f"trial-{number}" / "store",
            EPOCHS,
            settings=(f"runtime.executors={{slurm: {{pause: 2, setup: {setup}}}}}",),
            variables={
                "SEGTRIAL_LEASE_SECONDS": str(fault.lease),
                "SEGTRIAL_TEST_PACE": str(PACE_SECONDS),
            },
        )
    ) as trial:
        met = fault.do(trial)
        return judge(trial, name, [met], reference)


@contextmanager
def tried(trial: Trial) -> Iterator[Trial]:
    """Start a trial, wait until something is done, and end it with the block."""
    trial.store.parent.mkdir()
    try:
        trial.start()
        trial.until(lambda: trial.done() >= 2, "the first jobs to end")
        yield trial
    finally:
        trial.end()


def judge(
    trial: Trial,
    name: str,
    mets: list[Met],
    reference: dict[str, dict[str, str]],
    seconds: float = PATIENCE_SECONDS,
) -> Row:
    """Let a trial finish and say whether its faults hit what they should and its results are the same."""
    code = trial.finish(seconds)
    if code != 0 and trial.done() < len(reference):
        # A front end that met the fault itself is started again, as its user would.
        trial.start()
        code = trial.finish()
    equal = code == 0 and trial.contents() == reference
    caught, resumed = {digest for met in mets for digest in met.caught}, trial.resumed()
    happened = "; ".join(met.text for met in mets)
    happened += f"; {len(caught)} jobs caught in their middle, {len(resumed)} resumed"
    if not equal:
        happened += f"; exit code {code}, {trial.done()} of {len(reference)} done, {trial.failures()}"
    wrong = [f"{digest} was caught and not resumed" for digest in sorted(caught - resumed)]
    if any(met.disturbs for met in mets):
        wrong += [] if caught else ["no job was caught in its middle"]
    else:
        wrong += [
            f"{digest} began {len(each)} times" for digest, each in trial.attempts().items() if each[1:]
        ]
    return Row(name, "; ".join([happened, *wrong]), equal and not wrong)


def faketime_library() -> Path | None:
    """Return libfaketime, if it is installed."""
    return next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)


def main(names: list[str]) -> int:
    """Print the table, row by row; return 0 if all results are equal."""
    reason = why_not()
    if reason is not None:
        print(f"no emulated Slurm cluster: {reason}")
        return 2
    chosen = [name for name in FAULTS if not names or any(text in name for text in names)]
    with running_cluster() as cluster:
        spec = write_study(cluster.disk / "study", models=2, datasets=1, epochs=EPOCHS)
        reference = run_undisturbed(spec, cluster.disk / "undisturbed")
        print(
            f"{len(reference)} jobs of {EPOCHS} epochs, 4 workers on 2 nodes; "
            "undisturbed run on one machine as the reference\n"
        )
        print("| fault | what happened | hit, and results equal |\n|---|---|---|", flush=True)
        rows = []
        for name in chosen:
            try:
                rows.append(inject(cluster, spec, name, reference))
            except (ClusterError, OSError) as error:
                print(error, file=sys.stderr)
                rows.append(Row(name, f"did not end: {str(error).splitlines()[0]}", False))
            row = rows[-1]
            print(f"| {row.fault} | {row.happened} | {'yes' if row.equal else 'NO'} |", flush=True)
    return 0 if all(row.equal for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
