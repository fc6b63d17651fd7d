"""Sources of names, `smp:` to `mmseg:`, say what a name is without the framework that builds it."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
from bench_core.plugins.wiring import load_registry

models = load_registry()
for name in ("smp:unet/efficientnet-lite0", "timm:resnet18/uper", "hf:dpt", "monai:unet"):
    models.model(name)
for name in ("smp:unet/efficientnet-lite0", "timm:resnet18/uper"):
    models.model(name).weights("imagenet", {})

from bench_mmseg.source import SOURCE

names = list(SOURCE.names())
all(map(SOURCE.resolve, names))
SOURCE.resolve(next(name for name in names if "pspnet_r50" in name)).weights("imagenet", {})
frameworks = "torch timm segmentation_models_pytorch transformers monai mmengine mmcv mmseg".split()
print(len(names), [name for name in frameworks if name in sys.modules])
"""


def test_resolving_and_listing_import_no_framework() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    count, imported = done.stdout.split(maxsplit=1)
    assert int(count) > 600 and imported.strip() == "[]"
