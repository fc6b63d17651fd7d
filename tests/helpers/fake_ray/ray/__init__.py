"""A stand-in for Ray on a path before it: actors are threads of the process that asks, nodes are numbers.

FAKE_RAY holds JSON: `nodes` (resources of each), or `error` (what `init` raises, by class and text).
"""

from __future__ import annotations

import builtins
import json
import os
import threading
from concurrent.futures import FIRST_COMPLETED, Future
from concurrent.futures import wait as wait_for
from typing import Any

from ray import cloudpickle, exceptions

__all__ = ["cloudpickle", "exceptions"]
_cluster: dict[str, Any] = {}
_free: list[dict[str, float]] = []
_waiting: list[_Actor] = []
_lock = threading.RLock()
_local = threading.local()


def init(**settings: Any) -> dict[str, Any]:
    _cluster.update(json.loads(os.environ["FAKE_RAY"]))
    if "error" in _cluster:
        kind, text = _cluster["error"]
        raise getattr(builtins, kind)(text)
    _free.extend(dict(node) for node in _cluster["nodes"])
    return {"address": settings["address"]}


def shutdown() -> None:
    pass


def nodes() -> list[dict[str, Any]]:
    return [{"Alive": True, "Resources": node} for node in _cluster["nodes"]]


def remote(kind: type) -> _Class:
    return _Class(kind)


def wait(references: list[Future[Any]], *, num_returns: int = 1, timeout: float) -> tuple[list, list]:
    done, left = wait_for(references, timeout, return_when=FIRST_COMPLETED)
    return list(done)[:num_returns], list(left)


def get(reference: Future[Any]) -> Any:
    return reference.result()


def kill(actor: _Actor) -> None:
    actor.end()


def get_runtime_context() -> Any:
    return _local


class _Class:
    def __init__(self, kind: type, **options: Any) -> None:
        self._kind, self._options = kind, options

    def options(self, **options: Any) -> _Class:
        return _Class(self._kind, **options)

    def remote(self, *arguments: Any) -> _Actor:
        needs = {"CPU": self._options["num_cpus"], "GPU": self._options["num_gpus"]}
        return _Actor(self._kind, arguments, needs | self._options["resources"])


class _Actor:
    def __init__(self, kind: type, arguments: tuple[Any, ...], needs: dict[str, float]) -> None:
        self._kind, self._arguments, self._needs = kind, arguments, needs
        self._node: dict[str, float] | None = None
        self._object: Any = None
        self._there, self._dead = threading.Event(), False
        self._open: list[Future[Any]] = []
        with _lock:
            _waiting.append(self)
            _place()

    def begin(self) -> bool:
        fitting = (
            node for node in _free if all(node.get(name, 0) >= self._needs[name] for name in self._needs)
        )
        self._node = next(fitting, None)
        if self._node is None:
            return False
        for name in self._needs:
            self._node[name] = self._node.get(name, 0) - self._needs[name]
        _local.current_actor = self
        self._object = self._kind(*self._arguments)
        self._there.set()
        return True

    def end(self) -> None:
        with _lock:
            if self._dead:
                return
            self._dead = True
            if self in _waiting:
                _waiting.remove(self)
            if self._node is not None:
                for name in self._needs:
                    self._node[name] += self._needs[name]
            for future in self._open:
                if not future.done():
                    future.set_exception(exceptions.RayError("the actor was killed"))
            _place()

    def __getattr__(self, name: str) -> _Method:
        return _Method(self, name)


class _Method:
    def __init__(self, actor: _Actor, name: str) -> None:
        self._actor, self._name = actor, name

    def remote(self, *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._actor._open.append(future)

        def call() -> None:
            self._actor._there.wait()
            result = getattr(self._actor._object, self._name)(*arguments)
            if not future.done():
                future.set_result(result)

        threading.Thread(target=call, daemon=True).start()
        return future


def _place() -> None:
    for actor in list(_waiting):
        if actor.begin():
            _waiting.remove(actor)
