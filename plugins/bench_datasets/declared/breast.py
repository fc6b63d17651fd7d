"""Breast ultrasound."""

from __future__ import annotations

from bench_core import Dataset, Task
from bench_datasets.declared.common import ALLOW_MISSING

BUSI = Dataset(
    name="busi",
    version=1,
    task=Task(classes=("lesion",), channels=1),
    open="bench_datasets.readers.busi:open_busi",
    fake="bench_datasets.fakes.busi:fake_busi",
    title="BUSI",
    modality="breast ultrasound",
    license="CC0 on Kaggle; the article is CC BY 4.0",
    citation="Al-Dhabyani et al., Data in Brief 2020, doi:10.1016/j.dib.2019.104863",
    how_to_get="https://www.kaggle.com/datasets/aryashah2k/breast-ultrasound-images-dataset: unpacked "
    "(Dataset_BUSI_with_GT/benign, malignant, normal)",
    samples=780,
    parts={"benign": 437, "malignant": 210, "normal": 133},
    same_images={"medsegbench busi": "647 with a lesion, resized"},
    requires=("PIL",),
    install="data",
    options={"allow_missing": ALLOW_MISSING},
)

BREAST: list[Dataset] = [BUSI]
