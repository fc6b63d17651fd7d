"""The three published datasets of the study; counts are those that were published, before duplicates go."""

from __future__ import annotations

from bench_core import Dataset, Option, Task
from bench_datasets.declared.common import ALLOW_MISSING

ISIC2018 = Dataset(
    name="isic2018",
    version=1,
    task=Task(classes=("lesion",), channels=3),
    open="bench_datasets.readers.isic2018:open_isic2018",
    fake="bench_datasets.fakes.isic2018:fake_isic2018",
    title="ISIC'18",
    modality="dermoscopy",
    license="CC BY-NC 4.0 by what aggregators state; LICENSE.txt beside the images decides",
    citation=(
        "Codella et al. 2019, arXiv:1902.03368; Tschandl et al. 2018, Scientific Data 5:180161, "
        "doi:10.1038/sdata.2018.161"
    ),
    how_to_get=(
        "https://challenge.isic-archive.com/data/#2018: task 1, input and ground truth of training, "
        "validation and test, six archives under the root, unpacked or zipped (3,694 images; the study keeps "
        "3,565)"
    ),
    samples=3694,
    parts={"training": 2594, "validation": 100, "test": 1000},
    same_images={
        "ISIC 2016": "most of its training part",
        "ISIC 2017": "most of its training part",
    },
    requires=("PIL",),
    install="data",
    options={"allow_missing": ALLOW_MISSING},
)

NEOPOLYP = Dataset(
    name="neopolyp",
    version=1,
    task=Task(classes=("non-neoplastic", "neoplastic"), channels=3),
    open="bench_datasets.readers.neopolyp:open_neopolyp",
    fake="bench_datasets.fakes.neopolyp:fake_neopolyp",
    title="NeoPolyp",
    modality="endoscopy",
    license="as in the rules of the Kaggle competition bkai-igh-neopolyp",
    citation=(
        "Lan et al. 2021, NeoUNet, doi:10.1007/978-3-030-90436-4_2; An et al. 2022, BlazeNeo, "
        "doi:10.1109/ACCESS.2022.3168693"
    ),
    how_to_get=(
        "https://www.kaggle.com/competitions/bkai-igh-neopolyp/data: train/ and train_gt/ under the root "
        "(1,000 labelled images; the study keeps 945)"
    ),
    samples=1000,
    requires=("PIL",),
    install="data",
    options={
        "groups": Option(
            type=str,
            default="none",
            choices=("none", "session"),
            help="what never lies in two folds: none, each image is its own group, as in the study; session, "
            "images taken within minutes of each other, almost surely of one patient",
        ),
        "allow_missing": ALLOW_MISSING,
    },
)

CAMUS = Dataset(
    name="camus",
    version=1,
    task=Task(classes=("left ventricle", "left ventricular wall", "left atrium"), channels=1),
    open="bench_datasets.readers.camus:open_camus",
    loose="bench_datasets.loose.openers:open_like_camus",
    fake="bench_datasets.fakes.camus:fake_camus",
    title="CAMUS",
    modality="cardiac ultrasound",
    license="CC BY-NC-SA 4.0, for research; the terms on the download page decide",
    citation="Leclerc et al. 2019, IEEE TMI 38(9):2198-2210, doi:10.1109/TMI.2019.2900516",
    how_to_get=(
        "https://www.creatis.insa-lyon.fr/Challenge/camus/databases.html: database_nifti/ and "
        "database_split/ under the root (500 patients, two views, two phases: 2,000 images; the study keeps "
        "1,996)"
    ),
    samples=2000,
    parts={"training": 1600, "validation": 200, "testing": 200},
    requires=("nibabel",),
    install="data",
    options={"allow_missing": ALLOW_MISSING},
)

STUDY: list[Dataset] = [ISIC2018, NEOPOLYP, CAMUS]
"""In the order of the study's tables."""
