"""Do seconds, memory, attempts and the log agree with each other and with the history?"""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bench_core.analysis.verify.audit import Audit, Subject
from bench_core.analysis.verify.findings import Finding
from bench_core.errors import BenchError
from bench_core.execute.logs import JOB_LOGGER
from bench_core.files.bounded import open_regular
from bench_core.records import EpochRecord
from bench_core.store.files import read_json
from bench_core.store.folder import LOG, RESULT
from bench_core.store.result import Result

ATTEMPTS = "attempts.json"
SLACK_SECONDS, SLACK_SHARE = 2.0, 0.01
"""By which times of two clocks may contradict each other; the log has whole seconds."""
SAME_MOMENT = 5.0
"""Seconds within which the log's first and last lines and the provenance speak of one moment."""
SLEEP_SECONDS, SLEEP_SHARE = 10.0, 0.1
"""From how much on a single attempt that seems to have slept is told."""
TELLING_SECONDS = 60.0
"""From how much on the log says how long epochs took."""
ODD_MEMORY = 2.0
MOST_MEMORY = 2**50
MOST_LOG_BYTES = 64 * 1024**2
_LINE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) \w+ +" + re.escape(JOB_LOGGER) + ": (.*)")
_EPOCH = re.compile(r"epoch (\d+)/\d+: loss (\S+), (.*)")
_DONE = re.compile(r"done in (\S+) s: (\w+) (\S+) in epoch (\d+)")
_SIZE = re.compile(r".*: ([0-9,]+) parameters, weights: .*")
_BEGUN = re.compile(r".* \(([0-9a-f]{32})\), attempt \d+")


def times(subject: Subject, audit: Audit) -> Iterable[Finding] | None:
    """Compare seconds with time stamps, the log with the history, memory with the network and the cell."""
    if subject.result is None:
        return None
    return list(_times(subject, subject.result, audit))


def _times(subject: Subject, result: Result, audit: Audit) -> Iterator[Finding]:
    run = result.provenance.get("run") if isinstance(result.provenance, Mapping) else None
    span = None
    if isinstance(run, Mapping):
        span = _moment(run.get("started")), _moment(run.get("finished"))
        yield from _stamps(subject, result, *span)
    yield from _attempts(subject, result)
    if result.training is not None:
        epochs = math.fsum(item.train_seconds + item.validation_seconds for item in result.training.history)
        if epochs > _most(result.seconds):
            text = f"its epochs took {epochs:.1f} s, the job {result.seconds:.1f} s"
            yield subject.finding(text, RESULT)
        for item in result.training.history:
            if item.waited_seconds is not None and item.waited_seconds > item.train_seconds:
                text = (
                    f"epoch {item.epoch + 1} waited {item.waited_seconds:.1f} s of {item.train_seconds:.1f} s"
                )
                yield subject.finding(text, RESULT)
    yield from _memory(subject, result, audit)
    yield from _log(subject, result, span)


def _most(seconds: float) -> float:
    return seconds * (1 + SLACK_SHARE) + SLACK_SECONDS


def _moment(text: Any) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{text!a:.60} is not a moment") from error
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _stamps(subject: Subject, result: Result, started: datetime, finished: datetime) -> Iterator[Finding]:
    took = (finished - started).total_seconds()
    if started > datetime.now(UTC) + timedelta(days=1):
        yield subject.finding(f"it was started in the future: {started.isoformat()}", RESULT)
    elif took < 0:
        yield subject.finding("it was finished before it was started", RESULT)
    elif result.seconds > _most(took):
        text = f"it says {result.seconds:.1f} s, and was finished {took:.1f} s after it was started"
        yield subject.finding(text, RESULT)
    elif result.attempts == 1 and took > result.seconds * (1 + SLEEP_SHARE) + SLEEP_SECONDS:
        text = f"it says {result.seconds:.1f} s in one attempt, which ended {took:.1f} s after it began"
        yield subject.finding(text, RESULT, level="warning")


def _attempts(subject: Subject, result: Result) -> Iterator[Finding]:
    """Compare the result with the list of its attempts, which is kept beside it."""
    if not (subject.folder / ATTEMPTS).exists():
        return
    try:
        entries = read_json(subject.folder / ATTEMPTS, "")
    except BenchError:
        return  # `origin` names it.
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries) or not entries:
        yield subject.finding("it is not a list of attempts", ATTEMPTS)
        return
    seconds = math.fsum(entry.get("seconds") or 0.0 for entry in entries)
    if not math.isclose(seconds, result.seconds, rel_tol=1e-9, abs_tol=1e-6):
        yield subject.finding(
            f"its attempts took {seconds!r} s, the result says {result.seconds!r}", ATTEMPTS
        )
    run = result.provenance.get("run")
    begun = entries[0].get("started")
    if isinstance(run, Mapping) and run.get("started") != begun:
        text = f"its first attempt was started at {begun!a:.40}, the result says {run.get('started')!a:.40}"
        yield subject.finding(text, ATTEMPTS)
    different = {json.dumps(entry.get("environment"), sort_keys=True) for entry in entries}
    if result.provenance.get("environments") not in (None, len(different)):
        text = f"its attempts ran in {len(different)} environments, the result says another number"
        yield subject.finding(text, ATTEMPTS)
    if entries[-1].get("basis") not in (None, dict(result.basis)):
        yield subject.finding("its last attempt stood on other data or code than the result says", ATTEMPTS)
    environment = entries[-1].get("environment")
    for key, value in environment.items() if isinstance(environment, dict) else ():
        if result.provenance.get(key) != value:
            text = f"its last attempt has another {key} than the provenance of the result"
            yield subject.finding(text, ATTEMPTS)
            return


def _memory(subject: Subject, result: Result, audit: Audit) -> Iterator[Finding]:
    peak, network = result.peak_memory_bytes, result.network
    least = 4 * network.parameters if network is not None else 0
    if not least <= peak <= MOST_MEMORY or peak == 0:
        text = f"its peak memory is {peak:,} bytes"
        yield subject.finding(text + (f", its weights alone take {least:,}" if peak < least else ""), RESULT)
        return
    key = (subject.job.cell, subject.job.stage, result.provenance.get("device"))
    usual: float | None = audit.once(("memory", key), lambda: _usual_memory(subject, audit))
    if usual is not None and not usual / ODD_MEMORY <= peak <= usual * ODD_MEMORY:
        text = f"its peak memory is {peak:,} bytes, the median of its cell is {int(usual):,}"
        yield subject.finding(text, RESULT, level="warning")


def _usual_memory(subject: Subject, audit: Audit) -> float | None:
    device = subject.result.provenance.get("device") if subject.result is not None else None
    found = [
        peer.result.peak_memory_bytes
        for peer in audit.same_cell(subject)
        if peer.job.stage == subject.job.stage
        and peer.result is not None
        and peer.result.provenance.get("device") == device
    ]
    return statistics.median(found) if len(found) > 2 else None


@dataclass(frozen=True)
class _Line:
    number: int
    """From 1."""
    time: datetime
    text: str


def _lines(subject: Subject) -> tuple[_Line, ...] | None:
    """Return what segtrial itself wrote into the log; None where there is none."""
    try:
        with open_regular(subject.folder / LOG) as file:
            content = file.read(MOST_LOG_BYTES).decode("utf-8", "replace")
    except (OSError, ValueError):
        return None
    matches = ((number, _LINE.fullmatch(line)) for number, line in enumerate(content.split("\n"), start=1))
    return tuple(_Line(number, _moment(found[1]), found[2]) for number, found in matches if found is not None)


def _log(subject: Subject, result: Result, span: tuple[datetime, datetime] | None) -> Iterator[Finding]:
    """Compare the log with the result; a line that could not be written is not a contradiction."""
    lines = _lines(subject)
    if lines is None:
        yield subject.finding("there is no log", LOG, level="warning")
        return
    if span is not None and lines:
        for line, moment in ((lines[0], span[0]), (lines[-1], span[1])):
            done = _DONE.fullmatch(line.text)
            if line is lines[0] or done:
                apart = abs((line.time - moment).total_seconds())
                if apart > SAME_MOMENT:
                    text = f"the log says {line.time.isoformat()}, the result {moment.isoformat()}"
                    yield subject.finding(text, LOG, line.number)
    begun = {found[1] for line in lines if (found := _BEGUN.fullmatch(line.text)) is not None}
    if begun - {subject.job.digest}:
        yield subject.finding(f"the log is of job {min(begun)[:12]}", LOG)
    sizes = {found[1] for line in lines if (found := _SIZE.fullmatch(line.text)) is not None}
    if result.network is not None and sizes - {f"{result.network.parameters:,}"}:
        text = f"the log says that its network has {min(sizes)} parameters, the result "
        yield subject.finding(f"{text}{result.network.parameters:,}", LOG)
    training = result.training
    if training is None:
        return
    last: dict[int, _Line] = {}
    for line in lines:
        found = _EPOCH.fullmatch(line.text)
        if found is not None:
            last[int(found[1]) - 1] = line
    for epoch, line in sorted(last.items()):
        if epoch >= len(training.history):
            yield subject.finding(f"it logs epoch {epoch}, which the result lacks", LOG, line.number)
            return
        if line.text.partition(": ")[2] != _logged(training.history[epoch]):
            text = f"epoch {epoch}: the log says {line.text.partition(': ')[2][:200]}"
            yield subject.finding(f"{text}; the result {_logged(training.history[epoch])}", LOG, line.number)
            return
    for line in lines:
        done = _DONE.fullmatch(line.text)
        wanted = (f"{result.seconds:.1f}", training.monitor, f"{training.best_value:.4f}")
        if done is not None and done.groups() != (*wanted, str(training.chosen_epoch + 1)):
            yield subject.finding(
                f"the log says {line.text[:200]}, which the result does not", LOG, line.number
            )
    yield from _pace(subject, lines, last, training.history)


def _logged(record: EpochRecord) -> str:
    """Return an epoch as the log has it."""
    values = ", ".join(f"{name} {value:.4f}" for name, value in record.validation.items())
    loss = "-" if math.isnan(record.loss) else f"{record.loss:.5g}"
    return f"loss {loss}, {values}"


def _pace(
    subject: Subject, lines: tuple[_Line, ...], last: Mapping[int, _Line], history: tuple[EpochRecord, ...]
) -> Iterator[Finding]:
    """Compare the seconds of epochs with the time between their lines, within one attempt."""
    passed = claimed = 0.0
    before: _Line | None = None
    for line in lines:
        if _BEGUN.fullmatch(line.text):
            before = None
        found = _EPOCH.fullmatch(line.text)
        if found is None:
            continue
        epoch = int(found[1]) - 1
        if before is not None and last.get(epoch) is line:
            passed += (line.time - before.time).total_seconds()
            claimed += history[epoch].train_seconds + history[epoch].validation_seconds
        before = line
    text = f"its epochs took {claimed:.1f} s by the result, {passed:.1f} s by the log"
    if claimed > _most(passed):
        yield subject.finding(text, LOG)
    elif passed > TELLING_SECONDS and claimed < passed / 2:
        yield subject.finding(text, LOG, level="warning")
