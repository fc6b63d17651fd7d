"""A study on an emulated cluster that is preempted and loses workers and its front end: the same numbers."""

from __future__ import annotations

import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.faults import kill_front_end, kill_worker, preempt
from tests.slurm.study import write_study
from tests.slurm.trial import Trial, run_undisturbed


@pytest.mark.slow
def test_disturbed_study_gives_the_numbers_of_an_undisturbed_one(cluster: Cluster) -> None:
    spec = write_study(cluster.disk / "study", models=2, datasets=2, epochs=6)
    trial = Trial(
        cluster,
        spec,
        cluster.disk / "results of 'a' $study" / "store",
        6,
        variables={"SEGTRIAL_TEST_PACE": "0.2"},
        settings=("runtime.executors={slurm: {pause: 1}}",),
    )
    trial.store.parent.mkdir()
    try:
        trial.start()
        trial.until(lambda: trial.done() >= 2, "the first jobs to end")
        mets = [fault(trial) for fault in (kill_worker, preempt, kill_front_end)]
        assert trial.finish() == 0, trial.said()
        reference = run_undisturbed(spec, cluster.disk / "undisturbed")
        assert len(reference) == 32
        assert trial.contents() == reference
        caught = {digest for met in mets for digest in met.caught}
        assert len(caught) >= 2 and caught <= trial.resumed()
    finally:
        trial.end()
