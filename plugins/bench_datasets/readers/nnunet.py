"""Raw data of nnU-Net v2: dataset.json, imagesTr/CASE_0000.ending, labelsTr/CASE.ending.

Layout: documentation/dataset_format.md of nnU-Net (Isensee et al., Nature Methods 2021).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench_core import DatasetRequest
from bench_datasets.declared.layouts import NNUNET
from bench_datasets.readers.label_tables import below, check_classes, read_table
from bench_datasets.readers.published import natural
from bench_datasets.readers.stacks import VOLUMES, Case, Search, StackReader

PICTURES = (".png", ".tif", ".tiff", ".bmp")
ENDINGS = (*PICTURES, *VOLUMES)
FOLDER = re.compile(r"Dataset[0-9]{3}_.+")
CHANNEL = re.compile(r"(.+)_([0-9]{4})")


def open_nnunet(request: DatasetRequest) -> StackReader:
    """Open a folder DatasetXXX_Name, or one that holds exactly one of these."""
    return StackReader(request, NNUNET, _find)


def _find(search: Search) -> list[Case]:
    folder = _folder(search)
    table = None if folder is None else read_table(folder / "dataset.json", search.problems)
    if folder is None or table is None:
        return []
    path = folder / "dataset.json"
    if "channel_names" not in table and "modality" in table:
        search.problems.add(path, "is of nnU-Net v1 or of the Decathlon: write `name: monai-decathlon`")
        return []
    ending = table.get("file_ending")
    if ending not in ENDINGS:
        search.problems.add(path, f"file_ending is {ending!a:.30}; read are {', '.join(ENDINGS)}")
        return []
    channels = _check_channels(search, path, table)
    _check_labels(search, path, table)
    cases = (
        _listed(search, folder, table["dataset"], path)
        if "dataset" in table
        else _found(search, folder, ending)
    )
    if table.get("numTraining") != len(cases):
        search.problems.add(
            path, f"numTraining is {table.get('numTraining')!a:.30}, but {len(cases)} cases have labels"
        )
    return [case for case in cases if _complete(search, case, channels, ending)]


def _folder(search: Search) -> Path | None:
    if (search.root / "dataset.json").exists():
        return search.root
    inner = sorted(path for path in search.root.iterdir() if FOLDER.fullmatch(path.name) and path.is_dir())
    if len(inner) == 1:
        return inner[0]
    named = ", ".join(path.name for path in inner[:5])
    search.problems.add(
        "dataset.json", f"is missing; name one of these as root: {named}" if named else "is missing"
    )
    return None


def _check_channels(search: Search, path: Path, table: dict[str, Any]) -> int:
    names = table.get("channel_names")
    count = len(names) if isinstance(names, dict) else 0
    if (
        not isinstance(names, dict)
        or sorted(names) != sorted(str(each) for each in range(count))
        or not names
    ):
        search.problems.add(path, 'channel_names must name the channels "0", "1" and so on')
    elif count != int(search.options["channels"]):
        given = ", ".join(str(names[str(each)]) for each in range(count))
        search.problems.add(
            path,
            f"its channels are {given!a:.80}: write `channels: {count}`, not {search.options['channels']}",
        )
    return count


def _check_labels(search: Search, path: Path, table: dict[str, Any]) -> None:
    labels = table.get("labels")
    values: dict[str, list[int]] = {}
    for name, given in labels.items() if isinstance(labels, dict) else ():
        items = given if isinstance(given, list) else [given]
        if not items or not all(isinstance(item, int) and not isinstance(item, bool) for item in items):
            values = {}
            break
        values[name] = items
    if values.get("background") != [0]:
        search.problems.add(path, "labels must map names to values or lists of values, and background to 0")
        return
    ignored = values.pop("ignore", None)
    del values["background"]
    # Regions may overlap; a value is named after the smallest region that holds it.
    named: dict[int, str] = {}
    for name, items in sorted(values.items(), key=lambda item: -len(item[1])):
        for value in items:
            named[value] = name
    taken: dict[str, int] = {}
    for value, name in sorted(named.items()):
        taken[name] = taken.get(name, 0) + 1
        if taken[name] > 1:
            named[value] = f"{name} {taken[name]}"
    named.pop(0, None)
    check_classes(search.problems, path, named, ignored[0] if ignored else None, search.classes)


def _found(search: Search, folder: Path, ending: str) -> list[Case]:
    """Return the cases that have labels, each with the files of its channels."""
    for name in ("imagesTr", "labelsTr"):
        if not (folder / name).is_dir():
            search.problems.add(folder / name, "no such folder")
            return []
    channels: dict[str, list[Path]] = {}
    strangers = []
    for path in sorted((folder / "imagesTr").iterdir(), key=lambda path: natural(path.name)):
        stem = path.name.removesuffix(ending)
        match = CHANNEL.fullmatch(stem)
        if path.name.startswith("."):
            continue
        if match is None or stem == path.name:
            strangers.append(path.name)
        else:
            channels.setdefault(match[1], []).append(path)
    labels = {
        path.name.removesuffix(ending): path
        for path in sorted((folder / "labelsTr").iterdir(), key=lambda path: natural(path.name))
        if path.name.endswith(ending) and not path.name.startswith(".")
    }
    if strangers:
        search.remarks.append(
            f"passed over: {len(strangers)} files in imagesTr that are not named CASE_0000{ending}: "
            + ", ".join(strangers[:3])
        )
    for case in sorted(channels.keys() - labels.keys(), key=natural):
        search.problems.add(folder / "labelsTr" / f"{case}{ending}", f"is missing: the labels of {case}")
    for case in sorted(labels.keys() - channels.keys(), key=natural):
        search.problems.add(
            folder / "imagesTr" / f"{case}_0000{ending}", f"is missing: the image of {labels[case].name}"
        )
    return [Case(case, tuple(channels[case]), labels[case]) for case in labels if case in channels]


def _listed(search: Search, folder: Path, given: object, table: Path) -> list[Case]:
    """Return the cases that dataset.json lists itself."""
    if not isinstance(given, dict):
        search.problems.add(table, "dataset must map cases to their images and label")
        return []
    cases = []
    for name, entry in sorted(given.items(), key=lambda item: natural(item[0])):
        files = entry.get("images") if isinstance(entry, dict) else None
        paths = [below(search.root, folder, file) for file in files] if isinstance(files, list) else []
        label = below(search.root, folder, entry.get("label")) if isinstance(entry, dict) else None
        if not paths or label is None or None in paths:
            search.problems.add(table, f"dataset: case {name!a:.60} names no images and label below the root")
            continue
        cases.append(Case(name, tuple(path for path in paths if path is not None), label))
    return cases


def _complete(search: Search, case: Case, channels: int, ending: str) -> bool:
    """Return whether a case's files are there, one per channel; a picture may hold several channels."""
    whole = True
    for path in (*case.images, case.label):
        if not path.is_file():
            what = (
                "is a broken link or not a regular file"
                if path.is_symlink() or path.exists()
                else "is missing"
            )
            search.problems.add(path, what)
            whole = False
    numbers = _numbers(case.images, ending)
    together = ending in PICTURES and len(case.images) == 1 and channels in (3, 4)
    if (
        whole
        and not together
        and (len(case.images) != channels or numbers not in ([], list(range(channels))))
    ):
        wanted = ", ".join(f"_{each:04d}" for each in range(channels))
        shown = ", ".join(path.name for path in case.images[:5])
        search.problems.add(case.images[0], f"of {case.id} are {shown} there, expected channels {wanted}")
        return False
    return whole


def _numbers(images: Sequence[Path], ending: str) -> list[int]:
    matches = [CHANNEL.fullmatch(path.name.removesuffix(ending)) for path in images]
    return [int(match[2]) for match in matches if match is not None]
