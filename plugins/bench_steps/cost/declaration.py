"""What the step `cost` declares."""

from __future__ import annotations

from bench_core import Option, Step
from bench_core.metrics.costs import MEASURED
from bench_steps.cost import asked

COST = Step(
    name="cost",
    version=1,
    run="bench_steps.cost.step:run",
    follows="bench_steps.cost.asked:follows",
    again="bench_steps.cost.step:again",
    resolve=asked.resolve,
    help="parameters and operations by formula; time, memory and energy of inference and training, measured",
    needs="weights",
    over="cell",
    varying=(MEASURED,),
    requires=("torch",),
    install="pip install 'segtrial[torch]'",
    options={
        "operations": Option(
            type=bool, default=True, help="Count operations; one without a formula ends the job."
        ),
        "training": Option(type=bool, default=True, help="Measure training steps, too."),
        "energy": Option(type=bool, default=True, help="Read the machine's counters of energy."),
        "batches": Option(
            type=list, default=[], help="Images per pass of inference; empty: 1 and the protocol's batch."
        ),
        "device": Option(
            type=str, default="run", choices=("run", "cpu", "cuda"), help="Where; run: where the job runs."
        ),
        "warm_up": Option(
            type=int, default=3, minimum=1, maximum=1000, help="Passes before the first timed."
        ),
        "repeats": Option(type=int, default=20, minimum=3, maximum=100_000, help="Timed passes at most."),
        "seconds": Option(
            type=float,
            default=1.0,
            minimum=0.0,
            maximum=3600.0,
            help="After which no further timed pass begins, once there are three.",
        ),
    },
)
