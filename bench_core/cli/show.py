"""`bench show`: everything known of a job."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench_core.cli.common import JSON, console, print_json, say
from bench_core.cli.reading import STORE_OR_ARCHIVE, reading_store
from bench_core.errors import BenchError

if TYPE_CHECKING:
    from bench_core.declarations import Metric
    from bench_core.plan.job import Job
    from bench_core.store.result import Result
    from bench_core.store.store import Store


@click.command()
@click.argument("job")
@STORE_OR_ARCHIVE
@JSON
def command(job: str, store: Path, as_json: bool) -> None:
    """Print settings, deviations, metrics and provenance of JOB, a digest's first digits or a name."""
    from bench_core.store.find import find_jobs

    with reading_store(store) as source:
        digest, *others = find_jobs(source.store, job)
        data = _data(source.store, digest)
        for key in ("folder", "log"):
            if data.get(key) is not None:
                data[key] = source.shown(data[key])
    if as_json:
        print_json(data | {"others": list(others)})
        return
    _print(data)
    if others:
        listed = ", ".join(other[:12] for other in others)
        say(f"\n{len(others)} more of this name, under other settings: {listed}")


def _data(store: Store, digest: str) -> dict[str, Any]:
    from bench_core.store.result import finite

    job = store.job(digest)
    data: dict[str, Any] = {"name": job.name, "state": store.state(digest), "job": job.to_json()}
    owner = store.owner(digest)
    if data["state"] == "running" and owner is not None:
        data["running"] = {"host": owner.host, "pid": owner.pid, "since": owner.started}
    failure = store.failure(digest)
    if failure is not None:
        data["failure"] = failure.to_json()
    if data["state"] == "done":
        data["folder"] = str(store.folder(digest))
        result = store.result(digest)
        data["result"] = result.to_json()
        data["attributes"] = _attributes(store, result.data.fingerprint)
        data |= _metrics(store, job)
        data["waited_for_images"] = _waited(result)
    log = store.log_path(digest)
    data["log"] = None if log is None else str(log)
    plain: dict[str, Any] = finite(data)
    return plain


def _waited(result: Result) -> dict[str, Any] | None:
    """Return the share of its training time that a job waited for images, and what helps if it is much."""
    from bench_core.protocol.waited import MUCH, advice, share_waited

    share = share_waited(result.training.history) if result.training is not None else None
    if share is None:
        return None
    loaders, device = result.provenance.get("loader_workers"), str(result.provenance.get("device"))
    much = share > MUCH and isinstance(loaders, int)
    return {"share": share, "advice": advice(loaders or 0, device) if much else None}


def _attributes(store: Store, fingerprint: str) -> list[str]:
    """Return the names of what is kept of the dataset's samples; none where nothing can be read."""
    try:
        return list(store.samples(fingerprint).attributes)
    except BenchError:
        return []


def _metrics(store: Store, job: Job) -> dict[str, Any]:
    """Return every metric of a job by name, and the steps that looked at it."""
    from bench_core.analysis.of_job import metrics_of

    found, steps = metrics_of(store, job, _declared())
    result, step = store.result(job.digest), job.work.kind == "apply"
    metrics = {
        "split": "test" if step else result.tested,
        "images": result.data.test if step else len(store.counts(job.digest).ids),
        "all": {item.name: item.value for item in found},
        "classes": {
            label: {item.name: item.classes[label] for item in found}
            for label in (found[0].classes if found else ())
        },
        "units": {item.name: item.unit for item in found},
        "better": {item.name: item.scale.better if item.scale else None for item in found},
        "how": {item.name: item.how for item in found},
    }
    listed = [
        {"label": item.job.stage, "digest": item.job.digest, "values": item.values, "problem": item.problem}
        for item in steps
    ]
    return {"metrics": metrics if found else {}, "steps": listed}


def _declared() -> Mapping[str, Metric]:
    """Return the metrics that installed plugins declare; the core's own where a plugin is broken."""
    from bench_core.metrics.plugin import bench_metrics
    from bench_core.plugins.wiring import load_registry

    try:
        return load_registry().metrics
    except BenchError:
        return {metric.name: metric for metric in bench_metrics()}


def _print(data: Mapping[str, Any]) -> None:
    job = data["job"]
    out = console()
    out.print(data["name"], style="bold", markup=False, soft_wrap=True)
    state = data["state"]
    if "running" in data:
        state += " (process {pid} on {host} since {since})".format(**data["running"])
    _section("", {"state": state, "digest": job["digest"], "log": data["log"], "folder": data.get("folder")})
    if "failure" in data:
        failure = data["failure"]
        _section(
            "failure", {key: failure[key] for key in ("message", "place", "cause", "fix", "time", "attempts")}
        )
    _section(
        "model",
        {
            key: value
            for key, value in job["model"].items()
            if key not in ("deviations", "departures", "label")
        },
    )
    for deviation in job["model"]["deviations"]:
        say(
            f"  deviates: {deviation['setting']} is {_text(deviation['value'])}, the protocol says "
            f"{_text(deviation['protocol'])} ({deviation['because']})"
        )
    for departure in job["model"]["departures"]:
        say(
            f"  departs: {departure['what']} is {departure['here']}, published is {departure['published']} "
            f"({departure['because']})"
        )
    _section("dataset", {key: value for key, value in job["dataset"].items() if key != "label"})
    _section("fold", job["fold"])
    _section("pixels", job["pixels"])
    _section("work", job["work"])
    if "result" in data:
        _print_result(data)


def _print_result(data: Mapping[str, Any]) -> None:
    result, metrics = data["result"], data["metrics"]
    training = result["training"] or {}
    told = ("learning_rate", "candidates", "class_weights", "monitor", "best_value")
    facts = {key: training.get(key) for key in told}
    if training:
        run, planned = len(training["history"]), training["planned_epochs"]
        facts |= {
            "epochs": f"{run} of {planned}" + (", stopped early" if run < planned else ""),
            "chosen_epoch": training["chosen_epoch"] + 1,
        }
    times = {
        "seconds": result["seconds"],
        "attempts": result["attempts"],
        "peak_memory": f"{result['peak_memory_bytes'] / 2**20:.0f} MiB",
    }
    waited = data.get("waited_for_images")
    if waited:
        share = f"{waited['share']:.0%} of the training time"
        times["waited_for_images"] = "; ".join(filter(None, (share, waited["advice"])))
    _section("result", facts | times)
    _section("values", result["values"])
    if metrics:
        title = f"metrics of {metrics['images']} {metrics['split']} images"
        _section(title, {name: _scores(metrics, name) for name in metrics["all"]})
    for step in data["steps"]:
        said = step["problem"] or _text(step["values"])
        _section(f"step {step['label']}", {"digest": step["digest"][:12], "left": said})
    _section("network", result["network"] or {})
    _section("data", result["data"] | {"attributes": data["attributes"]})
    _section("files", result["files"] | dict.fromkeys(result["artifacts"], "left by the job"))
    _section("provenance", result["provenance"])


def _section(title: str, values: Mapping[str, Any]) -> None:
    shown = {key: value for key, value in values.items() if value not in (None, {}, [], "")}
    if not shown:
        return
    if title:
        say(f"\n{title}")
    width = max(len(str(key)) for key in shown)
    for key, value in shown.items():
        say(f"  {key:<{width}}  {_text(value)}")


def _scores(metrics: Mapping[str, Any], name: str) -> str:
    """Return a metric's unit, direction and values in words."""
    from bench_core.metrics.scale import Scale

    better = metrics["better"][name]
    scale = Scale(metrics["units"][name], better or "higher")
    rows = {"all classes": metrics["all"], **metrics["classes"]}
    more = 1 if scale.unit == "fraction" else 0
    values = [
        f"{label} {'undefined' if found[name] is None else scale.text(found[name], more)}"
        for label, found in rows.items()
    ]
    direction = f"{better} is better" if better else "direction not known here"
    return "  ".join([f"{scale.words}, {direction}; {metrics['how'][name]}:", *values])


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_text(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_text(item) for item in value) + "]"
    return str(value)
