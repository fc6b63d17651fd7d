"""Dermoscopy: sets that models trained on ISIC 2018 are tested on."""

from __future__ import annotations

from bench_core import Dataset, Task
from bench_datasets.declared.common import ALLOW_MISSING

LESION = Task(classes=("lesion",), channels=3)

PH2 = Dataset(
    name="ph2",
    version=1,
    task=LESION,
    open="bench_datasets.readers.ph2:open_ph2",
    fake="bench_datasets.fakes.ph2:fake_ph2",
    title="PH2",
    modality="dermoscopy",
    license="research and education only, as its page says",
    citation="Mendonça et al., EMBC 2013, doi:10.1109/EMBC.2013.6610779",
    how_to_get="https://www.fc.up.pt/addi/ph2%20database.html: unpacked (PH2Dataset/PH2 Dataset images, "
    "PH2_dataset.txt)",
    samples=200,
    requires=("PIL",),
    install="data",
    options={"allow_missing": ALLOW_MISSING},
)

HAM10000 = Dataset(
    name="ham10000",
    version=1,
    task=LESION,
    open="bench_datasets.readers.ham10000:open_ham10000",
    fake="bench_datasets.fakes.ham10000:fake_ham10000",
    title="HAM10000",
    modality="dermoscopy",
    license="CC BY-NC 4.0",
    citation="Tschandl, Rosendahl and Kittler, Scientific Data 2018, doi:10.1038/sdata.2018.161; masks: "
    "Tschandl et al., Nature Medicine 2020, doi:10.1038/s41591-020-0942-0",
    how_to_get="https://doi.org/10.7910/DVN/DBW86T: HAM10000_images_part_1, HAM10000_images_part_2, "
    "HAM10000_segmentations_lesion_tschandl and HAM10000_metadata, unpacked side by side",
    samples=10015,
    same_images={"ISIC 2018 Task 3": "all 10,015, as its training part"},
    requires=("PIL",),
    install="data",
    options={"allow_missing": ALLOW_MISSING},
)

SKIN: list[Dataset] = [PH2, HAM10000]
