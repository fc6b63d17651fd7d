"""A batch: one file for all jobs, read within bounds, named by its content."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_core.errors import StoreError
from bench_core.execute.batch import (
    Batch,
    Requirement,
    batch_ids,
    batches,
    has_ended,
    queue_batch,
    read_batch,
    remove_batch,
)
from bench_core.execute.provenance import RunContext
from bench_core.execute.queue import Order
from bench_core.plan.expand import Plan
from bench_core.plan.job import Need, Role
from bench_core.protocol.run_options import RunOptions
from bench_core.store.result import Failure
from bench_core.store.store import Store
from tests.helpers.small_study import load


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return load(tmp_path_factory.mktemp("spec"), models="[dots-net, slow-net]", search=True)[1]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results", create=True)


def full(plan: Plan, folder: Path) -> Batch:
    """Return a batch that uses every field."""
    first, second = plan.jobs[0].digest, plan.jobs[1].digest
    order = Order(
        plugins=(folder / "plügin.py",),
        context=RunContext("small", "ab" * 32, "bench run x", {"plugin": "plugin.py"}),
        options=RunOptions(threads=2, runners={"torch": {"log": True}}),
        cache=folder / "cache",
    )
    asked = {first: Requirement(20 * 2**30, 2), second: Requirement(None, 2)}
    retried = {second: Failure(second, "name", "ValueError", "it broke")}
    return Batch("small", plan.jobs, order, "auto", asked, retried)


def path_of(store: Store, batch: Batch) -> Path:
    return batches(store) / f"{batch.id}.jsonl"


def test_a_batch_is_read_as_it_was_queued(plan: Plan, store: Store, tmp_path: Path) -> None:
    queued = queue_batch(store, full(plan, tmp_path))
    assert batch_ids(store) == [queued.id]
    found = read_batch(store, queued.id)
    assert found == queued and found.jobs == plan.jobs
    assert found.requirement(plan.jobs[0].digest) == Requirement(20 * 2**30, 2)
    assert found.requirement(plan.jobs[2].digest) == Requirement()
    assert [path.name for path in batches(store).iterdir()] == [f"{queued.id}.jsonl"]


@pytest.mark.parametrize("role", get_args(Role))
def test_whatever_a_job_needs_another_for_is_read_back(plan: Plan, store: Store, role: Role) -> None:
    first, second, *rest = plan.jobs
    jobs = (first, replace(second, needs=(Need(first.digest, role),)), *rest)
    queued = queue_batch(store, Batch("small", jobs, Order()))
    assert read_batch(store, queued.id).jobs == jobs


def test_its_id_stands_for_jobs_and_code_and_not_for_command_or_failures(
    plan: Plan, store: Store, tmp_path: Path
) -> None:
    batch = full(plan, tmp_path)
    first = queue_batch(store, batch)
    again = replace(batch, order=replace(batch.order, context=replace(batch.order.context, command="other")))
    assert queue_batch(store, replace(again, retried={})).id == first.id
    assert batch_ids(store) == [first.id] and read_batch(store, first.id).order.context.command == "other"
    others = [
        replace(batch, jobs=plan.jobs[1:]),
        replace(batch, order=replace(batch.order, plugins=(tmp_path / "other.py",))),
        replace(batch, order=replace(batch.order, context=replace(batch.order.context, plugins={"a": "b"}))),
        replace(batch, requirements={}),
    ]
    assert len({queue_batch(store, other).id for other in others} | {first.id}) == 5


def test_what_many_jobs_share_is_written_once(plan: Plan, store: Store) -> None:
    jobs = tuple(replace(plan.jobs[0], digest=f"{number:032x}") for number in range(2000))
    batch = queue_batch(store, Batch("many", jobs, Order()))
    lines = path_of(store, batch).read_text().splitlines()
    assert len(lines) == 1 + 6 + 2000 + 1, "header, one part of each kind, jobs, and the end"
    assert max(map(len, lines[7:])) < 300
    assert read_batch(store, batch.id).jobs == jobs


def altered(text: str, change: Any) -> str:
    lines = text.splitlines()
    data = [json.loads(line) for line in lines]
    change(data)
    return "".join(json.dumps(item) + "\n" for item in data)


CHANGES = {
    "other code": (lambda data: data[0]["order"].update(plugins=["/evil.py"]), "its name stands for"),
    "a job left out": (lambda data: data.pop(-2), ""),
    "more jobs promised": (lambda data: data[0].update(jobs=10**9), "impossible number"),
    "a part that is not there": (lambda data: data[-2].update(model=9), ""),
    "an unknown kind of part": (lambda data: data[1].update(part="code"), ""),
    "an unknown role": (lambda data: data[-2].update(needs=[["0" * 32, "owner"]]), "needs.0.1: "),
    "a digest that is a path": (lambda data: data[-2].update(digest="../../x"), ""),
    "a list for an object": (lambda data: data.__setitem__(-2, []), "neither"),
    "something behind the end": (lambda data: data.append({}), ""),
    "no end": (lambda data: data.pop(), "before its end"),
    "a broken end": (lambda data: data[-1].update(retried={"x": 1}), ""),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_altered_is_refused(plan: Plan, store: Store, tmp_path: Path, change: str) -> None:
    batch = queue_batch(store, full(plan, tmp_path))
    path, (alter, said) = path_of(store, batch), CHANGES[change]
    path.write_text(altered(path.read_text(), alter))
    with pytest.raises(StoreError) as caught:
        read_batch(store, batch.id)
    assert caught.value.message == "damaged file in the store" and said in (caught.value.cause or "")
    assert str(path) in (caught.value.place or "") and "queue the study again" in (caught.value.fix or "")


def test_one_of_another_version_is_not_called_damaged(plan: Plan, store: Store, tmp_path: Path) -> None:
    batch = queue_batch(store, full(plan, tmp_path))
    path = path_of(store, batch)
    path.write_text(altered(path.read_text(), lambda data: data[0].update(format=99)))
    with pytest.raises(StoreError, match="another version") as caught:
        read_batch(store, batch.id)
    assert "format 99" in (caught.value.cause or "") and "rm " not in (caught.value.fix or "rm ")


def renamed(store: Store, batch: Batch, change: Any) -> str:
    """Alter a batch as its maker could have, under the ID that fits, and return this ID."""
    lines = altered(path_of(store, batch).read_text(), change).encode().splitlines(keepends=True)
    found = hashlib.sha256(b"".join(lines[:-1])).hexdigest()[:32]
    (batches(store) / f"{found}.jsonl").write_bytes(b"".join(lines))
    return found


ORDERS: list[tuple[str, list[object]]] = [
    ("options.threads", ["a", 0, -5, 10**18, 1.5, None, [1]]),
    ("options.devices_per_job", ["a", 0, -5, 10**18, 1.5, None]),
    ("options.loader_workers", ["a", -5, 10**18, None]),
    ("options.compile", ["perhaps", None]),
    ("options.runners", ["a", [1], None, {"torch": 5}]),
    ("options.unheard", [1]),
    ("context.plugins", ["a", {"x": 5}, None]),
    ("context.spec_name", [5, None]),
    ("context", ["a", 5, None]),
    ("options", ["a", 5, None]),
    ("plugins", ["a", 5, [5], ["a\0b"], ["a" * 5000], None]),
    ("cache", [5, [], "a\0b"]),
]


@pytest.mark.parametrize(("place", "value"), [(place, value) for place, values in ORDERS for value in values])
def test_an_order_is_held_against_what_a_spec_may_say(
    plan: Plan, store: Store, tmp_path: Path, place: str, value: object
) -> None:
    def change(data: Any) -> None:
        *way, last = ["order", *place.split(".")]
        part = data[0]
        for word in way:
            part = part[word]
        part[last] = value

    name = renamed(store, queue_batch(store, full(plan, tmp_path)), change)
    with pytest.raises(StoreError, match="damaged") as caught:
        read_batch(store, name)
    assert caught.value.cause and name in (caught.value.place or "")


@given(st.data())
def test_no_damage_gets_through(plan: Plan, tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    store = Store(tmp_path_factory.mktemp("store") / "results", create=True)
    batch = queue_batch(store, Batch("small", plan.jobs[:3], Order()))
    content = bytearray(path_of(store, batch).read_bytes())
    hashed = content.rstrip(b"\n").rfind(b"\n")
    place = data.draw(st.integers(0, hashed - 1))
    if data.draw(st.booleans()):
        content[place] ^= data.draw(st.integers(1, 255))
    else:
        del content[place:]
    path_of(store, batch).write_bytes(content)
    with pytest.raises(StoreError):
        read_batch(store, batch.id)


@pytest.mark.parametrize("name", ["..", "../x", "", "A" * 32, "0" * 31])
def test_an_id_is_never_a_path(store: Store, name: str) -> None:
    with pytest.raises(StoreError, match="not the ID"):
        read_batch(store, name)


def test_one_that_is_not_there_is_named_with_those_that_are(plan: Plan, store: Store) -> None:
    batch = queue_batch(store, Batch("small", plan.jobs, Order()))
    with pytest.raises(StoreError) as caught:
        read_batch(store, "0" * 32)
    assert batch.id in (caught.value.cause or "")


def test_of_a_batch_whose_jobs_are_done_only_word_is_left(plan: Plan, store: Store) -> None:
    batch = queue_batch(store, Batch("small", plan.jobs, Order()))
    assert not has_ended(store, batch.id) and not has_ended(store, "../x")
    remove_batch(store, batch.id)
    assert has_ended(store, batch.id) and batch_ids(store) == []
    queue_batch(store, batch)
    assert not has_ended(store, batch.id) and batch_ids(store) == [batch.id]
