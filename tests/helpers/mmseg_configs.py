"""Small networks of MMSegmentation's zoo: a config of each family, and what they are built from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench_core import BuildRequest
from bench_mmseg import zoo
from bench_mmseg.config_file import read_packaged

R50 = "_4xb2-40k_cityscapes-512x1024"
R18 = "_4xb2-80k_cityscapes-512x1024"
SMALL = {
    "bisenetv1": "bisenetv1_r18-d32_4xb4-160k_cityscapes-1024x1024",
    "bisenetv2": "bisenetv2_fcn_4xb4-160k_cityscapes-1024x1024",
    "cgnet": "cgnet_fcn_4xb4-60k_cityscapes-680x680",
    "ddrnet": "ddrnet_23-slim_in1k-pre_2xb6-120k_cityscapes-1024x1024",
    "deeplabv3": f"deeplabv3_r18-d8{R18}",
    "deeplabv3plus": f"deeplabv3plus_r18-d8{R18}",
    "erfnet": "erfnet_fcn_4xb4-160k_cityscapes-512x1024",
    "fastscnn": "fast_scnn_8xb4-160k_cityscapes-512x1024",
    "fcn": f"fcn_r18-d8{R18}",
    "hrnet": "fcn_hr18s_4xb2-160k_cityscapes-512x1024",
    "icnet": "icnet_r18-d8_4xb2-80k_cityscapes-832x832",
    "mobilenet_v2": "mobilenet-v2-d8_fcn_4xb2-80k_cityscapes-512x1024",
    "ocrnet": "ocrnet_hr18s_4xb2-160k_cityscapes-512x1024",
    "pidnet": "pidnet-s_2xb6-120k_1024x1024-cityscapes",
    "pspnet": f"pspnet_r18-d8{R18}",
    "segformer": "segformer_mit-b0_8xb2-160k_ade20k-512x512",
    "segmenter": "segmenter_vit-t_mask_8xb1-160k_ade20k-512x512",
    "segnext": "segnext_mscan-t_1xb16-adamw-160k_ade20k-512x512",
    "stdc": "stdc1_4xb12-80k_cityscapes-512x1024",
    "unet": "unet-s5-d16_fcn_4xb4-40k_drive-64x64",
}
LARGE = {
    "danet": f"danet_r50-d8{R50}",
    "emanet": "emanet_r50-d8_4xb2-80k_cityscapes-512x1024",
    "encnet": f"encnet_r50-d8{R50}",
    "isanet": f"isanet_r50-d8{R50}",
    "mobilenet_v3": "mobilenet-v3-d8-s_lraspp_4xb4-320k_cityscapes-512x1024",
    "sem_fpn": "fpn_r50_4xb2-80k_cityscapes-512x1024",
    "ann": f"ann_r50-d8{R50}",
    "apcnet": f"apcnet_r50-d8{R50}",
    "beit": "beit-base_upernet_8xb2-160k_ade20k-640x640",
    "dmnet": f"dmnet_r50-d8{R50}",
    "dnlnet": f"dnl_r50-d8{R50}",
    "dpt": "dpt_vit-b16_8xb2-160k_ade20k-512x512",
    "dsdl": "cityscapes",
    "fastfcn": "fastfcn_r50-d32_jpu_psp_4xb2-80k_cityscapes-512x1024",
    "gcnet": f"gcnet_r50-d8{R50}",
    "knet": "knet-s3_r50-d8_fcn_8xb2-adamw-80k_ade20k-512x512",
    "mae": "mae-base_upernet_8xb2-amp-160k_ade20k-512x512",
    "nonlocal_net": f"nonlocal_r50-d8{R50}",
    "resnest": "resnest_s101-d8_pspnet_4xb4-160k_ade20k-512x512",
    "setr": "setr_vit-l_naive_8xb2-160k_ade20k-512x512",
    "swin": "swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512",
    "twins": "twins_pcpvt-s_fpn_fpnhead_8xb4-80k_ade20k-512x512",
    "upernet": "upernet_r18_4xb4-20k_voc12aug-512x512",
    "vit": "vit_deit-s16_upernet_8xb2-80k_ade20k-512x512",
}
NOT_HERE = {
    "ccnet": ("ccnet_r50-d8_4xb2-40k_cityscapes-512x1024", "CrissCrossAttention ops"),
    "psanet": ("psanet_r50-d8_4xb2-40k_cityscapes-512x1024", "PSAMask ops"),
    "convnext": ("convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512", "mmpretrain"),
    "poolformer": ("fpn_poolformer_s12_8xb4-40k_ade20k-512x512", "mmpretrain"),
}
"""Family to a config and what mmseg or the import of its parts says without these packages."""
UNTRAINABLE = {
    "mask2former": "mask2former_r50_8xb2-90k_cityscapes-512x1024",
    "maskformer": "maskformer_r50-d32_8xb2-160k_ade20k-512x512",
    "point_rend": "pointrend_r50_4xb2-80k_cityscapes-512x1024",
    "san": "san-vit-b16_coco-stuff164k-640x640",
    "vpd": "vpd_sd_4xb8-25k_nyu-480x480",
}


def model_of(config: str) -> Mapping[str, Any]:
    model = read_packaged(zoo.zoo_configs()[config])["model"]
    assert isinstance(model, Mapping)
    return model


def request_of(
    *,
    channels: int = 3,
    classes: int = 3,
    size: int = 32,
    pretrained: str = "none",
    weights_file: Path | None = None,
) -> BuildRequest:
    return BuildRequest(
        in_channels=channels,
        num_classes=classes,
        image_size=size,
        pretrained=pretrained,
        weights_files=() if weights_file is None else (weights_file,),
    )


def random_images(batch: int, channels: int, size: int) -> Tensor:
    return torch.randn(batch, channels, size, size, generator=torch.Generator().manual_seed(0))
