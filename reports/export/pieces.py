"""Networks of cells that torch.nn lacks, and of blocks around layers, for an export: their classes
are taken from their source (pieces.py of an export), and the tensors get the names of its Layers.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from reports.export.source import standalone
from study.records import StudyError

FILE = "pieces.py"
# what an exported layer calls; a recipe also draws what the cell starts from
CELL = frozenset({"shapes", "widths", "project", "step", "states"})
BLOCK = frozenset({"shapes", "before", "after"})


def pieces(config: Mapping[str, Any], *, first: bool = False) -> str:
    """Python of the point's cell, and of its block; `first`: with `Cell.first`.

    StudyError, with the piece, if the source of one cannot be taken out of its files.
    """
    cell, block = config["cell"], config.get("block")
    of_cell = CELL | {"first"} if first else CELL
    try:
        text = standalone({str(cell["_target_"]): of_cell})
    except StudyError as error:
        raise StudyError(f"cell {cell['_target_']}: {error}") from error
    if not block:
        return text
    try:
        return standalone({str(cell["_target_"]): of_cell, str(block["_target_"]): BLOCK})
    except StudyError as error:
        raise StudyError(f"block {block['_target_']}: {error}") from error


def own_names(name: str) -> str:
    """A stored tensor's name in Layers: layer1.bias is cells.0.bias."""
    of, _, rest = name.partition(".")
    if name == "block.embed":
        return "embed"
    kind = "blocks" if of.startswith("block") else "cells"
    return f"{kind}.{int(of.lstrip('blockayer')) - 1}.{rest}"


def layers_of(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors of cells and blocks under their names in Net of model.py."""
    return {
        f"layers.{own_names(name)}": value
        for name, value in weights.items()
        if name.startswith(("layer", "block"))
    }


def run(text: str) -> ModuleType:
    """The module of a text that `pieces` made, which is source of classes that are imported here
    already: never a text that was read from a study or an export.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, FILE)
        path.write_text(text, encoding="utf-8")
        spec = importlib.util.spec_from_file_location("pieces", path)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[module.__name__] = module  # dataclasses look for it there
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            raise StudyError(
                f"what was taken from the source does not run by itself ({type(error).__name__}:"
                f" {error})"
            ) from error
    return module
