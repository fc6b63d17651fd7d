"""`bench cache`: sizes, states, checksums; nothing that is in use is removed."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bench_core.cli.main import bench
from bench_core.data.caches import list_caches, remove
from bench_core.errors import BenchError
from tests.helpers.pictures import ArrayReader, blob, open_arrays, picture


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGTRIAL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Path]:
    """A folder with a whole cache, a damaged one, one of another version and the beginning of one."""
    folder = tmp_path / "cache"
    build(folder, 16)
    _damage(build(folder, 24))
    _age(build(folder, 32))
    process = multiprocessing.get_context("fork").Process(target=_die, args=(folder,))
    process.start()
    process.join(60)
    (folder / "of-somebody-else").mkdir()
    yield folder


def reader() -> ArrayReader:
    return ArrayReader([picture(n) for n in range(5)], [blob(n, value=1) for n in range(5)])


def build(folder: Path, size: int) -> Path:
    path = open_arrays(reader(), folder, image_size=size).path
    assert path is not None
    return path


def _damage(path: Path) -> None:
    content = bytearray((path / "images.npy").read_bytes())
    content[-1] ^= 1
    (path / "images.npy").write_bytes(content)


def _age(path: Path) -> None:
    import hashlib

    index = json.loads(json.loads((path / "index.json").read_text())["index"])
    body = json.dumps({**index, "format": 3})
    text = json.dumps({"sha256": hashlib.sha256(body.encode()).hexdigest(), "index": body})
    (path / "index.json").write_text(text)


def _die(folder: Path) -> None:
    open_arrays(reader(), folder, image_size=48, progress=lambda done, _: os._exit(9) if done == 4 else None)


def call(*arguments: object, text: str = "") -> Result:
    return CliRunner().invoke(bench, ["cache", *map(str, arguments)], input=text, catch_exceptions=False)


def listed() -> dict[int, dict[str, Any]]:
    data = json.loads(call("ls", "--json").stdout)
    return {item["image_size"]: item for item in data["caches"]}


def test_caches_are_listed_with_their_states(cache: Path) -> None:
    found = listed()
    assert {size: item["state"] for size, item in found.items()} == {
        16: "whole",
        24: "whole",
        32: "old",
        48: "unfinished",
    }
    assert {item["dataset"] for item in found.values()} == {"arrays"}
    assert [found[size]["images"] for size in (16, 24, 32, 48)] == [5, 5, 5, 3]
    whole = cache / found[16]["name"]
    assert found[16]["bytes"] == sum(file.stat().st_size for file in whole.iterdir()) > 5 * 16 * 16 * 4
    assert 0 <= found[16]["age_seconds"] < 600
    text = call("ls").stdout
    assert "16 px" in text and "unfinished" in text and "somebody" not in text
    assert f"in {cache}" in text.splitlines()[-1]


def test_verify_reads_every_image(cache: Path) -> None:
    done = call("verify")
    assert done.exit_code == 1
    lines = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    names = {size: item["name"] for size, item in listed().items()}
    assert lines[names[16]] == "whole, 5 images"
    assert lines[names[24]] == "checksum of sample s4 differs"
    assert lines[names[32]] == "cache format 3" and "cut off" in lines[names[48]]
    assert call("verify", names[16]).exit_code == 0
    data = json.loads(call("verify", "--json").stdout)["caches"]
    problems = {item["image_size"]: item["problem"] for item in data}
    assert problems[16] == "" and problems[24]
    with pytest.raises(BenchError, match="no cache begins with 'x'"):
        call("verify", "x")


def test_rm_asks_and_removes_what_is_named(cache: Path) -> None:
    name = listed()[16]["name"]
    asked = call("rm", name, text="n\n")
    assert asked.exit_code == 1 and (cache / name).exists()
    assert call("rm", name[:-3], text="y\n").exit_code == 0
    assert not (cache / name).exists() and sorted(listed()) == [24, 32, 48]
    assert call("rm", "--damaged", "--yes").exit_code == 0
    assert sorted(listed()) == [24]
    done = call("rm", "--all", "--yes", "--json")
    assert json.loads(done.stdout)["caches"][0]["kept"] == ""
    assert listed() == {} and (cache / "of-somebody-else").is_dir()
    assert "nothing to remove" in call("rm", "--all").stdout


@pytest.mark.parametrize("arguments", [("rm",), ("rm", "--all", "--json")])
def test_rm_wants_to_be_told_what(cache: Path, arguments: tuple[str, ...]) -> None:
    assert call(*arguments).exit_code == 2 and len(listed()) == 4


def _use(folder: Path, ready: Any, done: Any) -> None:
    arrays = open_arrays(reader(), folder)
    ready.set()
    done.wait(60)
    assert arrays.masks[0].any()


def test_what_another_process_uses_stays(cache: Path) -> None:
    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()
    process = context.Process(target=_use, args=(cache, ready, done))
    process.start()
    assert ready.wait(60)
    told = call("rm", "--all", "--yes")
    assert told.exit_code == 1 and "stays: a process has it open" in told.stdout
    assert sorted(listed()) == [16]
    done.set()
    process.join(60)
    assert process.exitcode == 0 and call("rm", "--all", "--yes").exit_code == 0 and listed() == {}


def test_arrays_hold_their_cache_for_as_long_as_they_live(tmp_path: Path) -> None:
    import pickle

    import numpy as np

    arrays = open_arrays(reader(), tmp_path / "cache")
    (cache,) = list_caches(tmp_path / "cache")
    packed = pickle.dumps(arrays)
    part = arrays.take(np.array([2, 0]))
    del arrays
    assert "has it open" in remove(cache)
    del part
    other = pickle.loads(packed)
    assert "has it open" in remove(cache)
    del other
    assert remove(cache) == "" and list_caches(tmp_path / "cache") == []


def test_what_is_being_built_stays(tmp_path: Path) -> None:
    said: list[str] = []

    def look(done: int, total: int) -> None:
        if done == 3:
            said.extend(remove(cache) for cache in list_caches(tmp_path / "cache"))

    open_arrays(reader(), tmp_path / "cache", progress=look)
    assert said == ["a process builds it, or the file system cannot tell"]


def test_links_and_nonsense_are_no_caches(cache: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(cache / listed()[16]["name"], elsewhere)
    (cache / f"arrays-64-{'a' * 20}").symlink_to(elsewhere)
    (cache / f"arrays-96-{'b' * 20}").mkdir()
    (cache / f"arrays-97-{'c' * 20}").write_text("a file")
    found = listed()
    assert 64 not in found and 97 not in found and found[96]["state"] == "damaged"
    assert call("rm", "--all", "--yes").exit_code == 0
    assert (elsewhere / "images.npy").exists()


def test_no_folder_is_no_caches() -> None:
    assert "no caches in" in call("ls").stdout and call("verify").exit_code == 0
