"""Steps and procedures that are right, and many that break one property each; a plugin file."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench_core import Architecture, Metric, Option, RunnerDeclaration, Step, hookimpl
from bench_core.protocol.outcome import Outcome

if TYPE_CHECKING:
    from bench_core.protocol.session import Session

Options = Mapping[str, Any]


def right(session: Session, options: Options) -> Outcome:
    """Shares of foreground, as table, artifact and value."""
    found = session.source().predictions()
    shares = [float((labels > 0).mean()) for labels in found.labels]
    session.records("shares", [{"image": i, "share": s} for i, s in zip(found.ids, shares, strict=True)])
    session.artifact("shares.json").write_text(json.dumps(dict(zip(found.ids, shares, strict=True))))
    session.progress(len(shares), len(shares))
    return Outcome(values={"share": float(np.mean(shares))})


def right_network(session: Session, options: Options) -> Outcome:
    """Label maps of mirrored images."""
    network = session.network()
    found = session.predict(session.test, lambda batch: network(batch.images.flip(-1)).flip(-1))
    return Outcome(predictions=found, values={"images": float(len(found.ids))})


def fails(session: Session, options: Options) -> Outcome:
    return Outcome(values={"share": session.missing})  # type: ignore[attr-defined]


def returns_dict(session: Session, options: Options) -> Any:
    return {"share": 0.5}


def leaves_nothing(session: Session, options: Options) -> Outcome:
    session.source().predictions()
    return Outcome()


def undefined(session: Session, options: Options) -> Outcome:
    return replace(right(session, options), values={"share": float("nan")})


def writes_beside(session: Session, options: Options) -> Outcome:
    Path("shares.txt").write_text("0.5")
    return right(session, options)


def changes_source(session: Session, options: Options) -> Outcome:
    path = session.artifact("shares.json")
    store = next(folder for folder in path.parents if (folder / "jobs").is_dir())
    log = next(store.glob("jobs/*/log.txt"))
    log.write_text(log.read_text() + "looked at\n")
    return right(session, options)


def adds_to_store(session: Session, options: Options) -> Outcome:
    path = session.artifact("shares.json")
    store = next(folder for folder in path.parents if (folder / "jobs").is_dir())
    (store / "jobs" / "summary.txt").write_text("done")
    return right(session, options)


def draws(session: Session, options: Options) -> Outcome:
    return replace(right(session, options), values={"share": float(np.random.default_rng().random())})


def keeps_time(session: Session, options: Options) -> Outcome:
    session.artifact("when.txt").write_text(str(time.time_ns()))
    return right(session, options)


def appends(session: Session, options: Options) -> Outcome:
    with session.artifact("log.txt").open("a") as file:
        file.write("a line\n")
    return right(session, options)


def trusts_leftovers(session: Session, options: Options) -> Outcome:
    outcome = right(session, options)
    path = session.artifact("maps.bin")
    if not path.exists():
        path.write_bytes(session.source().predictions().labels.tobytes())
    return outcome


def beyond_total(session: Session, options: Options) -> Outcome:
    session.progress(12, 5)
    return right(session, options)


def peeks(session: Session, options: Options) -> Outcome:
    maps = {sample: np.where(mask == 255, 0, mask) for sample, mask in session.truth(session.test)}
    return Outcome(predictions=session.accept(session.test, maps.items()))


def one_class_only(session: Session, options: Options) -> Outcome:
    (name,) = session.task.classes
    return replace(right(session, options), values={name: 1.0})


def file_per_image(session: Session, options: Options) -> Outcome:
    for sample in session.test.ids:
        session.artifact(f"{sample}.txt").write_text("seen")
    return right(session, options)


def hashes(session: Session, options: Options) -> Outcome:
    return replace(right(session, options), values={"share": float(hash("share") % 1000)})


def follow_otherwise(left: Any) -> dict[str, float]:
    """Says that other values follow from what it left."""
    return {"share": 2.0}


def resolve_with_time(options: Options, metrics: Mapping[str, Metric]) -> Options:
    return {**options, "when": time.time_ns()}


def resolve_to_object(options: Options, metrics: Mapping[str, Metric]) -> Options:
    return {**options, "path": Path("a")}


def refuse(options: Options, metrics: Mapping[str, Metric]) -> Options:
    raise ValueError("these options do not fit together")


def right_procedure(session: Session, options: Options) -> Outcome:
    maps = (
        (sample, (image.mean(dim=0).numpy() > options["level"]).astype(np.uint8))
        for batch in session.images(session.test)
        for sample, image in zip(batch.ids, batch.images, strict=True)
    )
    return Outcome(predictions=session.accept(session.test, maps), values={"level": options["level"]})


def random_procedure(session: Session, options: Options) -> Outcome:
    shape = session.test.arrays.masks.shape[1:]
    draw = np.random.default_rng()
    maps = [(sample, draw.integers(0, 2, shape)) for sample in session.test.ids]
    return Outcome(predictions=session.accept(session.test, maps))


def peeking_procedure(session: Session, options: Options) -> Outcome:
    """Reads the masks past the session."""
    split = session.test
    maps = [
        (sample, np.asarray(split.arrays.masks[index]) == 1)
        for sample, index in zip(split.ids, split.indices, strict=True)
    ]
    return Outcome(predictions=session.accept(split, maps))


def asking_procedure(session: Session, options: Options) -> Outcome:
    return Outcome(predictions=session.accept(session.test, session.truth(session.test)))


def empty_procedure(session: Session, options: Options) -> Outcome:
    return Outcome(values={"level": 0.5})


def appending_procedure(session: Session, options: Options) -> Outcome:
    path = session.artifact("levels.txt")
    path.write_text(f"{options['level']}\n" + (path.read_text() if path.exists() else ""))
    return right_procedure(session, options)


def environment_procedure(session: Session, options: Options) -> Outcome:
    outcome = right_procedure(session, options)
    return replace(outcome, values={"seed": float(os.environ.get("PYTHONHASHSEED", "-1") == "1")})


@dataclass(frozen=True)
class Broken:
    """Broken work and the property that must name its fault."""

    name: str
    run: Callable[[Any, Options], Any]
    property: str
    changes: dict[str, Any] = field(default_factory=dict)


_RESOLVED, _RUNS = "options are resolved to plain data", "it runs on a small study"
_SAME, _OTHER = "run again it leaves the same", "other images are taken"
_CUT = "cut off and run again it leaves the same"
_BLIND, _ELSEWHERE = "masks of tested images stay unseen", "another process leaves the same"
STEPS = (
    Broken("no-help", right, "the declaration is filled in", {"help": ""}),
    Broken("resolved-with-time", right, _RESOLVED, {"resolve": resolve_with_time}),
    Broken("resolved-to-object", right, _RESOLVED, {"resolve": resolve_to_object}),
    Broken("refuses-defaults", right, _RESOLVED, {"resolve": refuse}),
    Broken("fails", fails, _RUNS),
    Broken("returns-dict", returns_dict, _RUNS),
    Broken("leaves-nothing", leaves_nothing, "it leaves something"),
    Broken("undefined", undefined, "values are finite"),
    Broken("writes-beside", writes_beside, "nothing else is written"),
    Broken("changes-source", changes_source, "nothing else is written"),
    Broken("adds-to-store", adds_to_store, "nothing else is written"),
    Broken("draws", draws, _SAME),
    Broken("keeps-time", keeps_time, _SAME),
    Broken("appends", appends, _CUT),
    Broken("trusts-leftovers", trusts_leftovers, _CUT),
    Broken("peeks", peeks, _BLIND),
    Broken("beyond-total", beyond_total, "progress stays within its total"),
    Broken("one-class-only", one_class_only, _OTHER),
    Broken("file-per-image", file_per_image, _OTHER),
    Broken("follows-otherwise", right, "report and verify read it", {"follows": follow_otherwise}),
    Broken("hashes", hashes, _ELSEWHERE),
)
PROCEDURES = (
    Broken("asking", asking_procedure, _RUNS),
    Broken("empty", empty_procedure, _RUNS),
    Broken("random", random_procedure, _SAME),
    Broken("appending", appending_procedure, _CUT),
    Broken("peeking", peeking_procedure, _BLIND),
    Broken("environment", environment_procedure, _ELSEWHERE),
)
LEVEL = {"level": Option(type=float, default=0.3, minimum=0, maximum=1, help="brightness")}


def _step(name: str, run: Callable[[Session, Options], Any], **changes: Any) -> Step:
    return Step(**{"name": name, "version": 1, "run": run, "help": "looks at label maps", **changes})


def _runner(name: str, fit: Callable[[Session, Options], Any]) -> RunnerDeclaration:
    return RunnerDeclaration(name=name, fit=fit, help="labels", protocol="own", version=1, options=LEVEL)


@hookimpl
def bench_steps() -> list[Step]:
    return [
        _step("right", right),
        _step("right-network", right_network, needs="weights"),
        _step("timed", keeps_time, over="cell", varying=("when.txt",)),
        *(_step(one.name, one.run, **one.changes) for one in STEPS),
    ]


@hookimpl
def bench_runners() -> list[RunnerDeclaration]:
    return [_runner("right-procedure", right_procedure), *(_runner(one.name, one.run) for one in PROCEDURES)]


@hookimpl
def bench_models() -> list[Architecture]:
    return [Architecture(name="right-procedure", family="baseline", runner="right-procedure", version=1)]
