"""How many jobs a spec is: counted before any is made, and bounded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench_core.spec.nodes import Loc
from bench_core.spec.protocol import Protocol
from bench_core.spec.rules import Breach

MOST_JOBS = 250_000
"""Jobs of one spec, and combinations of a model and a dataset: planning so many takes about 500 MB."""

MODELS: Loc = ("models",)
EVALUATE: Loc = ("protocol", "evaluate")
SEARCH: Loc = ("protocol", "search")


def count_jobs(protocol: Protocol, *, own: bool, fixed: bool, steps: Sequence[tuple[str, str]] = ()) -> int:
    """Return the jobs of one model on one dataset.

    `own` is whether the model's runner has a procedure of its own, `fixed` whether the dataset has a fixed
    split, and `steps` are what each step needs of a finished job ("weights", "predictions"), and whether a
    job of it is over one "job", over all "folds" or one for the "cell".
    """
    evaluate, search = protocol.evaluate, protocol.search
    folds = 1 if fixed else evaluate.folds if evaluate.only is None else len(evaluate.only)
    runs = folds * evaluate.repeats
    looking = [over for needs, over in steps if not (own and needs == "weights")]
    applied = looking.count("job") * runs + looking.count("folds") * evaluate.repeats + looking.count("cell")
    searched = 0
    if search is not None and not own:
        searched = len(search.learning_rate) * (folds if search.nested or fixed else len(search.folds))
    return searched + runs + applied


def cell_breaches(models: int, datasets: int) -> Iterator[Breach]:
    """Yield the breach of a matrix that is too large to be looked at cell by cell."""
    if models * datasets > MOST_JOBS:
        yield Breach(
            "jobs",
            MODELS,
            f"{models:,} models on {datasets:,} datasets are {models * datasets:,} combinations",
            cause=f"a spec has at most {MOST_JOBS:,}",
            fix="divide the study into several specs; they can share a store",
        )


def size_breaches(jobs: int) -> Iterator[Breach]:
    """Yield the breach of a spec of too many jobs."""
    if jobs > MOST_JOBS:
        yield Breach(
            "jobs",
            EVALUATE,
            f"the spec is {jobs:,} jobs",
            cause=f"a spec has at most {MOST_JOBS:,}",
            fix="ask for fewer learning rates, folds or repeats, or divide the study into several specs",
            about=(SEARCH,),
        )
