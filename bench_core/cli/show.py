"""`bench show`: everything known of a job."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench_core.cli.common import JSON, STORE, console, print_json, say
from bench_core.errors import BenchError

if TYPE_CHECKING:
    from bench_core.store.store import Store


@click.command()
@click.argument("job")
@STORE
@JSON
def command(job: str, store: Path, as_json: bool) -> None:
    """Print settings, deviations, metrics and provenance of JOB, a digest's first digits or a name."""
    from bench_core.store.find import find_jobs
    from bench_core.store.store import Store

    opened = Store(store)
    digest, *others = find_jobs(opened, job)
    data = _data(opened, digest)
    if as_json:
        print_json(data)
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
        data["metrics"] = _metrics(store, digest) if job.work.kind != "apply" else {}
    log = store.log_path(digest)
    data["log"] = None if log is None else str(log)
    plain: dict[str, Any] = finite(data)
    return plain


def _attributes(store: Store, fingerprint: str) -> list[str]:
    """Return the names of what is kept of the dataset's samples; none where nothing can be read."""
    try:
        return list(store.samples(fingerprint).attributes)
    except BenchError:
        return []


def _metrics(store: Store, digest: str) -> dict[str, Any]:
    from bench_core.metrics.counts import micro, per_class

    counts = store.counts(digest)
    classes = per_class(counts.values)
    return {
        "split": store.result(digest).tested,
        "images": len(counts.ids),
        "all": {name: float(value) for name, value in micro(counts.values).items()},
        "classes": {
            name: {metric: float(values[index]) for metric, values in classes.items()}
            for index, name in enumerate(counts.classes)
        },
    }


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
    _section("result", facts | times)
    _section("values", result["values"])
    if metrics:
        title = f"metrics in percent, pooled over {metrics['images']} {metrics['split']} images"
        rows = {"all classes (micro)": metrics["all"], **metrics["classes"]}
        _section(title, {name: _scores(values) for name, values in rows.items()})
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


def _scores(values: Mapping[str, float | None]) -> str:
    from bench_core.metrics.scale import PERCENT

    return "  ".join(
        f"{name} {'undefined' if value is None else PERCENT.text(value, 1)}" for name, value in values.items()
    )


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_text(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_text(item) for item in value) + "]"
    return str(value)
