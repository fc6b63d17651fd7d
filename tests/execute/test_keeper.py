from __future__ import annotations

import errno
import logging
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from bench_core.errors import WeightsError
from bench_core.execute.keeper import FolderKeeper
from bench_core.store import files
from bench_core.store.claim import ClaimLostError
from bench_core.store.files import DiskError


def state(epoch: int) -> dict[str, Any]:
    return {"epoch": epoch, "weights": torch.full((100,), float(epoch)), "history": [{"loss": 0.5}]}


def epoch_of(folder: Path) -> int | None:
    loaded = FolderKeeper(folder).load()
    return None if loaded is None else loaded["epoch"]


def keep(folder: Path, epochs: int, best: int | None = None) -> FolderKeeper:
    """Save as a contract does: the best weights first, then the state."""
    keeper = FolderKeeper(folder)
    for epoch in range(epochs):
        if best is None or epoch <= best:
            keeper.save_best({"epoch": epoch})
        keeper.save(state(epoch))
    return keeper


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    assert FolderKeeper(tmp_path).load() is None
    keep(tmp_path, 3)
    loaded = FolderKeeper(tmp_path).load()
    assert loaded is not None and loaded["history"] == [{"loss": 0.5}]
    assert torch.equal(loaded["weights"], torch.full((100,), 2.0))


def test_only_two_generations_and_their_best_weights_stay(tmp_path: Path) -> None:
    keep(tmp_path, 9)
    assert len(list(tmp_path.glob("state-*.pt"))) == 2 and len(list(tmp_path.glob("best-*.pt"))) == 2


def damage(path: Path, kind: str) -> None:
    content = path.read_bytes()
    if kind == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "bit flipped":
        middle = len(content) // 3
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    elif kind == "empty":
        path.write_bytes(b"")
    else:
        path.write_bytes(b"something else entirely")


@pytest.mark.parametrize("kind", ["truncated", "bit flipped", "empty", "foreign"])
def test_a_damaged_state_falls_back_to_the_one_before(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    keep(tmp_path, 4, best=3)
    newest = tmp_path / "state-1.pt"
    with caplog.at_level(logging.WARNING):
        damage(newest, kind)
        keeper = FolderKeeper(tmp_path)
        loaded = keeper.load()
    assert loaded is not None and loaded["epoch"] == 2
    assert keeper.load_best() == {"epoch": 2}, "the best weights are those of that time"
    assert str(newest) in caplog.text and "damaged" in caplog.text


def test_a_state_whose_best_weights_are_damaged_does_not_count(tmp_path: Path) -> None:
    keep(tmp_path, 4)
    damage(tmp_path / "best-3.pt", "bit flipped")
    assert epoch_of(tmp_path) == 2


def test_without_a_whole_state_the_job_starts_from_zero(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keep(tmp_path, 4)
    for path in tmp_path.glob("state-*.pt"):
        damage(path, "truncated")
    with caplog.at_level(logging.WARNING):
        assert epoch_of(tmp_path) is None
    assert "starts from zero" in caplog.text


def test_after_a_fallback_saving_goes_on(tmp_path: Path) -> None:
    keep(tmp_path, 4)
    damage(tmp_path / "state-1.pt", "truncated")
    keeper = FolderKeeper(tmp_path)
    keeper.load()
    keeper.save_best({"epoch": 7})
    keeper.save(state(7))
    again = FolderKeeper(tmp_path)
    loaded = again.load()
    assert loaded is not None and loaded["epoch"] == 7
    assert again.load_best() == {"epoch": 7}


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_every_write_that_breaks_leaves_a_whole_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epochs: int
) -> None:
    keeper = keep(tmp_path, epochs)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DiskError, match="cannot write") as caught:
            keeper.save(state(epochs))
        with pytest.raises(DiskError):
            keeper.save_best({"epoch": epochs})
    assert caught.value.cause == "the disk is full"
    assert epoch_of(tmp_path) == epochs - 1


def test_a_disk_that_fills_up_within_a_state_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written to a device that is always full: the error comes from the middle of torch.save."""
    keeper = keep(tmp_path, 1)
    monkeypatch.setattr(files, "_new_name", lambda: "beside")
    (tmp_path / ".state-1.pt.beside.tmp").symlink_to("/dev/full")
    with pytest.raises(DiskError) as caught:
        keeper.save({"weights": torch.zeros(1_000_000)})
    assert caught.value.cause == "the disk is full"
    assert epoch_of(tmp_path) == 0


def test_nothing_is_written_for_a_job_that_was_taken_over(tmp_path: Path) -> None:
    keep(tmp_path, 2)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def lost() -> None:
        raise ClaimLostError("another process has taken this job over")

    keeper = FolderKeeper(tmp_path, lost)
    keeper.load()
    for save in (keeper.save, keeper.save_best):
        with pytest.raises(ClaimLostError):
            save(state(5))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_best_weights_get_their_final_name(tmp_path: Path) -> None:
    keeper = keep(tmp_path, 5, best=2)
    assert keeper.finish() == "best.pt"
    assert torch.load(tmp_path / "best.pt", weights_only=True) == {"epoch": 2}
    assert epoch_of(tmp_path) == 4, "until it is sealed the job can still resume"


def test_best_weights_that_are_missing_are_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="best epoch") as caught:
        FolderKeeper(tmp_path).load_best()
    assert "bench run" in str(caught.value.fix)


def test_states_never_run_code(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path(tmp_path / "exploded").touch, ())

    keeper = FolderKeeper(tmp_path)
    keeper.save({"bomb": Bomb()})
    assert FolderKeeper(tmp_path).load() is None
    assert not (tmp_path / "exploded").exists()
