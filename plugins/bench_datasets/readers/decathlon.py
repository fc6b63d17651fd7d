"""Volumes as the Medical Segmentation Decathlon and MONAI keep them: dataset.json lists images and labels.

Antonelli et al., Nature Communications 2022, doi:10.1038/s41467-022-30695-9.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench_core import DatasetRequest
from bench_datasets.declared.layouts import DECATHLON
from bench_datasets.readers.label_tables import below, check_classes, read_table
from bench_datasets.readers.published import natural
from bench_datasets.readers.stacks import VOLUMES, Case, Search, StackReader


def open_decathlon(request: DatasetRequest) -> StackReader:
    """Open the folder of one task, with dataset.json, imagesTr and labelsTr."""
    return StackReader(request, DECATHLON, _find)


def _find(search: Search) -> list[Case]:
    path = search.root / "dataset.json"
    table = read_table(path, search.problems)
    if table is None:
        return []
    if "channel_names" in table:
        search.problems.add(path, "is of nnU-Net v2: write `name: nnunet`")
        return []
    modality = table.get("modality")
    if isinstance(modality, dict) and len(modality) != int(search.options["channels"]):
        names = ", ".join(str(modality[key]) for key in sorted(modality))
        search.problems.add(
            path,
            f"its channels are {names!a:.80}: write `channels: {len(modality)}`, "
            f"not {search.options['channels']}",
        )
    _check_labels(search, path, table.get("labels"))
    training = table.get("training")
    if not isinstance(training, list) or not training:
        search.problems.add(path, 'training must list {"image": ..., "label": ...}')
        return []
    if table.get("numTraining", len(training)) != len(training):
        search.problems.add(
            path, f"numTraining is {table['numTraining']!a:.30}, but training lists {len(training)}"
        )
    cases: dict[str, Case] = {}
    for number, entry in enumerate(training):
        case = _case(search, path, number, entry)
        if case is None:
            continue
        if case.id in cases:
            search.problems.add(path, f"training[{number}] is a second {case.id!a:.60}")
        cases.setdefault(case.id, case)
    _remark(search, cases)
    return [cases[name] for name in sorted(cases, key=natural)]


def _check_labels(search: Search, path: Path, labels: object) -> None:
    named: dict[int, str] = {}
    for key, name in labels.items() if isinstance(labels, dict) else ():
        if not key.isdigit() or not isinstance(name, str):
            named = {}
            break
        if int(key) != 0:
            named[int(key)] = name
    if not named:
        search.problems.add(path, 'labels must map values to names: {"0": "background", "1": ...}')
        return
    check_classes(search.problems, path, named, None, search.classes)


def _case(search: Search, table: Path, number: int, entry: Any) -> Case | None:
    image, label = (
        below(search.root, search.root, entry.get(key)) if isinstance(entry, dict) else None
        for key in ("image", "label")
    )
    if image is None or label is None:
        search.problems.add(table, f"training[{number}] names no image and label below the root")
        return None
    for path in (image, label):
        if not path.name.lower().endswith(VOLUMES):
            search.problems.add(path, f"is not a NIfTI volume ({', '.join(VOLUMES)})")
            return None
    gone = [path for path in (image, label) if not path.is_file()]
    for path in gone:
        search.problems.add(path, f"is missing: training[{number}] of dataset.json")
    name = image.name.lower().removesuffix(".gz").removesuffix(".nii")
    return None if gone else Case(image.name[: len(name)], (image,), label)


def _remark(search: Search, cases: dict[str, Case]) -> None:
    folder = search.root / "imagesTr"
    used = {case.images[0].resolve() for case in cases.values()}
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    left = [
        path.name
        for path in found
        if path.name.lower().endswith(VOLUMES)
        and not path.name.startswith(".")
        and path.resolve() not in used
    ]
    if left:
        search.remarks.append(
            f"passed over: {len(left)} volumes in imagesTr that dataset.json does not list: "
            + ", ".join(left[:3])
        )
