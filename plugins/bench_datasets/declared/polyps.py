"""Colonoscopy: sets that models trained on NeoPolyp are tested on, and which of them share images."""

from __future__ import annotations

from bench_core import Dataset, Task
from bench_datasets.declared import published
from bench_datasets.declared.common import ALLOW_MISSING
from bench_datasets.declared.published import of_pranet_split

POLYP = Task(classes=("polyp",), channels=3)
MODALITY = "colonoscopy"
OPTIONS = {"allow_missing": ALLOW_MISSING}

KVASIR_SEG = Dataset(
    name="kvasir-seg",
    version=1,
    task=POLYP,
    open="bench_datasets.readers.kvasir_seg:open_kvasir_seg",
    fake="bench_datasets.fakes.kvasir_seg:fake_kvasir_seg",
    title="Kvasir-SEG",
    modality=MODALITY,
    license="research and education only, as its page says",
    citation="Jha et al., MMM 2020, doi:10.1007/978-3-030-37734-2_37",
    how_to_get="https://datasets.simula.no/kvasir-seg/: kvasir-seg.zip, unpacked (Kvasir-SEG/images, masks)",
    samples=1000,
    same_images={
        "hyperkvasir": "all 1,000, under other names",
        "medsegbench kvasir": "all 1,000, resized",
        "Kvasir-Sessile": "196 of these",
        "PraNet's TrainDataset and TestDataset": "all 1,000: 900 and 100",
    },
    requires=("PIL",),
    install="data",
    options=OPTIONS,
)

HYPERKVASIR = Dataset(
    name="hyperkvasir",
    version=1,
    task=POLYP,
    open="bench_datasets.readers.kvasir_seg:open_hyperkvasir",
    fake="bench_datasets.fakes.kvasir_seg:fake_hyperkvasir",
    title="HyperKvasir (segmented)",
    modality=MODALITY,
    license="CC BY 4.0",
    citation="Borgli et al., Scientific Data 2020, doi:10.1038/s41597-020-00622-y",
    how_to_get="https://datasets.simula.no/hyper-kvasir/: hyper-kvasir-segmented-images.zip, unpacked "
    "(segmented-images/images, masks)",
    samples=1000,
    same_images={
        "kvasir-seg": "all 1,000, under other names",
        "medsegbench kvasir": "all 1,000, resized",
        "Kvasir-Sessile": "196 of these",
        "PraNet's TrainDataset and TestDataset": "all 1,000: 900 and 100",
    },
    requires=("PIL",),
    install="data",
    options=OPTIONS,
)

CVC_CLINICDB = Dataset(
    name="cvc-clinicdb",
    version=1,
    task=POLYP,
    open="bench_datasets.readers.cvc_clinicdb:open_cvc_clinicdb",
    fake="bench_datasets.fakes.cvc_clinicdb:fake_cvc_clinicdb",
    title="CVC-ClinicDB",
    modality=MODALITY,
    license="research only, as its page says",
    citation="Bernal et al., Comput Med Imaging Graph 2015, doi:10.1016/j.compmedimag.2015.02.007",
    how_to_get="https://polyp.grand-challenge.org/CVCClinicDB/: unpacked (CVC-ClinicDB/Original, Ground "
    "Truth), or a mirror with PNG/, TIF/ and metadata.csv",
    samples=612,
    same_images={
        "EndoSceneStill": "all 612",
        "PraNet's TrainDataset and TestDataset": "all 612: 550 and 62",
    },
    requires=("PIL",),
    install="data",
    options=OPTIONS,
)

CVC_COLONDB = Dataset(
    name="cvc-colondb",
    version=1,
    task=POLYP,
    open="bench_datasets.readers.cvc_colondb:open_cvc_colondb",
    fake="bench_datasets.fakes.cvc_colondb:fake_cvc_colondb",
    title="CVC-ColonDB",
    modality=MODALITY,
    license="research only, as its page says",
    citation="Bernal, Sánchez and Vilariño, Pattern Recognition 2012, doi:10.1016/j.patcog.2012.03.002",
    how_to_get="https://pages.cvc.uab.es/CVC-Colon/: 300 frames with pN, sN, cN beside them; or the 380 "
    "frames in images/ and masks/ that PraNet's test data hold",
    samples=380,
    same_images={
        "EndoSceneStill": "300 of the official frames",
        "CVC-300": "60, as EndoScene's test part",
        "PraNet's TestDataset": "380 as CVC-ColonDB, 60 as CVC-300",
    },
    references=of_pranet_split(published.COLONDB),
    requires=("PIL",),
    install="data",
    options=OPTIONS,
)

ETIS = Dataset(
    name="etis",
    version=1,
    task=POLYP,
    open="bench_datasets.readers.etis:open_etis",
    fake="bench_datasets.fakes.etis:fake_etis",
    title="ETIS-Larib",
    modality=MODALITY,
    license="research only, as its page says",
    citation="Silva et al., Int J CARS 2014, doi:10.1007/s11548-013-0926-3",
    how_to_get="https://polyp.grand-challenge.org/EtisLarib/: unpacked (ETIS-LaribPolypDB, Ground Truth); "
    "or images/ and masks/ of PraNet's test data",
    samples=196,
    same_images={"PraNet's TestDataset": "all 196"},
    references=of_pranet_split(published.ETIS),
    requires=("PIL",),
    install="data",
    options=OPTIONS,
)

POLYPS: list[Dataset] = [KVASIR_SEG, HYPERKVASIR, CVC_CLINICDB, CVC_COLONDB, ETIS]
