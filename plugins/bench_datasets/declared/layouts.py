"""Layouts of other tools: whoever has data for one of these has them here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from bench_core import Dataset, Option, Task
from bench_datasets.decoding.windows import parse_window
from bench_datasets.folder.classes import parse_classes

PLANES = ("acquired", "axial", "coronal", "sagittal")
CLASSES = Option(
    type=dict, default={}, help="needed: name to label value, or a list of values: {tumor: [1, 2]}"
)
BACKGROUND = Option(
    type=object, default=None, help="further value(s) that are background; rest: all that are not listed"
)
IGNORED = Option(
    type=object,
    default=None,
    help="value(s) that count neither in the loss nor in a metric; rest: all others",
)
CHANNELS = Option(
    type=int, default=1, minimum=1, maximum=64, help="channels of an image, as many as the data have"
)
PLANE = Option(
    type=str,
    default="acquired",
    choices=PLANES,
    help="direction of a volume's slices; acquired: across the widest spacing, else the third axis",
)
WINDOW = Option(
    type=object,
    default="auto",
    help="what becomes 0..255: auto (8 bits as they are, else percentiles 0.5 and 99.5 of a volume), "
    "[low, high] such as HU, or a pair per channel",
)
EMPTY = Option(
    type=str, default="keep", choices=("keep", "drop"), help="slices of a volume that show background alone"
)
GROUP_PATTERN = Option(
    type=str,
    default="",
    help="regular expression on the case or image; its (parentheses) are the group, such as the patient",
)
GROUP_FILE = Option(type=str, default="", help="CSV file under the root with lines id,group")


def labelled_task(options: Mapping[str, Any]) -> Task:
    """Return the task that `classes`, `ignore` and `channels` mean; ValueError names the wrong option."""
    classes = parse_classes(options)
    if classes.colors:
        raise ValueError("option 'classes' holds colors: this layout stores label values, {lesion: 1}")
    channels = int(options.get("channels", 1))
    check_window(options.get("window", "auto"), channels)
    pattern = str(options.get("group_pattern", ""))
    if pattern and options.get("group_file"):
        raise ValueError("options 'group_pattern' and 'group_file' exclude each other")
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"option 'group_pattern' is not a regular expression: {error}") from error
    for name in ("annotations", "images", "file"):
        where = PurePath(str(options.get(name, "x")))
        if where.is_absolute() or ".." in where.parts:
            raise ValueError(f"option {name!r} leads out of the root ({where})")
    return Task(classes=classes.names, channels=channels, ignore=options.get("ignore") is not None)


def check_window(given: Any, channels: int) -> tuple[tuple[float, float], ...] | None:
    """Return one range per channel, None for auto; raise ValueError for anything else."""
    if given == "auto":
        return None
    if isinstance(given, (list, tuple)):
        found = parse_window(given, channels)
        if isinstance(found, tuple) and isinstance(found[0], tuple):
            return tuple((float(pair[0]), float(pair[1])) for pair in found if isinstance(pair, tuple))
        if isinstance(found, tuple):
            low, high = found
            if isinstance(low, float) and isinstance(high, float):
                return ((low, high),) * channels
    raise ValueError(
        f"option 'window' cannot be {given!r}: expected auto, [low, high] with low < high, "
        "or one pair per channel"
    )


OF_CASES = {
    "classes": CLASSES,
    "background": BACKGROUND,
    "ignore": IGNORED,
    "channels": CHANNELS,
    "plane": PLANE,
    "window": WINDOW,
    "empty_slices": EMPTY,
    "group_pattern": GROUP_PATTERN,
    "group_file": GROUP_FILE,
}
"""Options of layouts whose cases are pictures or volumes."""

NNUNET = Dataset(
    name="nnunet",
    version=1,
    task=labelled_task,
    open="bench_datasets.readers.nnunet:open_nnunet",
    loose="bench_datasets.loose.openers:open_like_cases",
    fake="bench_datasets.fakes.layouts:fake_nnunet",
    title="nnU-Net raw data",
    modality="your own",
    license="that of your data",
    how_to_get="a folder DatasetXXX_Name with dataset.json, imagesTr and labelsTr, as nnU-Net v2 takes it",
    own_files=True,
    requires=("PIL", "nibabel"),
    install="data",
    options=OF_CASES,
)

DECATHLON = Dataset(
    name="monai-decathlon",
    version=1,
    task=labelled_task,
    open="bench_datasets.readers.decathlon:open_decathlon",
    loose="bench_datasets.loose.openers:open_like_cases",
    fake="bench_datasets.fakes.layouts:fake_decathlon",
    title="Decathlon volumes",
    modality="your own, or a task of the Medical Segmentation Decathlon",
    license="that of your data; the Decathlon's are CC BY-SA 4.0",
    citation="Antonelli et al., Nature Communications 2022, doi:10.1038/s41467-022-30695-9",
    how_to_get="http://medicaldecathlon.com: one task, unpacked (dataset.json, imagesTr, labelsTr)",
    own_files=True,
    requires=("PIL", "nibabel"),
    install="data",
    options=OF_CASES,
)

MEDSEGBENCH = Dataset(
    name="medsegbench",
    version=1,
    task=labelled_task,
    open="bench_datasets.readers.medsegbench:open_medsegbench",
    fake="bench_datasets.fakes.layouts:fake_medsegbench",
    title="MedSegBench",
    modality="that of the chosen set",
    license="that of the chosen set",
    citation="Kuş and Aydin, Scientific Data 2024, doi:10.1038/s41597-024-04159-2",
    how_to_get="https://zenodo.org/records/13358372: one or more NAME_SIZE.npz in a folder",
    own_files=True,
    requires=("PIL",),
    install="data",
    options={
        "classes": CLASSES,
        "background": BACKGROUND,
        "ignore": IGNORED,
        "channels": CHANNELS,
        "file": Option(type=str, default="", help="kvasir_256.npz; may be left out where there is one"),
        "category": Option(
            type=str, default="", help="of sets with several labels: C1, as in train_label_C1"
        ),
    },
)

COCO = Dataset(
    name="coco",
    version=1,
    task=labelled_task,
    open="bench_datasets.readers.coco:open_coco",
    fake="bench_datasets.fakes.layouts:fake_coco",
    title="COCO annotations",
    modality="your own",
    license="that of your data",
    how_to_get="a folder of images, and a JSON file of annotations (polygons or RLE) as COCO has it",
    own_files=True,
    requires=("PIL", "pycocotools"),
    install="coco",
    options={
        "classes": Option(
            type=dict,
            default={},
            help="needed: name to category id, or a list of ids; of classes that overlap the later one wins",
        ),
        "background": BACKGROUND,
        "ignore": IGNORED,
        "channels": Option(
            type=int, default=3, choices=(1, 3), help="1 gray, 3 RGB; gray images are repeated"
        ),
        "annotations": Option(type=str, default="annotations.json", help="the JSON file, below the root"),
        "images": Option(type=str, default="images", help="the folder that file_name starts from"),
        "group_pattern": GROUP_PATTERN,
        "group_file": GROUP_FILE,
    },
)

LAYOUTS: list[Dataset] = [NNUNET, DECATHLON, MEDSEGBENCH, COCO]
