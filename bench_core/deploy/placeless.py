"""Taking out of exported networks where each operation's code lies on the machine that wrote them."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

from torch import fx

_TRACE = "stack_trace"
_SOURCES = ".debug_pkl"
"""End of names in a TorchScript file that lead to the lines that were traced, which messages alone use."""


def strip_program(program: Any) -> Any:
    """Forget, in a torch.export program, the lines of code that operations come from; return it."""
    for module in program.graph_module.modules():
        if isinstance(module, fx.GraphModule):
            for node in module.graph.nodes:
                node.meta.pop(_TRACE, None)
    return program


def strip_onnx(model: Any) -> None:
    """Forget, in an onnx_ir model, the lines of code that operations come from."""
    for graph in (model.graph, *model.functions.values()):
        for node in graph.all_nodes():
            for name in [name for name in node.metadata_props if name.endswith(_TRACE)]:
                del node.metadata_props[name]


def strip_torchscript(written: Path, path: Path) -> None:
    """Copy a TorchScript file without the lines of code that operations come from."""
    with zipfile.ZipFile(written) as source, zipfile.ZipFile(path, "w") as target:
        for item in source.infolist():
            if not item.filename.endswith(_SOURCES):
                with source.open(item) as data, target.open(item, "w") as copy:
                    shutil.copyfileobj(data, copy)
