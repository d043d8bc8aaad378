"""Exports a trained point: its weights, a module that loads and applies them, a model card.

Needs torch for the worked example alone, which the exported module computes.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import jinja2
import numpy as np
from safetensors.numpy import save_file

from reports.data.judged_again import as_judged
from reports.export.pieces import FILE, layers_of, pieces, run
from reports.formatting import score_number
from study.program import command
from study.records import StudyError
from study.store import CONFIG, Store
from study.store.privacy import private
from study.store.race import check_not_held_out

HERE = Path(__file__).parent.parent / "templates" / "export"
WRITTEN = ("model.safetensors", "config.json", "example.json", "model.py", "README.md", FILE)
Arrays = Mapping[str, np.ndarray]

# Cells by their _target_: the name of their module in model.py, gates, tensors per layer.
OWN = ("weight_x", "weight_h", "bias")
CELLS = {
    "study.cells.rnn.RNN": ("rnn", 1, OWN),
    "study.cells.lstm.LSTM": ("lstm", 4, OWN),
    "study.cells.gru.GRU": ("gru", 3, OWN),
    "study.cells.gru_reset_after.GRUResetAfter": ("gru_reset_after", 3, (*OWN, "bias_hn")),
    "study.cells.linear.Linear": ("linear", 1, OWN),
    "study.cells.antisymmetric.Antisymmetric": ("antisymmetric", 1, OWN),
}
# Those that torch.nn lacks; model.py has them.
MODULES = {"gru": "GRUResetBefore", "linear": "LinearRNN", "antisymmetric": "Antisymmetric"}
LAYERS = {"rnn": "nn.RNN", "lstm": "nn.LSTM", "gru_reset_after": "nn.GRU", **MODULES}
FC = {"weight": "fc.weight", "bias": "fc.bias"}
# Readouts by their _target_: their name in model.py, their tensors there.
READOUTS = {
    "study.readouts.last.Last": ("last", FC),
    "study.readouts.every.Every": ("every", FC),
    "study.readouts.mean.Mean": ("mean", FC),
    "study.readouts.attention.Attention": (
        "attention",
        {
            "attend_weight": "attend.weight",
            "attend_bias": "attend.bias",
            "attend_score": "score.weight",
            **FC,
        },
    ),
}
# Encoders by their _target_: their tensors here and in model.py.
ENCODERS = {
    "study.encoders.conv.Conv": {"weight": "encoder.conv.weight", "bias": "encoder.conv.bias"},
    "study.encoders.graph.Graph": {"weight": "encoder.filters.weight"},
}
CONSTANT = 1e30  # deviations from here on make a channel 0
OLD = "was stored before points kept how their task reads raw input, so the task is read anew, and"


def export(study_folder: Path, point: str, to: Path | None) -> Path:
    """Write the point's scored weights to `to` (default: exports/ID in the study's folder).

    Returns the folder. `point`: an id, or its first characters. StudyError if the point has no
    weights, an encoder or a readout that model.py does not have, or a cell whose source is not
    there.
    """
    check_not_held_out(study_folder)
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
    if "trainer" in config:
        raise StudyError(
            f"{id}: was trained by {config['trainer']['_target_']}, which alone knows its network;"
            " the weights are in the point's weights.safetensors"
        )
    declared = record["declaration"].get("tasks", {}).get(str(result["labels"].get("task")), {})
    facts = (result.get("provenance") or {}).get(
        "task"
    ) or declared  # the point's own: the length of the task may be a factor
    text = ""
    if "model" in config:
        model, state = own_network(config, result), weights
    else:
        model, state = network(config, weights, facts)
        text = pieces(config) if made_of_pieces(config) else ""
    about = {
        "model": model,
        "dtype": str(config["dtype"]),
        **({"pieces": FILE} if text else {}),
        **signature(id, config, result),
        "task": without_paths(facts),
        "study": record.get("name"),
        "point": id,
        "settings": {
            key: without_paths(config[key])
            for key in (
                "task",
                "cell",
                "block",
                "model",
                "initializer",
                "clip",
                "optimizer",
                "schedule",
                "average",
            )
            if config.get(key) and not (key == "cell" and "model" in config)
        },
    }
    module = model_module()
    folder = to or store.folder / "exports" / id
    if "model" in config:
        try:
            module.Own(**model)
        except ImportError as error:
            raise StudyError(f"{id}: {error}") from error
    runs = run(text) if text else None
    if runs:
        _compare(id, module.Net(**model, pieces=runs), state)
    _clear(folder)
    save_file(
        {name: np.ascontiguousarray(value) for name, value in state.items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    shutil.copyfile(HERE / "model.py", folder / "model.py")
    (folder / "config.json").write_text(
        json.dumps(about, indent=1, ensure_ascii=False), encoding="utf-8"
    )
    if text:
        (folder / FILE).write_text(text, encoding="utf-8")
    data = example(about)
    answer = module.predict(module.load(folder, runs), data)
    answer = [value.tolist() for value in answer]
    (folder / "example.json").write_text(
        json.dumps({"input": data, "answer": answer}, ensure_ascii=False), encoding="utf-8"
    )
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    text = card(record, result, config, about, digest, data, answer)
    (folder / "README.md").write_text(text, encoding="utf-8")
    return folder


def _compare(id: str, net: Any, state: Arrays) -> None:
    """StudyError unless the network has the tensors that are stored."""
    has = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    stored = {name: value.shape for name, value in state.items()}
    if has != stored:
        differ = sorted(name for name in {*has, *stored} if has.get(name) != stored.get(name))
        raise StudyError(
            f"{id}: the source of its cell or block makes other tensors than those that are stored"
            f" ({', '.join(differ[:3])}); was it changed since?"
        )


def model_module() -> ModuleType:
    """Our copy of the module that an export holds; no code is run from an exported folder."""
    spec = importlib.util.spec_from_file_location("exported_model", HERE / "model.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        raise StudyError(f"exported networks need torch and safetensors ({error})") from error
    return module


def signature(id: str, config: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """How the point's task reads raw input and states answers (Task.signature).

    From the point; if it is older, from the task, read in a process of its own.
    """
    provenance = result.get("provenance") or {}
    if "signature" in provenance:
        return dict(provenance["signature"])
    ran = subprocess.run(
        [sys.executable, "-m", "study.signature"],
        input=json.dumps(config["task"]),
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    if ran.returncode:
        why = (ran.stderr.strip().splitlines() or ["it failed without a message"])[-1]
        raise StudyError(f"{id}: {OLD} that fails: {why}")
    found = json.loads(ran.stdout)
    if found["data_hash"] != provenance.get("data_hash"):
        raise StudyError(
            f"{id}: {OLD} its data have changed (hash {found['data_hash']}, at training"
            f" {provenance.get('data_hash')}); put the data back, or run the study again"
        )
    return dict(found["signature"])


def without_paths(value: Any) -> Any:
    """Plain values in which every path of this machine is reduced to its last part."""
    if isinstance(value, Mapping):
        return {key: without_paths(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_paths(each) for each in value]
    if not isinstance(value, str):
        return value
    parts = value.replace("\\", "/").rstrip("/").split("/")
    if len(parts) > 1 and (parts[0] in ("", "~", ".", "..") or parts[0].endswith(":")):
        return value if "://" in value else parts[-1]
    return private(value)


def example(about: Mapping[str, Any]) -> Any:
    """Raw input of the form that the network reads, made up from its signature: plain values."""
    spec, inputs = about["input"], about["model"]["inputs"]
    if spec["kind"] == "text":
        return spec["alphabet"][:12]
    if spec["kind"] == "image":
        side, white = spec["side"], spec["white"]
        ramp = (np.arange(side**2) * white / (side**2 - 1)).round(2)
        return [ramp.reshape(side, side).tolist()]
    steps = spec["steps"] + bool(spec.get("differences"))
    shape = (min(steps, 3) if spec.get("varying") else steps, inputs)
    swing = (np.add.outer(np.arange(shape[0]), np.arange(inputs)) % 3 - 1).astype(float)
    deviation = np.array(spec.get("deviation", 1.0))
    deviation = np.where(deviation < CONSTANT, deviation, 0.0)
    values = np.array(spec.get("mean", 0.0)) + deviation * swing
    if spec.get("differences"):
        values = values.cumsum(0)
    values = np.vectorize(lambda value: float(f"{value:.4g}"))(values)
    if not spec.get("layout"):
        return [values.tolist()]
    if spec["layout"] == "row":
        row: list[float | None] = values[:, 0].tolist()
        row += [None] * (len(spec["columns"]) - len(row))
        return [dict(zip(spec["columns"], row, strict=True))]
    if spec.get("elapsed"):
        values = np.concatenate([values[:1], values])  # whose first row has a row before it
    output = about["output"]
    later = spec.get("later", {})
    coming = output["ahead"] if later else 0
    if coming:  # rows to come, of which nothing else is known
        values = np.concatenate([values, values[-1:].repeat(coming, 0)])
    columns = dict(zip(spec["columns"], values.T.tolist(), strict=True))
    for name in (*later, spec.get("elapsed")):
        columns.pop(name, None)
    for name in set(columns) - set(later.values()) if coming else ():
        columns[name][-coming:] = [None] * coming
    for channel, (column, level) in spec.get("levels", {}).items():
        columns.pop(channel)
        columns[column] = [level] * len(values)
    if spec.get("series") is not None:
        columns |= {spec["series"]: ["a"] * len(values)}
    if spec.get("time") is not None:
        columns |= {spec["time"]: list(range(len(values)))}
    return columns


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
        else f"{command('reports', 'table', str(store.folder))} lists the {len(there)} that are"
        " stored"
    )
    raise StudyError(f"{point!r}: not the id of one point of {store.folder}; {sentence}")


ADOPTED = "adopted"  # key of the configuration of a run that study.adopt stored


def point_config(store: Store, id: str) -> dict[str, Any]:
    """The composed configuration of a stored point."""
    config = store.config(id)
    if ADOPTED in config:
        raise StudyError(
            f"{id}: was adopted from {config[ADOPTED]}, whose weights were not recorded; networks"
            " that this tool trained can be exported"
        )
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


def own_network(config: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of Own (templates/export/model.py): the class as it was built for training."""
    facts, node = result["provenance"]["task"], config["model"]

    def filled(value: Any) -> Any:
        if isinstance(value, str) and value.startswith("task."):
            return facts[value.removeprefix("task.")]
        if isinstance(value, Mapping):
            return {key: filled(each) for key, each in value.items()}
        return [filled(each) for each in value] if isinstance(value, list) else value

    return {
        "target": node["_target_"],
        "arguments": {key: filled(node[key]) for key in node if not key.startswith("_")},
        "symbols": node.get("_input_") == "symbols",
        "time_first": node.get("_layout_") == "time_first",
        "lengths": bool(result["provenance"]["model"]["lengths"]),
        "readout": "every" if facts["every_step"] else "one a sequence",
        "inputs": int(facts["inputs"]),
        "outputs": int(facts["outputs"]),
    }


def made_of_pieces(config: Mapping[str, Any]) -> bool:
    """Whether the layers of an export come from the source of the cell, and of a block."""
    return bool(config.get("block")) or config["cell"].get("_target_") not in CELLS


def lacking(config: Mapping[str, Any]) -> str:
    """Which piece of a configuration exports lack, if one, and why."""
    for key, targets in (("encoder", set(ENCODERS)), ("readout", set(READOUTS))):
        target = (config.get(key) or {}).get("_target_")
        if target is not None and target not in targets:
            return f"{key} {target}: neither torch.nn nor model.py of exports has it"
    if made_of_pieces(config):
        try:
            pieces(config)
        except StudyError as error:
            return str(error)
    return ""


def network(
    config: Mapping[str, Any], weights: Arrays, facts: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Arguments of Net (templates/export/model.py), and the state dict under its names."""
    target, readout = str(config["cell"].get("_target_")), str(config["readout"].get("_target_"))
    encoder = dict(config.get("encoder") or {})
    if why := lacking(config):
        raise StudyError(f"{why}; its weights are in the point's weights.safetensors")
    own_layers = made_of_pieces(config)
    (cell, gates, tensors), (reads, names) = CELLS.get(target, (target, 1, ())), READOUTS[readout]
    depth, hidden = int(config["depth"]), int(config["hidden"])
    expected = {f"layer{layer}.{name}" for layer in range(1, depth + 1) for name in tensors}
    if own_layers:  # model.py compares them with what the class has
        expected = {name for name in weights if name.startswith(("layer", "block"))}
    expected |= {f"readout.{name}" for name in names}
    encoded = ENCODERS[encoder.pop("_target_")] if encoder else {}
    expected |= {f"encoder.{name}" for name in encoded}
    if set(weights) != expected:
        raise StudyError(
            f"cell {target}: stored tensors are {', '.join(sorted(weights))}, expected"
            f" {', '.join(sorted(expected))}"
        )
    if not own_layers and weights["layer1.weight_h"].shape != (gates * hidden, hidden):
        raise StudyError(
            f"cell {target}: weight_h has shape {weights['layer1.weight_h'].shape}, expected"
            f" {(gates * hidden, hidden)}"
        )
    kind = cell.split("_")[0]
    inputs = int(facts["inputs"] if own_layers else weights["layer1.weight_x"].shape[1])
    state = {own: weights[f"readout.{name}"] for name, own in names.items()}
    if encoder:
        state |= {own: weights[f"encoder.{name}"] for name, own in encoded.items()}
        if "side" in encoder:
            side = int(encoder["side"])
            state["encoder.conv.weight"] = weights["encoder.weight"].reshape(-1, 1, side, side)
        inputs -= 0 if own_layers else _added(encoder)
    if own_layers:
        state |= layers_of(weights)
    for layer in () if own_layers else range(depth):
        own = {name: weights[f"layer{layer + 1}.{name}"] for name in tensors}
        state |= {
            f"{kind}.{name}_l{layer}": value for name, value in _layer(cell, own, hidden).items()
        }
    model = {
        "cell": target if own_layers else cell,
        **({"block": dict(config["block"])} if config.get("block") else {}),
        "settings": {key: value for key, value in config["cell"].items() if key != "_target_"},
        "encoder": encoder or None,
        "readout": reads,
        "inputs": inputs,
        "hidden": hidden,
        "layers": depth,
        "outputs": int(weights["readout.weight"].shape[0]),
        "dropout": float(config["dropout"]) if depth > 1 else 0.0,
    }
    return model, state


def _encoder_class(encoder: Mapping[str, Any]) -> str:
    """The encoder's name in model.py."""
    return "GraphEncoder" if "edges" in encoder else "ConvEncoder"


def _added(encoder: Mapping[str, Any]) -> int:
    """What the encoder adds to the inputs of a step."""
    if "edges" in encoder:
        return int(encoder["nodes"] * (encoder["filters"] - 1))
    down, right = (
        (encoder[size] + 1 - encoder["side"]) // encoder["pool"] for size in ("rows", "columns")
    )
    return int(encoder["filters"] * down * right - encoder["rows"] * encoder["columns"])


def _layer(cell: str, own: Arrays, hidden: int) -> dict[str, np.ndarray]:
    """One layer's tensors under torch.nn's names.

    torch.nn has two biases where the study has their sum; in its GRU only the candidate's bias is
    inside the reset.
    """
    if cell in MODULES:
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


def layer_call(model: Mapping[str, Any]) -> str:
    """The recurrent layers as Python, such as nn.LSTM(4, 32, 1, batch_first=True)."""
    more = {key: repr(value) for key, value in model["settings"].items()}
    if model["cell"] in MODULES:
        sizes = [str(model["dropout"])]
    else:
        sizes = []
        more = {"batch_first": "True"} | more
        more |= {"dropout": str(model["dropout"])} if model["dropout"] else {}
    inputs = model["inputs"] + (_added(model["encoder"]) if model["encoder"] else 0)
    sizes = [str(inputs), str(model["hidden"]), str(model["layers"]), *sizes]
    named = [f"{key}={value}" for key, value in more.items()]
    return f"{LAYERS[model['cell']]}({', '.join([*sizes, *named])})"


def _modules(model: Mapping[str, Any]) -> list[str]:
    """The modules of Net as lines of its constructor; those of a class of one's own are its own."""
    if "target" in model or model["cell"] not in LAYERS:
        return []
    hidden, kind, encoder = model["hidden"], model["cell"].split("_")[0], model["encoder"]
    lines = []
    if encoder:
        settings = ", ".join(f"{key}={value!r}" for key, value in encoder.items())
        lines += [f"self.encoder = {_encoder_class(encoder)}({settings})"]
    lines += [f"self.{kind} = {layer_call(model)}"]
    if model["readout"] == "attention":
        lines += [
            f"self.attend = nn.Linear({hidden}, {hidden})",
            f"self.score = nn.Linear({hidden}, 1, bias=False)",
        ]
    return [*lines, f"self.fc = nn.Linear({hidden}, {model['outputs']})"]


def _call_of(model: Mapping[str, Any]) -> str:
    """How a class of one's own is built, such as LSTMModel(hidden_size=32); "" for ours."""
    if "target" not in model:
        return ""
    given = ", ".join(f"{key}={value!r}" for key, value in model["arguments"].items())
    return f"{model['target'].rpartition('.')[2]}({given})"


def card(
    record: Mapping[str, Any],
    result: Mapping[str, Any],
    config: Mapping[str, Any],
    about: Mapping[str, Any],
    digest: str,
    data: Any,
    answer: Any,
) -> str:
    """The model card; `data`, `answer`: its worked example."""
    row, provenance, model = (
        Store.known(result["row"]),
        result.get("provenance") or {},
        about["model"],
    )
    facts = dict.fromkeys(
        ("steps", "loss", "metric", "source", "licence", "split"), "not known"
    ) | dict(about["task"])
    keys = (
        "task",
        *(("model",) if "model" in config else ("encoder", "cell", "block", "readout")),
        "initializer",
        "clip",
        "optimizer",
        *(
            key
            for key in ("depth", "hidden", "dropout")
            if key in config.get("model", {}).get("_uses_", (key,))
        ),
        "batch",
        "updates",
        "seed",
    )
    template = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, autoescape=False
    ).from_string((HERE / "card.md").read_text(encoding="utf-8"))
    own = [MODULES[model["cell"]]] if model.get("cell") in MODULES else []
    return template.render(
        name=record.get("name"),
        title=private(str(record.get("title") or "")),
        id=result["id"],
        row=row,
        model=model,
        facts=facts,
        input=about["input"],
        output=about["output"],
        **_in_words(about),
        data=shortened(data),
        answer=shortened(answer),
        modules=_modules(model),
        own=[*own, *([_encoder_class(model["encoder"])] if model.get("encoder") else [])],
        called=_call_of(model),
        pieces=about.get("pieces"),
        dtype=about["dtype"],
        digest=digest,
        score=score_number(row.get("score"), 4),
        score_se=score_number(row.get("score_se"), 4),
        baseline=score_number(row.get("baseline"), 4),
        settings={key: json.dumps(without_paths(config.get(key))) for key in keys},
        commit=(provenance.get("git") or {}).get("commit") or "not known",
        versions=", ".join(
            f"{name} {version}" for name, version in (provenance.get("versions") or {}).items()
        )
        or "versions not known",
    )


def _in_words(about: Mapping[str, Any]) -> dict[str, str]:
    """Lists of the signature for the card, cut if they are long."""
    spec, output = about["input"], about["output"]
    files = {
        "numbers": ".csv, .tsv or .parquet, .npy, or .npz with x and lengths",
        "image": ".npy, or .csv with one image a row",
        "text": "a text",
    }
    return {
        "listed": shortened(spec.get("columns") or [])[1:-1],
        "means": shortened([float(f"{value:.6g}") for value in spec.get("mean", [])]),
        "deviations": shortened(
            [
                float(f"{value:.6g}") if value < CONSTANT else "constant: 0"
                for value in spec.get("deviation", [])
            ]
        ),
        "classes": shortened(output.get("classes", []))[1:-1],
        "later": ", ".join(
            dict.fromkeys(
                spec.get("levels", {}).get(name, [name])[0]
                for name in spec.get("later", {}).values()
            )
        ),
        "files": files[spec["kind"]],
    }


def shortened(value: Any, most: int = 400) -> str:
    """A plain value as JSON, cut in the middle if it is long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else f"{text[: most // 2]} … {text[-most // 4 :]}"
