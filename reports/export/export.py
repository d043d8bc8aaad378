"""Exports a trained point: a plain torch.nn state dict, a module that loads it, a model card.

Writes with numpy; torch is needed only to run the network.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from safetensors.numpy import save_file

from reports.data.judged_again import as_judged
from reports.formatting import private, score_number
from study.records import StudyError
from study.store import CONFIG, Store

HERE = Path(__file__).parent.parent / "templates" / "export"
WRITTEN = ("model.safetensors", "config.json", "model.py", "README.md")
Arrays = Mapping[str, np.ndarray]

# Cells that torch.nn computes in the same way, by their _target_, and their tensors per layer.
CELLS = {
    "study.cells.rnn.RNN": ("rnn", 1, ("weight_x", "weight_h", "bias")),
    "study.cells.lstm.LSTM": ("lstm", 4, ("weight_x", "weight_h", "bias")),
    "study.cells.gru.GRU": ("gru", 3, ("weight_x", "weight_h", "bias")),
    "study.cells.gru_reset_after.GRUResetAfter": (
        "gru_reset_after",
        3,
        ("weight_x", "weight_h", "bias", "bias_hn"),
    ),
}
READOUTS = {
    "study.readouts.last.Last": False,
    "study.readouts.every.Every": True,
}  # whether the readout reads every step


def export(study_folder: Path, point: str, to: Path | None) -> Path:
    """Write the point's scored weights to `to` (default: exports/ID in the study's folder).

    Returns the folder. `point`: an id, or its first characters. StudyError if the point has no
    weights, or a cell or readout that torch would compute differently.
    """
    store = Store(study_folder)
    record = store.study()
    id = find(store, point)
    config, result = point_config(store, id), store.result(id)
    health = record["declaration"].get("health", {})
    result = {**result, "row": as_judged(store, result["row"], health)}
    if not store.has_weights(id):
        status = str(result["row"].get("status"))
        why = (
            str(result["row"].get("reason"))
            if status == "failed"
            else "weights were not kept (store.weights=false)"
        )
        raise StudyError(f"{id}: has no weights to export ({status}; {private(why)})")
    weights = store.weights(id)
    model, state = network(config, weights)
    folder = to or store.folder / "exports" / id
    _clear(folder)
    save_file(
        {name: np.ascontiguousarray(value) for name, value in state.items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    shutil.copyfile(HERE / "model.py", folder / "model.py")
    declared = record["declaration"].get("tasks", {}).get(str(result["labels"].get("task")), {})
    facts = (result.get("provenance") or {}).get(
        "task"
    ) or declared  # the point's own: the length of the task may be a factor
    about = {
        "model": model,
        "dtype": str(next(iter(state.values())).dtype),
        "classes": str(facts.get("loss", "")).startswith("cross-entropy"),
        "task": facts,
    }
    about |= {
        "study": record.get("name"),
        "point": id,
        "settings": {
            key: config[key] for key in ("task", "cell", "initializer", "clip", "optimizer")
        },
    }
    (folder / "config.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    (folder / "README.md").write_text(card(record, result, config, about, digest), encoding="utf-8")
    return folder


def find(store: Store, point: str) -> str:
    """The id of a stored point, from the id or its first characters."""
    there = store.ids()
    fitting = [id for id in there if id == point] or [
        id for id in there if point and id.startswith(point)
    ]
    if len(fitting) == 1:
        return fitting[0]
    sentence = (
        f"{len(fitting)} points begin with it: {', '.join(fitting[:5])}"
        if fitting
        else f"python -m reports table {store.folder} lists the {len(there)} that are stored"
    )
    raise StudyError(f"{point!r}: not the id of one point of {store.folder}; {sentence}")


def point_config(store: Store, id: str) -> dict[str, Any]:
    """The composed configuration of a stored point."""
    config = store.config(id)
    lacking = [
        key
        for key in ("task", "cell", "readout", "depth", "hidden", "dropout")
        if key not in config
    ]
    if lacking:
        path = store.point_folder(id) / CONFIG
        raise StudyError(
            f"{path}: has no {', '.join(lacking)}, so the network is not known. Remove"
            f" {path.parent.name} and run the study again."
        )
    return config


def network(
    config: Mapping[str, Any], weights: Arrays
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Arguments of Net (templates/export/model.py), and the state dict under torch.nn's names."""
    target, readout = str(config["cell"].get("_target_")), str(config["readout"].get("_target_"))
    if target not in CELLS:
        raise StudyError(
            f"cell {target}: torch.nn has no such layer and no module is known for it; its weights"
            " are in the point's weights.safetensors"
        )
    if config.get("encoder"):
        raise StudyError(
            f"encoder {config['encoder'].get('_target_')}: networks with an encoder are not"
            " exported; the weights are in weights.safetensors"
        )
    if readout not in READOUTS:
        raise StudyError(
            f"readout {readout}: only the linear readouts of the last or of every step are"
            " exported; the weights are in weights.safetensors"
        )
    cell, gates, tensors = CELLS[target]
    depth, hidden = int(config["depth"]), int(config["hidden"])
    expected = {f"layer{layer}.{name}" for layer in range(1, depth + 1) for name in tensors} | {
        "readout.weight",
        "readout.bias",
    }
    if set(weights) != expected:
        raise StudyError(
            f"cell {target}: stored tensors are {', '.join(sorted(weights))}, expected"
            f" {', '.join(sorted(expected))}"
        )
    if weights["layer1.weight_h"].shape != (gates * hidden, hidden):
        raise StudyError(
            f"cell {target}: weight_h has shape {weights['layer1.weight_h'].shape}, expected"
            f" {(gates * hidden, hidden)}"
        )
    kind = cell.split("_")[0]
    state = {"fc.weight": weights["readout.weight"], "fc.bias": weights["readout.bias"]}
    for layer in range(depth):
        own = {name: weights[f"layer{layer + 1}.{name}"] for name in tensors}
        state |= {
            f"{kind}.{name}_l{layer}": value for name, value in _layer(cell, own, hidden).items()
        }
    model = {
        "cell": cell,
        "nonlinearity": str(config["cell"].get("nonlinearity", "tanh")),
        "inputs": int(weights["layer1.weight_x"].shape[1]),
        "hidden": hidden,
        "layers": depth,
        "outputs": int(weights["readout.weight"].shape[0]),
        "dropout": float(config["dropout"]) if depth > 1 else 0.0,
        "every_step": READOUTS[readout],
    }
    return model, state


def _layer(cell: str, own: Arrays, hidden: int) -> dict[str, np.ndarray]:
    """One layer's tensors under torch.nn's names.

    torch.nn has two biases where the study has their sum; in its GRU only the candidate's bias is
    inside the reset.
    """
    if cell == "gru":
        return {"weight_ih": own["weight_x"], "weight_hh": own["weight_h"], "bias": own["bias"]}
    inside = np.zeros_like(own["bias"])
    if cell == "gru_reset_after":
        inside[2 * hidden :] = own["bias_hn"]
    return {
        "weight_ih": own["weight_x"],
        "weight_hh": own["weight_h"],
        "bias_ih": own["bias"],
        "bias_hh": inside,
    }


def _clear(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        other = sorted(
            path.name for path in folder.iterdir() if path.name not in (*WRITTEN, "__pycache__")
        )
    except OSError as error:
        raise StudyError(f"{folder}: cannot be written ({error.strerror or error})") from error
    if other:
        raise StudyError(
            f"{folder}: holds other files ({', '.join(other[:3])}); give an empty folder with --to"
        )


def card(
    record: Mapping[str, Any],
    result: Mapping[str, Any],
    config: Mapping[str, Any],
    about: Mapping[str, Any],
    digest: str,
) -> str:
    """The model card."""
    row, provenance, model = (
        Store.known(result["row"]),
        result.get("provenance") or {},
        about["model"],
    )
    facts = dict.fromkeys(
        ("steps", "loss", "metric", "source", "licence", "split"), "not known"
    ) | dict(about["task"])
    sizes = f"{model['inputs']}, {model['hidden']}, {model['layers']}"
    layer = {
        "rnn": f'nn.RNN({sizes}, batch_first=True, nonlinearity="{model["nonlinearity"]}")',
        "lstm": f"nn.LSTM({sizes}, batch_first=True)",
        "gru": f"GRUResetBefore({sizes}, {model['dropout']})",
        "gru_reset_after": f"nn.GRU({sizes}, batch_first=True)",
    }[model["cell"]]
    keys = (
        "task",
        "cell",
        "initializer",
        "clip",
        "optimizer",
        "depth",
        "hidden",
        "dropout",
        "batch",
        "updates",
        "seed",
    )
    template = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, autoescape=False
    ).from_string((HERE / "card.md").read_text(encoding="utf-8"))
    return template.render(
        record=record,
        id=result["id"],
        row=row,
        model=model,
        facts=facts,
        layer=layer,
        kind=model["cell"].split("_")[0],
        dtype=about["dtype"],
        digest=digest,
        score=score_number(row.get("score"), 4),
        score_se=score_number(row.get("score_se"), 4),
        baseline=score_number(row.get("baseline"), 4),
        settings={key: json.dumps(config.get(key)) for key in keys},
        commit=(provenance.get("git") or {}).get("commit") or "not known",
        versions=", ".join(
            f"{name} {version}" for name, version in (provenance.get("versions") or {}).items()
        )
        or "versions not known",
    )
