"""What every dataset owes of the files that it reads: a function a property."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench_core.conformance.dataset_subject import DatasetSubject, digest, first_difference, plain
from bench_core.conformance.properties import NotApplicable, Wrong, in_words, line_of
from bench_core.data.samples import Remarking, Sample
from bench_core.errors import BenchError

MOST_FILES = 200_000
"""Files of a data folder that are looked at, to see whether one has changed."""
MOST_COPIED = 20_000
"""Files of a data folder that is copied to be damaged; a larger one is not."""
READ = 6


def files_listed(subject: DatasetSubject) -> None:
    """Each sample names every file that reading it opens, by an absolute path, and each is there."""
    root = subject.folder
    heard: list[str] = []
    for sample in subject.chosen:
        for path in sample.files:
            if not path.is_absolute() or not path.is_file():
                raise Wrong(f"{sample.id!r} names {path}, which is not the absolute path of a file")
        if not sample.files:
            raise Wrong(f"{sample.id!r} names no files, so that a changed one goes unnoticed")
    reader = subject.open()
    for sample in subject.chosen[:READ]:
        heard.clear()
        with _hearing(heard):
            reader.read(sample)
        known = {path.resolve() for path in sample.files}
        for text in heard:
            path = Path(text).resolve()
            if root in path.parents and path not in known:
                raise Wrong(f"reading {sample.id!r} opens a file that it does not name", place=str(path))


def nothing_written(subject: DatasetSubject) -> None:
    """Opening, listing and reading leave the data folder and the working folder as they were."""
    with _elsewhere() as empty:
        before = _listing(subject.root)
        reader = subject.open()
        samples = list(reader.samples())
        for sample in samples[:READ]:
            reader.read(sample)
        after = _listing(subject.root)
        left = [path.name for path in empty.iterdir()]
    if left:
        raise Wrong(f"it writes {left[0]} into the folder that it is started in")
    changed = [path for path in {**before, **after} if before.get(path) != after.get(path)]
    if changed:
        raise Wrong("it writes into the data folder", place=min(changed))


def any_listing_order(subject: DatasetSubject) -> None:
    """Samples come in the same order whatever order the file system lists files in."""
    subject.folder  # noqa: B018 - not applicable without one
    found = []
    for backwards in (False, True):
        with _listed(backwards) as asked:
            found.append([plain(sample) for sample in subject.open().samples()])
        if not asked:
            raise NotApplicable("it lists no folder")
    row = first_difference(*found)
    if row is not None:
        raise Wrong(f"where a folder is listed in another order, sample {row + 1} is another one")


def any_working_folder(subject: DatasetSubject) -> None:
    """Samples and pixels do not depend on the folder that the program is started in."""
    with _elsewhere():
        reader = subject.open()
        found = list(reader.samples())
        row = first_difference(list(map(plain, found)), list(map(plain, subject.samples)))
        if row is not None:
            raise Wrong(f"started in another folder, sample {row + 1} is another one")
        for sample, pair in list(zip(subject.chosen, subject.pairs, strict=True))[:READ]:
            if digest(reader.read(sample)) != digest(pair):
                raise Wrong(f"started in another folder, {sample.id!r} has other pixels")


def missing_folder(subject: DatasetSubject) -> None:
    """A data folder that is not there is an error that names it."""
    gone = subject.folder / "no" / "such" / "folder"

    def listed() -> object:
        return list(subject.open(gone).samples())

    _names(listed, gone, "a folder that does not exist")


def missing_file(subject: DatasetSubject) -> None:
    """A file that is not there is an error or a remark, never a sample less in silence."""
    with _copied(subject) as (copy, samples):
        victim = samples[len(samples) // 2]
        if len(victim.files) == 1:
            raise NotApplicable("a sample is one file, and without it nothing speaks of the sample")
        path = victim.files[-1]
        path.unlink()
        try:
            reader = copy.open()
            left = list(reader.samples())
            found = next((sample for sample in left if sample.id == victim.id), None)
            if found is not None:
                reader.read(found)
        except BenchError as error:
            _expect_name(error, path, "a missing file")
            return
        except Exception as error:
            raise Wrong(
                f"a missing file ends in {in_words(error)}", place=line_of(error, subject.place)
            ) from error
        remarks = " ".join(reader.remarks()) if isinstance(reader, Remarking) else ""
        if found is not None:
            raise Wrong("a sample without one of its files is read as if it were whole", place=str(path))
        if not remarks and len(left) < len(samples):
            raise Wrong("a sample without one of its files is left out in silence", place=str(path))


def damaged_file(subject: DatasetSubject) -> None:
    """A file that is cut off in the middle is an error that names it."""
    with _copied(subject) as (copy, samples):
        victim = samples[len(samples) // 2]
        for path in dict.fromkeys((victim.files[0], victim.files[-1])):
            whole = path.read_bytes()
            path.unlink()
            path.write_bytes(whole[: len(whole) // 2])

            def again() -> object:
                reader = copy.open()
                listed = {sample.id: sample for sample in reader.samples()}
                return reader.read(listed[victim.id]) if victim.id in listed else None

            _names(again, path, f"{path.name}, cut off in the middle,")
            path.write_bytes(whole)


def _names(function: Callable[[], object], path: Path, what: str) -> None:
    """Raise Wrong unless a function raises a BenchError that names a path."""
    try:
        function()
    except BenchError as error:
        _expect_name(error, path, what)
        return
    except Exception as error:
        raise Wrong(
            f"{what} ends in {in_words(error)}", place=line_of(error, ""), fix="raise DataError with the path"
        ) from error
    raise Wrong(f"{what} is read as if nothing were wrong", fix="raise DataError with the path")


def _expect_name(error: BenchError, path: Path, what: str) -> None:
    if not any(name in str(error) for name in (path.name, path.stem, str(path.parent))):
        raise Wrong(
            f"{what} is an error that does not name it: {error.message}", fix="give DataError a place"
        )


@contextmanager
def _copied(subject: DatasetSubject) -> Iterator[tuple[DatasetSubject, Sequence[Sample]]]:
    """Yield the dataset at a copy of its folder, of links where the file system has them."""
    root = subject.folder
    if len(_listing(root)) > MOST_COPIED:
        raise NotApplicable(f"its folder holds more than {MOST_COPIED:,} files")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / root.name
        shutil.copytree(root, copy, copy_function=_link)
        moved = subject.moved(copy)
        samples = [sample for sample in moved.samples if sample.files]
        inside = [sample for sample in samples if all(copy in path.parents for path in sample.files)]
        if not inside:
            raise NotApplicable("its samples have no files in its folder")
        yield moved, inside


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@contextmanager
def _elsewhere() -> Iterator[Path]:
    """Work in an empty folder."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)


def _listing(root: Path | None) -> dict[str, tuple[int, int]]:
    """Return size and time of every file and folder below a root, up to MOST_FILES of them."""
    found: dict[str, tuple[int, int]] = {}
    for folder, _, names in os.walk(root) if root is not None else ():
        for path in (folder, *(str(Path(folder, name)) for name in names)):
            state = os.lstat(path)
            found[path] = (state.st_size, state.st_mtime_ns)
            if len(found) > MOST_FILES:
                return found
    return found


class _Scan(list[Any]):
    """Entries of a folder, closed as os.scandir's are."""

    def __enter__(self) -> _Scan:
        return self

    def __exit__(self, *_: object) -> None:
        """Close nothing."""

    def __next__(self) -> Any:
        if not self:
            raise StopIteration
        return self.pop(0)

    def close(self) -> None:
        """Close nothing."""


@contextmanager
def _listed(backwards: bool) -> Iterator[list[str]]:
    """Let folders be listed in the order of names, or backwards; yield the folders that are."""
    asked: list[str] = []
    listdir, scandir = os.listdir, os.scandir

    def names(path: Any = ".") -> list[Any]:
        asked.append(str(path))
        return sorted(listdir(path), reverse=backwards)

    def entries(path: Any = ".") -> _Scan:
        asked.append(str(path))
        with scandir(path) as found:
            return _Scan(sorted(found, key=lambda entry: entry.name, reverse=backwards))

    os.listdir, os.scandir = names, entries  # type: ignore[assignment]
    try:
        yield asked
    finally:
        os.listdir, os.scandir = listdir, scandir


_heard: list[list[str]] = []
"""Who is told of opened files; a hook of the interpreter cannot be taken back, so that there is one."""
_hooked: list[bool] = []


@contextmanager
def _hearing(opened: list[str]) -> Iterator[None]:
    """Add each file that Python code opens meanwhile; compiled libraries open files unheard."""
    if not _hooked:
        sys.addaudithook(_hear)
        _hooked.append(True)
    _heard.append(opened)
    try:
        yield
    finally:
        _heard.remove(opened)


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if _heard and event == "open" and isinstance(arguments[0], (str, bytes)):
        for opened in _heard:
            opened.append(os.fsdecode(arguments[0]))
