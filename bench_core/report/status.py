"""How far the study is: complete, or what is missing, why, and the command that continues it."""

from __future__ import annotations

from bench_core.analysis.evidence import Evidence, Gap
from bench_core.analysis.learned import data_warnings, unlearned
from bench_core.execute.ground import Change
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
    apart = [gap for gap in stale if gap.job.digest in evidence.standing.left_out]
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
    found += _standing(evidence, apart)
    others = len(stale) - len(apart)
    if others:
        text = (
            f"The store holds results of {plural(others, 'job')} under other settings than this spec's. "
            "They are not used here."
        )
        found.append(Callout("note", text, (), bench(evidence, "plan")))
    broken = [gap for gap in failed if gap.state == "unreadable"]
    failed = [gap for gap in failed if gap.state == "failed"]
    if broken:
        verb = "is" if len(broken) == 1 else "are"
        text = f"{plural(len(broken), 'result')} {verb} damaged and not used here."
        items = [f"{gap.job.name}: {gap.reason}" for gap in broken]
        found.append(Callout("warning", text, _some(items), broken[0].fix or bench(evidence, "run")))
    if failed:
        items = [f"{gap.job.name}: {gap.reason or 'no reason recorded'}" for gap in failed]
        verb = "has" if len(failed) == 1 else "have"
        text = f"{plural(len(failed), 'job')} {verb} failed."
        code = bench(evidence, "logs", failed[0].job.digest)
        found.append(Callout("warning", text, _some(items), code))
    return (*found, *_doubts(evidence))


def _doubts(evidence: Evidence) -> list[Callout]:
    """Return what the numbers below may owe to a failed training, or to unusual data."""
    found = []
    signs, warnings = unlearned(evidence), data_warnings(evidence)
    if signs:
        text = "Networks that show no sign of having learned are among these results."
        found.append(Callout("warning", text, _some(list(signs))))
    if warnings:
        found.append(Callout("note", "The jobs were warned of their data.", _some(list(warnings))))
    return found


def _standing(evidence: Evidence, apart: list[Gap]) -> list[Callout]:
    """Return what the results stand on, where that is not the same for all, or not what is there now."""
    found = []
    if apart:
        verb = "stands" if len(apart) == 1 else "stand"
        text = (
            f"{plural(len(apart), 'result')} {verb} on other data, code or weights than those beside them, "
            "and are not compared with them here."
        ).replace("and are", "and is" if len(apart) == 1 else "and are")
        items = [f"{gap.job.name}: {gap.reason}" for gap in apart]
        found.append(Callout("warning", text, _some(items), bench(evidence, "run")))
    for item in evidence.standing.outdated:
        many = len(item.jobs)
        text = (
            f"{item.change}: {plural(many, 'result')} below {'is' if many == 1 else 'are'} of before. "
            "A run computes them anew; `bench accept` keeps them, with a reason."
        )
        found.append(Callout("warning", text, _some(list(item.jobs)), bench(evidence, "run")))
    for acceptance in evidence.standing.accepted:
        planned = evidence.plan.by_digest
        changed = {
            f"{planned[digest].name}: {Change(what, *pair)}"
            for digest, pairs in acceptance.results.items()
            if digest in planned
            for what, pair in pairs.items()
        }
        text = f"Accepted by {acceptance.by} on {acceptance.time[:10]}: {acceptance.because}"
        found.append(Callout("note", text, _some(sorted(changed)), ""))
    return found


def _some(items: list[str]) -> tuple[str, ...]:
    return (*items[:_SHOWN], f"and {len(items) - _SHOWN} more") if len(items) > _SHOWN else tuple(items)


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
