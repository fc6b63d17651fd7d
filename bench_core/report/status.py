"""How far the study is: complete, or what is missing, why, and the command that goes on."""

from __future__ import annotations

from bench_core.analysis.evidence import Evidence, Gap
from bench_core.report.blocks import Callout
from bench_core.report.names import bench, listed, plural

_SHOWN = 12


def headline(evidence: Evidence) -> str:
    """Return the study's state in a few words."""
    jobs = len(evidence.plan.jobs)
    if evidence.complete:
        return f"complete: {plural(jobs, 'job')}"
    return f"partial: {jobs - len(evidence.gaps)} of {plural(jobs, 'job')}"


def status(evidence: Evidence) -> tuple[Callout, ...]:
    """Return what a reader must know of missing, failed, unreadable and stale results."""
    found = []
    failed = [gap for gap in evidence.gaps if gap.state in ("failed", "unreadable")]
    stale = [gap for gap in evidence.gaps if gap.state == "stale"]
    waiting = [gap for gap in evidence.gaps if gap.state in ("todo", "running")]
    if waiting or stale:
        running = sum(gap.state == "running" for gap in waiting)
        todo = len(waiting) - running + len(stale)
        parts = [
            plural(number, "job") + f" {what}"
            for number, what in ((todo, "to do"), (running, "running"))
            if number
        ]
        text = f"This report is partial: {listed(parts)}. Every number below comes from finished jobs only."
        found.append(Callout("warning", text, _cells([*waiting, *stale]), bench(evidence, "run")))
    if stale:
        text = (
            f"The store holds results of {plural(len(stale), 'job')} under other settings than this spec's. "
            "They are not used here."
        )
        found.append(Callout("note", text, (), bench(evidence, "plan")))
    if failed:
        items = [
            f"{gap.job.name} ({gap.state}): {gap.reason or 'no reason recorded'}" for gap in failed[:_SHOWN]
        ]
        if len(failed) > _SHOWN:
            items.append(f"and {len(failed) - _SHOWN} more")
        verb = "has" if len(failed) == 1 else "have"
        text = f"{plural(len(failed), 'job')} {verb} failed or cannot be read."
        found.append(Callout("warning", text, tuple(items), bench(evidence, "logs", failed[0].job.digest)))
    return tuple(found)


def _cells(gaps: list[Gap]) -> tuple[str, ...]:
    table: dict[tuple[str, str], dict[str, int]] = {}
    for gap in gaps:
        stages = table.setdefault((gap.job.model.label, gap.job.dataset.label), {})
        stages[gap.job.stage] = stages.get(gap.job.stage, 0) + 1
    items = [
        f"{model} on {dataset}: {listed(plural(number, f'{stage} job') for stage, number in stages.items())}"
        for (model, dataset), stages in table.items()
    ]
    if len(items) > _SHOWN:
        items = [*items[:_SHOWN], f"and {len(items) - _SHOWN} more cells"]
    return tuple(items)
