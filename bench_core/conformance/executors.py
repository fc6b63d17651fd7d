"""The properties that an executor is tried for, in order."""

from __future__ import annotations

from bench_core.conformance import executor_checks as checks
from bench_core.conformance.declared import complete_declaration, light_to_load
from bench_core.conformance.executor_subject import ExecutorSubject, subject_of
from bench_core.conformance.properties import Finding, Property, judge

__all__ = ["PROPERTIES", "ExecutorSubject", "Finding", "Property", "judge", "subject_of"]

PROPERTIES: tuple[Property[ExecutorSubject], ...] = (
    Property("the declaration is filled in", complete_declaration, "fill it in"),
    Property("as many workers start as are asked for", checks.as_many_as_asked, "start request.workers"),
    Property("starting returns at once", checks.returns_at_once, "return a Fleet, and wait for nothing"),
    Property("the fleet has a label", checks.labeled, 'name it on one line, as "Slurm job 1234"'),
    Property(
        "a worker's command arrives word by word",
        checks.word_by_word,
        "hand words on as a list; for a shell, quote each with shlex.join",
    ),
    Property("those at work are counted", checks.counted, "count them in alive(), or return None"),
    Property(
        "workers end by themselves",
        checks.ends_by_itself,
        "start no worker again that ended with exit code 0, and stop none that is at work",
    ),
    Property("when all have ended, none is alive", checks.none_alive_after, "count no worker that has ended"),
    Property(
        "nothing else is written",
        checks.nothing_astray,
        "write into request.folder, and name it to the scheduler for its files",
    ),
    Property("what workers print is kept", checks.logs_kept, "send stdout and stderr to request.folder"),
    Property("a worker that fails is not counted", checks.failing_worker, "count no worker that has ended"),
    Property(
        "the store may lie anywhere",
        checks.strange_path,
        "write no path into a shell's text unquoted, and read and write files as UTF-8",
    ),
    Property(
        "stopping lets jobs be given back", checks.stop_gives_back, "send SIGTERM to each worker itself"
    ),
    Property("stopping returns at once", checks.stop_returns_at_once, "send signals, and wait for nothing"),
    Property(
        "when all were stopped, none is alive", checks.none_alive_after_stop, "count no worker that has ended"
    ),
    Property("killing ends what does not listen", checks.kills, "send SIGKILL where kill is true"),
    Property("loading it is light", light_to_load),
    Property(
        "another process finds and stops its workers",
        checks.outlives,
        "write into request.folder in `start` what `attach` reads there; start them in sessions of their own",
    ),
    Property(
        "a scheduler that is not there is told",
        checks.not_there,
        "raise a BenchError with what is missing and a fix",
    ),
)
"""All that is checked, cheap reasons to fail first."""
