"""The three published datasets of the study, as declarations; their readers are not here yet."""

from __future__ import annotations

from bench_core import Dataset, Task

NOT_READ = "declared; its reader is not part of this version"

ISIC2018 = Dataset(
    name="isic2018",
    version=1,
    task=Task(classes=("lesion",), channels=3),
    unavailable=NOT_READ,
    title="ISIC'18",
    modality="dermoscopy",
    license="see LICENSE.txt beside the images",
    how_to_get=(
        "https://challenge.isic-archive.com/data/#2018: task 1, input and ground truth of training, "
        "validation and test, unpacked side by side under the root (3,694 images; the study keeps 3,565)"
    ),
    # Without exact and near duplicates, as the study counts them; so for NeoPolyp. CAMUS lacks four.
    samples=3565,
)

NEOPOLYP = Dataset(
    name="neopolyp",
    version=1,
    task=Task(classes=("non-neoplastic", "neoplastic"), channels=3),
    unavailable=NOT_READ,
    title="NeoPolyp",
    modality="endoscopy",
    license="as in the rules of the Kaggle competition bkai-igh-neopolyp",
    how_to_get=(
        "https://www.kaggle.com/competitions/bkai-igh-neopolyp/data: train/ and train_gt/ under the root "
        "(1,000 labelled images; the study keeps 945)"
    ),
    samples=945,
)

CAMUS = Dataset(
    name="camus",
    version=1,
    task=Task(classes=("left ventricle", "left ventricular wall", "left atrium"), channels=1),
    unavailable=NOT_READ,
    title="CAMUS",
    modality="cardiac ultrasound",
    license="as in the terms on the download page",
    how_to_get=(
        "https://www.creatis.insa-lyon.fr/Challenge/camus/databases.html: database_nifti/ under the root "
        "(500 patients, two views, two phases: 2,000 images; the study keeps 1,996)"
    ),
    samples=1996,
)

STUDY: list[Dataset] = [ISIC2018, NEOPOLYP, CAMUS]
"""In the order of the study's tables."""
