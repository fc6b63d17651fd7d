"""Archives and documents that claim more than they may."""

from __future__ import annotations

import gc
import io
import json
import os
import pickle
import signal
import threading
import time
import tracemalloc
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.lib import format as npy

from bench_core.files.arrays import open_arrays
from bench_core.files.bounded import BoundError, parse_json, read_json


def header(shape: str, descr: str = "'|u1'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def archive(path: Path, *members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in members:
            file.writestr(name, content)
    return path


@given(
    array=hnp.arrays(
        st.sampled_from([np.uint8, np.int64, np.float32, np.bool_]), hnp.array_shapes(max_dims=3, max_side=5)
    ),
    fortran=st.booleans(),
    packed=st.booleans(),
)
def test_what_numpy_writes_is_read(
    array: Any, fortran: bool, packed: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("arrays") / "a.npz"
    save = np.savez_compressed if packed else np.savez
    save(path, a=np.asfortranarray(array) if fortran else array, text=np.array("ö"))
    with open_arrays(path) as arrays:
        assert arrays.names == ("a", "text")
        assert arrays.header("a") == (array.dtype, array.shape)
        np.testing.assert_array_equal(arrays.read("a", array.dtype.type, array.shape), array)
        assert str(arrays.read("text", np.str_, ())) == "ö"
        if array.ndim and (not fortran or np.asfortranarray(array).flags.c_contiguous):
            rows = list(arrays.rows("a", array.dtype.type, array.shape))
            assert len(rows) == len(array)
            for mine, row in zip(array, rows, strict=True):
                np.testing.assert_array_equal(mine, row)


def test_threads_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, a=np.arange(3))

    def read(_: int) -> int:
        with open_arrays(path) as arrays:
            return int(arrays.read("a", np.integer, (3,)).sum())

    def switch(*_: Any) -> None:
        """Give way to another thread, as code of finalizers may in the middle of a header."""
        time.sleep(0)

    before = gc.get_threshold()
    gc.set_threshold(20)
    gc.callbacks.append(switch)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(read, range(400))) == {3}
    finally:
        gc.callbacks.remove(switch)
        gc.set_threshold(*before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_process_forked_while_a_thread_reads_can_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, begun, parse = tmp_path / "a.npz", threading.Event(), npy.read_array_header_1_0
    np.savez(path, a=np.arange(3))

    def slowly(*given: Any, **settings: Any) -> Any:
        begun.set()
        time.sleep(0.2)
        return parse(*given, **settings)

    def read() -> None:
        with open_arrays(path) as arrays:
            arrays.header("a")

    monkeypatch.setattr(npy, "read_array_header_1_0", slowly)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        assert begun.wait(20)
        child = os.fork()
        if not child:
            # A process that waits for a lock without end is ended by the alarm.
            signal.alarm(20)
            code = 1
            try:
                read()
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        reading.result()


def test_an_archive_that_expands_beyond_its_limit_is_not_decompressed(tmp_path: Path) -> None:
    size = 300 * 1024**2
    path = tmp_path / "bomb.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file,
        file.open("a.npy", "w", force_zip64=True) as member,
    ):
        member.write(header(f"({size},)"))
        for _ in range(size // 1024**2):
            member.write(bytes(1024**2))
    assert path.stat().st_size < 1024**2
    tracemalloc.start()
    try:
        with pytest.raises(BoundError, match="bytes, more than"), open_arrays(path, 1024**2):
            pass
        assert tracemalloc.get_traced_memory()[1] < 16 * 1024**2
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header("(1000000000000,)"), "cannot hold"),
        (header("(-1,)"), "claims shape"),
        (header("(4,)") + b"abc", "cannot hold|holds 3 bytes"),
        (header("(2,)") + b"abc", "holds 3 bytes"),
        (header("(2,)", "'|O'") + pickle.dumps([1, 2]), "not plain numbers"),
        (header("(9,)", "'|V0'"), "not plain numbers"),
        (header("(" * 3000 + "1" + ")" * 3000), "no valid header"),
        (b"not an array", "no valid header"),
        (b"", "no valid header"),
    ],
)
def test_headers_that_lie_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", ("a.npy", content))
    with open_arrays(path) as arrays, pytest.raises(BoundError, match=message):
        arrays.read("a", np.uint8, (None,))
    with open_arrays(path) as arrays, pytest.raises(BoundError):
        list(arrays.rows("a", np.uint8, (None,)))


def test_other_types_and_shapes_than_asked_for_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.zeros((2, 3), np.int16))
    with open_arrays(tmp_path / "a.npz") as arrays:
        assert arrays.read("a", np.integer, (2, None)).shape == (2, 3)
        with pytest.raises(BoundError, match="type int16, not uint8"):
            arrays.read("a", np.uint8)
        with pytest.raises(BoundError, match=r"shape \[2, 3\], not \[any, 4\]"):
            arrays.read("a", np.int16, (None, 4))
        with pytest.raises(BoundError, match="'b' is missing"):
            arrays.read("b", np.int16)
        with pytest.raises(BoundError, match="type int16, not uint8"):
            list(arrays.rows("a", np.uint8, (None, None)))
        with pytest.raises(BoundError, match=r"shape \[2, 3\], not \[any, 4\]"):
            list(arrays.rows("a", np.int16, (None, 4)))
    np.savez(tmp_path / "f.npz", a=np.asfortranarray(np.zeros((2, 3), np.int16)))
    with open_arrays(tmp_path / "f.npz") as arrays, pytest.raises(BoundError, match="row by row"):
        list(arrays.rows("a", np.int16, (2, 3)))


def test_archives_of_another_kind_are_refused(tmp_path: Path) -> None:
    one = ("a.npy", header("(1,)") + b"x")
    many = [(f"{index}.npy", one[1]) for index in range(5000)]
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = archive(tmp_path / "twice.npz", one, one)
    files = {
        twice: "comes twice",
        archive(tmp_path / "other.npz", ("readme.txt", b"x")): "not an array",
        archive(tmp_path / "bz2.npz", one, method=zipfile.ZIP_BZIP2): "another method",
        archive(tmp_path / "many.npz", *many): "more than",
        archive(tmp_path / "empty.npz", ("empty.npy", b"")): "no valid header",
    }
    (tmp_path / "text.npz").write_bytes(b"hello")
    files[tmp_path / "text.npz"] = "damaged"
    for path, message in files.items():
        with pytest.raises(BoundError, match=message), open_arrays(path) as arrays:
            for name in arrays.names:
                arrays.read(name, np.uint8)


def test_a_table_of_contents_out_of_proportion_is_refused(tmp_path: Path) -> None:
    names = [(f"{index:0>4000}.npy", b"") for index in range(300)]
    path = archive(tmp_path / "a.npz", *names)
    with pytest.raises(BoundError, match="table of contents"), open_arrays(path):
        pass


@given(data=st.data())
def test_any_damage_is_a_bound_error_or_harmless(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, a=np.arange(40, dtype=np.uint8), b=np.array("facts"))
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "a.npz"
    path.write_bytes(
        content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    )
    try:
        with open_arrays(path, 1024**2) as arrays:
            for name in arrays.names:
                arrays.read(name, np.generic)
            list(arrays.rows("a", np.uint8, (None,)))
    except BoundError:
        pass


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": NaN}', "NaN is not a number"),
        ("[-Infinity]", "not a number"),
        ("1e999", "too large"),
        ("1" * 5000, "64 bits"),
        (str(2**63), "64 bits"),
        ("[" * 100_000 + "]" * 100_000, "levels deep"),
        ("[" * 80 + "]" * 80, "levels deep"),
        ('{"a": 1, "b": 2, "a": 3}', "'a' is given twice"),
        ('["\\ud800"]', "surrogate"),
        ('{"\\udfff": 1}', "surrogate"),
        ('{"a": ', "Expecting value"),
        ("", "Expecting value"),
        ("x" * 200_000, "larger than"),
    ],
)
def test_documents_that_surprise_their_readers_are_refused(text: str, message: str) -> None:
    with pytest.raises(BoundError, match=message):
        parse_json(text, 200_000 - 1 if text[0:1] == "x" else 1024**2)


def test_bytes_that_are_not_text_are_refused() -> None:
    with pytest.raises(BoundError):
        parse_json(b'"\xff"')


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(plain)
def test_plain_data_come_back_as_they_were(data: Any) -> None:
    assert parse_json(json.dumps(data)) == data


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        read_json(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"), open_arrays(tmp_path / "pipe"):
        pass
