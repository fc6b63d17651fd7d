"""Steps that draw corruptions: the one here, and those of anybody with corruptions of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench_core import Step
from bench_core.declarations import Metric, Side
from bench_steps.corruption.declared import KINDS, Corruption
from bench_steps.corruption.options import adapt, options_of, resolve

if TYPE_CHECKING:
    from bench_core.protocol.outcome import Outcome
    from bench_core.protocol.session import Session


def corruption_step(name: str, kinds: Sequence[Corruption], *, version: int = 1, help: str = "") -> Step:
    """Return a step that tests networks under these corruptions; the report's part `corruption` reads it.

    Raises ValueError for two kinds of one name.
    """
    names = [kind.name for kind in kinds]
    twice = next((each for each in names if names.count(each) > 1), None)
    if twice is not None or not names:
        raise ValueError(f"step {name!r} has {'no corruption' if twice is None else f'{twice!r} twice'}")

    def run(session: Session, options: Mapping[str, Any]) -> Outcome:
        from bench_steps.corruption import step

        return step.run(session, options, kinds)

    def again(session: Session, options: Mapping[str, Any]) -> Outcome:
        from bench_steps.corruption import step

        return step.again(session, options, kinds)

    def resolved(options: Mapping[str, Any], metrics: Mapping[str, Metric]) -> dict[str, Any]:
        return resolve(options, kinds)

    def adapted(options: Mapping[str, Any], data: Side) -> dict[str, Any]:
        return adapt(options, data, kinds)

    return Step(
        name=name,
        version=version,
        run=run,
        again=again,
        follows="bench_steps.follow:corrupted",
        resolve=resolved,
        adapt=adapted,
        help=help or f"tested images under corruptions: {', '.join(names)}",
        needs="weights",
        requires=("torch", "cv2", "PIL"),
        install="pip install 'segtrial[torch]'",
        options=options_of(kinds),
    )


CORRUPTION = corruption_step(
    "corruption",
    KINDS,
    help="tested networks under corruptions of imaging (noise, blur, hair, shadows), in five severities",
)
