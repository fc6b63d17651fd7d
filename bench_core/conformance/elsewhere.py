"""Questions that only another process can answer: it loads the plugin anew and says what it gives there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench_core.conformance.properties import Wrong

if TYPE_CHECKING:
    from bench_core.conformance.declared import Origin

SECONDS = 300
"""After which another process is given up."""
_ANSWER = "answer.json"


def ask(question: str, origin: Origin, **details: Any) -> dict[str, Any]:
    """Return what a new process answers; it starts in an empty folder, with other hashes of text.

    Raises Wrong with the last line of its error if it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        errand = {
            "question": question,
            "hook": origin.hook,
            "name": origin.name,
            "plugin": origin.plugin,
            "file": None if origin.file is None else str(origin.file),
            "files": [str(path) for path in origin.files],
            "answer": str(Path(folder) / _ANSWER),
            **details,
        }
        empty = Path(folder) / "empty"
        empty.mkdir()
        # Paths that lead to modules here must lead there, from another folder.
        paths = os.pathsep.join(str(Path(entry or ".").resolve()) for entry in sys.path)
        seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
        done = subprocess.run(
            [sys.executable, "-m", __name__, json.dumps(errand)],
            cwd=empty,
            env={**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
        )
        answer = Path(folder) / _ANSWER
        if done.returncode != 0 or not answer.exists():
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            raise Wrong(f"another process fails: {lines[-1] if lines else f'exit code {done.returncode}'}")
        found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
        return found


def _declare(errand: Mapping[str, Any]) -> dict[str, Any]:
    """Load one plugin and call its hook, and say what that imported and opened."""
    # What every plugin imports anyway is not a plugin's doing.
    import bench_core.plugins.wiring as wiring

    known = set(sys.modules)
    opened: list[str] = []
    connected: list[str] = []
    listening = [False]

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if not listening[0]:
            return
        if event == "open" and isinstance(arguments[0], (str, bytes)):
            opened.append(os.fsdecode(arguments[0]))
        elif event in ("socket.connect", "socket.getaddrinfo"):
            connected.append(str(arguments[1] if event == "socket.connect" else arguments[0]))

    sys.addaudithook(hear)
    load: Callable[[], Any]
    if errand["file"] is not None:
        load = partial(wiring.load_plugin_file, Path(errand["file"]))
    else:
        group = entry_points(group=wiring.ENTRY_POINT_GROUP)
        load = next(point for point in group if point.name == errand["plugin"]).load
    listening[0] = True
    module = load()
    declared = getattr(module, errand["hook"])()
    listening[0] = False
    names = sorted(set(sys.modules) - known)
    own = Path(module.__file__).parent if errand["file"] is None and module.__file__ else None
    return {
        "declared": len(list(declared)),
        "frameworks": [name for name in errand["frameworks"] if name in names],
        "opened": [path for path in opened if not _is_code(path, own)],
        "connected": connected,
    }


def _is_code(text: str, package: Path | None) -> bool:
    """Say whether a file is part of a program: source, compiled, or of an installation or package."""
    path = Path(text)
    homes = [Path(prefix) for prefix in {sys.prefix, sys.base_prefix, sys.exec_prefix}]
    if package is not None:
        homes.append(package)
    if text.startswith(("/proc/", "/sys/", "/dev/", "<")) or any(home in path.parents for home in homes):
        return True
    # A compiled file is written under a name of its own first: plugin.cpython-312.pyc.140234.
    return not {".py", ".pyc", ".so", ".pyd"}.isdisjoint(path.suffixes)


def _samples(errand: Mapping[str, Any]) -> dict[str, Any]:
    from bench_core.conformance.dataset_subject import subject_of, told
    from bench_core.plugins.wiring import load_registry

    registry = load_registry([Path(path) for path in errand["files"]])
    root = None if errand["root"] is None else Path(errand["root"])
    return told(subject_of(registry, errand["name"], errand["options"], root), errand["read"])


def _work(errand: Mapping[str, Any]) -> dict[str, Any]:
    from bench_core.conformance.work_subject import procedure_subject, step_subject
    from bench_core.plugins.wiring import load_registry

    registry = load_registry([Path(path) for path in errand["files"]])
    make = step_subject if errand["kind"] == "step" else procedure_subject
    subject = make(registry, errand["name"], errand["options"])
    study = subject.study(store=Path(errand["store"]))
    return {"left": [left.plain() for left in subject.run(study)]}


def _section(errand: Mapping[str, Any]) -> dict[str, Any]:
    from bench_core.conformance.analysis_subject import subject_of
    from bench_core.conformance.ground import read_study
    from bench_core.plugins.wiring import load_registry

    registry = load_registry([Path(path) for path in errand["files"]])
    subject = subject_of(registry, errand["name"], errand["options"])
    evidence = read_study(Path(errand["study"]), subject.registry).evidence()
    return {"files": subject.written(subject.of(evidence))}


def _fleet(errand: Mapping[str, Any]) -> dict[str, Any]:
    """Start a worker, see it start, and leave it alone."""
    from bench_core.conformance.executor_subject import Board

    subject, board = _executor(errand), Board.of(Path(errand["root"]))
    subject.start(board.request(1))
    subject.wait_for_workers(board, 1)
    return {}


def _fleet_without_commands(errand: Mapping[str, Any]) -> dict[str, Any]:
    """Say how an executor ends that finds no command of its scheduler; stop what it starts all the same."""
    from bench_core.conformance.executor_subject import Board
    from bench_core.conformance.properties import in_words
    from bench_core.errors import BenchError, PluginError

    os.environ["PATH"] = errand["root"]
    try:
        fleet = _executor(errand).start(Board.of(Path(errand["root"])).request(1))
    except BenchError as error:
        return {"error": in_words(error), "user": not isinstance(error, PluginError), "fix": error.fix}
    fleet.stop(kill=True)
    return {"error": None}


def _executor(errand: Mapping[str, Any]) -> Any:
    from bench_core.conformance.executor_subject import subject_of
    from bench_core.plugins.wiring import load_registry

    registry = load_registry([Path(path) for path in errand["files"]])
    return subject_of(registry, errand["name"], errand["options"], errand["patience"], errand["ending"])


_ANSWERS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "declare": _declare,
    "samples": _samples,
    "work": _work,
    "section": _section,
    "fleet": _fleet,
    "fleet_without_commands": _fleet_without_commands,
}


def main(text: str) -> None:
    """Answer one errand."""
    errand = json.loads(text)
    Path(errand["answer"]).write_text(json.dumps(_ANSWERS[errand["question"]](errand)), encoding="utf-8")
    if errand["question"] == "fleet":
        # Without a farewell, as a process that is killed.
        os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
