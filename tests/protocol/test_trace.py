from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_core.errors import StoreError
from bench_core.protocol.trace import Trace, TraceStep


def write(trace: Trace, epochs: range, loss: float = 0.1) -> None:
    for epoch in epochs:
        steps = [
            TraceStep(epoch, step, (f"s{epoch}", f"t{step}"), 1e-4 / 3, loss / (step + 3))
            for step in range(2)
        ]
        trace.write(epoch, steps, loss, {"miou": loss / 7, "mdsc": float("nan")})


def test_a_line_a_step_and_one_an_epoch(tmp_path: Path) -> None:
    write(Trace(tmp_path / "trace.jsonl"), range(2))
    lines = [json.loads(line) for line in (tmp_path / "trace.jsonl").read_text().splitlines()]
    assert [sorted(line) for line in lines] == [
        ["epoch", "ids", "loss", "lr", "step"],
        ["epoch", "ids", "loss", "lr", "step"],
        ["epoch", "loss", "validation"],
    ] * 2
    assert lines[1] == {"epoch": 0, "step": 1, "ids": ["s0", "t1"], "lr": 1e-4 / 3, "loss": 0.1 / 4}
    assert lines[2]["validation"] == {"miou": 0.1 / 7, "mdsc": None}


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_equal_lines_mean_equal_numbers(tmp_path_factory: pytest.TempPathFactory, loss: float) -> None:
    path = tmp_path_factory.mktemp("trace") / "trace.jsonl"
    Trace(path).write(0, [TraceStep(0, 0, ("a",), loss, loss)], loss, {})
    step, epoch = (json.loads(line) for line in path.read_text().splitlines())
    assert step["loss"] == step["lr"] == epoch["loss"] == loss


@pytest.mark.parametrize("kept", [0, 1, 2, 3])
@pytest.mark.parametrize("torn", ["", '{"epoch":3,"st', '{"epoch":3,"step":0}', "\x00\x00\x00\n"])
def test_resuming_cuts_what_the_saved_state_does_not_know(tmp_path: Path, kept: int, torn: str) -> None:
    path, unbroken = tmp_path / "trace.jsonl", tmp_path / "unbroken.jsonl"
    write(Trace(unbroken), range(5))
    write(Trace(path), range(3))
    with path.open("a") as file:
        file.write(torn)
    trace = Trace(path)
    trace.resume(kept)
    write(trace, range(kept, 5))
    assert path.read_bytes() == unbroken.read_bytes()


def test_a_fresh_job_starts_an_empty_trace(tmp_path: Path) -> None:
    Trace(tmp_path / "trace.jsonl").resume(0)
    assert (tmp_path / "trace.jsonl").read_text() == ""


@pytest.mark.parametrize("damage", ["missing", "short", "garbled"])
def test_a_trace_that_lost_saved_epochs_is_an_error(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "trace.jsonl"
    write(Trace(path), range(3))
    if damage == "missing":
        path.unlink()
    elif damage == "short":
        path.write_bytes(path.read_bytes()[:-5])
    else:
        path.write_bytes(b"\xff" + path.read_bytes()[1:])
    with pytest.raises(StoreError, match="epochs that the saved state has trained") as caught:
        Trace(path).resume(3)
    assert caught.value.place == str(path)
    assert caught.value.fix


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        write(Trace(tmp_path), range(1))
    assert caught.value.fix


def test_without_a_path_nothing_is_written(tmp_path: Path) -> None:
    trace = Trace(None)
    trace.resume(7)
    write(trace, range(2))
    assert list(tmp_path.iterdir()) == []
