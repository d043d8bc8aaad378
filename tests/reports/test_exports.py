"""An export is usable as it is: raw data in, answers in the task's units out, without this tool.

Every task, cell, readout and encoder: what model.py makes of raw data, in a process that cannot
import this tool, equals the engine's own prediction, put into units here by hand.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from torch import Tensor

from reports.__main__ import main
from reports.export.export import CELLS as EXPORTED
from reports.export.export import export, without_paths
from reports.export.predict import _run, predict
from study.config.paths import conf_folder
from study.config.setup import set_up
from study.config.tasks import load_task, signature
from study.interfaces import Batch
from study.records import StudyError
from study.store import PointRecord, Store
from study.tasks.caption import LETTERS
from study.tasks.mnist import idx
from study.tasks.shared.handwriting import handwriting
from study.tasks.ucr import parsed
from tests.support.commands import call
from tests.support.data import archive, idx_files
from tests.support.helpers import point

EXAMPLES = 5


def level(folder: str, name: str, /, **changes: Any) -> dict[str, Any]:
    """A level of conf/ with changed settings."""
    text = (Path(conf_folder()) / folder / f"{name}.yaml").read_text(encoding="utf-8")
    node = {key: value for key, value in yaml.safe_load(text).items() if key != "defaults"}
    assert set(changes) <= set(node), set(changes) - set(node)
    return node | changes


def levels(folder: str) -> list[str]:
    return sorted(path.stem for path in (Path(conf_folder()) / folder).glob("*.yaml"))


# --- tasks: raw data of a few examples, and what the engine reads of them ------------------------


@dataclass(frozen=True)
class Case:
    """`raw`: what a user gives, as JSON or the path of a file; `batch`: the engine's own examples,
    x [B, T, D]; `answer` turns the engine's outputs [B, (T,) O] into answers.
    """

    node: dict[str, Any]
    raw: Any
    batch: Batch
    answer: Callable[[np.ndarray], Any]


def first(batch: Batch) -> Batch:
    lengths = None if batch.lengths is None else batch.lengths[:EXAMPLES]
    return Batch(batch.x[:EXAMPLES], batch.y[:EXAMPLES], lengths)


def named(classes: Any, lengths: Tensor | None = None) -> Callable[[np.ndarray], Any]:
    """Class names; of every step where outputs have steps."""

    def answer(outputs: np.ndarray) -> Any:
        names = np.array(classes)[outputs.argmax(-1)]
        return [
            row[: None if lengths is None else int(lengths[number])].tolist()
            if names.ndim == 2
            else row.item()
            for number, row in enumerate(names)
        ]

    return answer


def generated(name: str, classes: Any = None, **changes: Any) -> Case:
    node = level("task", name, examples=20, **changes)
    batch = first(load_task(node).split("test"))
    raw: Any = batch.x.tolist()
    if batch.lengths is not None:
        raw = [row[:length] for row, length in zip(raw, batch.lengths.tolist(), strict=True)]
    if classes is None:
        return Case(node, raw, batch, lambda outputs: outputs[:, 0].tolist())
    return Case(node, raw, batch, named(classes, batch.lengths))


def table(kind: str) -> pd.DataFrame:
    drawn = np.random.default_rng(1)
    values = drawn.normal(1000.0, 100.0, (60, 4))
    frame = pd.DataFrame(values, columns=[f"t{step}" for step in range(4)])
    frame["price"] = values.mean(1) + drawn.normal(0, 1, 60)
    frame["kind"] = ["cold" if place % 3 else "warm" for place in range(60)]
    frame["city"] = "Ulm"
    return frame.drop(columns=["kind" if kind == "regression" else "price"])


def rows(folder: Path, kind: str) -> Case:
    """Each row is a sequence; the raw rows have their columns in another order."""
    frame, target = table(kind), "price" if kind == "regression" else "kind"
    path = folder / "mine.csv"
    frame.to_csv(path, index=False)
    node = level("task", "csv", path=str(path), target=target, kind=kind, split="chronological")
    task = load_task(node)
    last = frame.tail(len(task.parts["test"].x)).head(EXAMPLES)
    raw = last[["t2", "t0", "t3", "t1", "city"]].to_dict("records")
    batch = first(task.split("test"))
    if kind == "classification":
        return Case(node, raw, batch, named(["cold", "warm"]))
    mean, deviation = task.target_mean[0], task.target_deviation[0]
    return Case(node, raw, batch, lambda outputs: (outputs[:, 0] * deviation + mean).tolist())


def series(folder: Path) -> Case:
    """Rows with the same id are a sequence, in the order of a date; raw: a shuffled file."""
    drawn, found = np.random.default_rng(0), []
    for number in range(40):
        for day in range(int(drawn.integers(4, 9))):
            values = drawn.normal((30.0, -2.0), (5.0, 0.1))
            found.append(
                {
                    "id": f"s{number}",
                    "day": f"2024-03-{day + 1:02}",
                    "a": values[0],
                    "b": values[1],
                    "label": number % 2 == 0,
                }
            )
    frame = pd.DataFrame(found)
    frame.to_csv(folder / "mine.csv", index=False)
    node = level(
        "task",
        "csv",
        path=str(folder / "mine.csv"),
        target="label",
        series="id",
        time="day",
        split="chronological",
    )
    batch = first(load_task(node).split("test"))
    test = [f"s{number}" for number in range(32, 32 + EXAMPLES)]
    own = frame[frame["id"].isin(test)]
    # shuffled within each series, whose first rows stay in the order of the series
    own = own.sort_values(["id", "b"])[["day", "b", "id", "a"]]
    own.to_csv(folder / "new.csv", index=False)
    return Case(node, str(folder / "new.csv"), batch, named(["False", "True"]))


def forecast_table(folder: Path) -> Case:
    """The last window of a longer table, in disorder."""
    drawn = np.random.default_rng(0)
    frame = pd.DataFrame({"hour": range(120), "wind": drawn.normal(5, 2, 120)})
    frame["price"] = drawn.normal(300, 40, 120)
    frame.to_csv(folder / "mine.csv", index=False)
    node = level(
        "task",
        "csv",
        path=str(folder / "mine.csv"),
        target="price",
        kind="forecast",
        time="hour",
        window=6,
        horizon=2,
    )
    task = load_task(node)
    test = task.split("test")
    whole = frame.iloc[: 96 + 6].sample(frac=1, random_state=0)[["price", "hour", "wind"]]
    whole.to_csv(folder / "new.csv", index=False)
    mean, deviation = task.target_mean[0], task.target_deviation[0]
    return Case(
        node,
        str(folder / "new.csv"),
        Batch(test.x[:1], test.y[:1]),
        lambda outputs: (outputs[:, 0] * deviation + mean).tolist(),
    )


def forecast(name: str, *, differences: bool, relative: bool, quantiles: Any = None) -> Case:
    from statsmodels.datasets import co2, sunspots

    node = level(
        "task",
        "forecast",
        series=name,
        window=7,
        horizon=3,
        season=None,
        differences=differences,
        relative=relative,
        quantiles=quantiles,
    )
    task = load_task(node)
    column = (
        sunspots.load_pandas().data["SUNACTIVITY"]
        if name == "sunspots"
        else co2.load_pandas().data["co2"].ffill()
    ).to_numpy(float)
    changes = np.diff(column) if differences else column
    start = len(changes) - round(0.15 * len(changes))
    raw = [column[start + k : start + k + 7 + differences].tolist() for k in range(EXAMPLES)]
    last = np.array([changes[start + k + 6] if relative else 0.0 for k in range(EXAMPLES)])
    mean, deviation = task.target_mean[0], task.target_deviation[0]
    return Case(
        node,
        raw,
        first(task.split("test")),
        lambda outputs: (
            (outputs * deviation + mean + last[:, None])
            .squeeze(1 if quantiles is None else ())
            .tolist()
        ),
    )


def arrays(folder: Path, kind: str, quantiles: Any = None) -> Case:
    drawn = np.random.default_rng(0)
    x, lengths = drawn.normal(7.0, 3.0, (40, 6, 2)), drawn.integers(2, 7, 40)
    y = drawn.normal(-50.0, 9.0, (40, 2)) if kind == "regression" else np.arange(40) % 3 + 10
    np.savez(folder / "mine.npz", x=x, y=y, lengths=lengths)
    node = level("task", "npz", path=str(folder / "mine.npz"), kind=kind, split="chronological")
    node |= {"quantiles": quantiles}
    task = load_task(node)
    test = slice(32, 32 + EXAMPLES)
    np.savez(folder / "new.npz", x=x[test], lengths=lengths[test])
    batch, raw = first(task.split("test")), str(folder / "new.npz")
    if kind == "classification":
        return Case(node, raw, batch, named([10, 11, 12]))
    return Case(
        node,
        raw,
        batch,
        lambda outputs: (
            (
                outputs.reshape(len(outputs), 2, -1) * task.target_deviation[:, None]
                + task.target_mean[:, None]
            )
            .reshape(len(outputs), -1)
            .tolist()
        ),
    )


def archived(folder: Path) -> Case:
    archive(folder / "Noise.zip", "Noise", 2, 2, (5, 9))
    node = level("task", "ucr", name="Noise", folder=str(folder))
    task = load_task(node)
    sequences, _ = parsed(*task._files()["TEST"])
    raw = [sequence.tolist() for sequence in sequences[:EXAMPLES]]
    return Case(node, raw, first(task.split("test")), named(["0", "1"]))


def digits(form: str, permuted: bool) -> Case:
    node = level("task", "digits", form=form, permuted=permuted)
    settings = {key: node[key] for key in ("validation", "test", "split_seed")}
    images, _, parts = handwriting(**settings)
    raw = (images[parts["test"][:EXAMPLES]] * 16).tolist()
    return Case(node, raw, first(load_task(node).split("test")), named(range(10)))


def mnist(name: str, folder: Path) -> Case:
    node = level(
        "task",
        name,
        folder=str(idx_files(folder)),
        permuted=True,
        pool=4,
        train=100,
        validation=100,
        test=None,
    )
    np.save(folder / "new.npy", idx(folder / "t10k-images-idx3-ubyte.gz")[:EXAMPLES])
    batch = first(load_task(node).split("test"))
    return Case(node, str(folder / "new.npy"), batch, named(range(10)))


def text(folder: Path) -> Case:
    """Characters out of the alphabet stand in the text."""
    drawn = np.random.default_rng(0)
    whole = "".join(drawn.choice(list("abcde \nxyzä"), 4000, p=[0.15] * 6 + [0.02] * 5))
    (folder / "mine.txt").write_text(whole, encoding="utf-8")
    settings = {"steps": 16, "window": 30, "examples": 20, "symbols": 6}
    node = level("task", "text", path=str(folder / "mine.txt"), **settings)
    task = load_task(node)
    raw = whole[3600:3630]
    assert set(raw) - set(task.alphabet)
    (folder / "new.txt").write_text(raw, encoding="utf-8")
    test = task.split("test")
    return Case(
        node,
        str(folder / "new.txt"),
        Batch(test.x[:1], test.y[:1]),
        named([*task.alphabet, "\ufffd"]),
    )


TASKS: dict[str, Callable[[Path], Case]] = {
    "adding": lambda folder: generated("adding", steps=9),
    "caption": lambda folder: generated("caption", LETTERS_IN_ORDER, digits=2),
    "copying": lambda folder: generated("copying", range(9), steps=23),
    "csv rows": lambda folder: rows(folder, "regression"),
    "csv row classes": lambda folder: rows(folder, "classification"),
    "csv series": series,
    "csv forecast": forecast_table,
    "diffusion": lambda folder: replace(
        generated("diffusion"), answer=lambda outputs: outputs.tolist()
    ),
    "digits": lambda folder: digits("pixel", permuted=True),
    "digits by row": lambda folder: digits("row", permuted=False),
    "fashion_mnist": functools.partial(mnist, "fashion_mnist"),
    "forecast": lambda folder: forecast("co2", differences=False, relative=True),
    "forecast level": lambda folder: forecast("sunspots", differences=False, relative=False),
    "forecast changes": lambda folder: forecast("sunspots", differences=True, relative=True),
    "forecast quantiles": lambda folder: forecast(
        "co2", differences=False, relative=True, quantiles=[0.1, 0.5, 0.9]
    ),
    "mnist": functools.partial(mnist, "mnist"),
    "moving_digits": lambda folder: generated("moving_digits", range(8), canvas=9, still=2),
    "noiseless_memory": lambda folder: generated("noiseless_memory", range(3), bits=2, wait=3),
    "npz": lambda folder: arrays(folder, "regression"),
    "npz classes": lambda folder: arrays(folder, "classification"),
    "npz quantiles": lambda folder: arrays(folder, "regression", [0.1, 0.9]),
    "parity": lambda folder: generated("parity", range(2), steps=8),
    "recall": lambda folder: generated("recall", range(9), pairs=3, keys=4),
    "temporal_order": lambda folder: generated(
        "temporal_order", ["AA", "AB", "BA", "BB"], steps=12
    ),
    "text": text,
    "ucr": archived,
}
LETTERS_IN_ORDER = list(LETTERS)
CELLS = [name for name in levels("cell") if level("cell", name)["_target_"] in EXPORTED]
READOUTS = {"last": False, "mean": False, "attention": False, "every": True}
ENCODER = {"rows": 3, "columns": 3, "filters": 2, "side": 2, "pool": 1}  # 9 inputs or more


def test_the_battery_holds_every_task_readout_and_encoder():
    # declared has no data, and its points are trained by their own trainers
    assert {name.split()[0] for name in TASKS} == set(levels("task")) - {"declared"}
    assert set(READOUTS) == set(levels("readout"))
    assert levels("encoder") == ["conv", "graph", "graph_unused", "none"]
    cells = {level("cell", name)["_target_"].split(".")[2] for name in levels("cell")}
    folder = Path(__file__).parents[2] / "study" / "cells"
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert cells == modules


# --- the battery ----------------------------------------------------------------------------------


def stored(folder: Path, config: dict[str, Any], *, old: bool = False) -> tuple[Any, Tensor]:
    """A study of one point with random weights; its model, and its weights [1, P]."""
    model, task = set_up(config).model, load_task(config["task"])
    drawn = torch.Generator().manual_seed(3)
    flat = 0.3 * torch.randn(1, model.width, generator=drawn)
    store, id = Store(folder), "c0ffee00c0ffee00"
    declaration = {
        "factors": {},
        "seeds": [0],
        "grid": [{"id": id, "seed": 0, "labels": {"task": "t"}}],
        "tasks": {
            "t": {"steps": task.facts.steps, "loss": task.facts.loss, "inputs": task.facts.inputs}
        },
    }
    launch = {"command": "python -m study"}
    store.declare(
        {"name": "s", "title": "A study", "fingerprint": {}, "declaration": declaration}, launch
    )
    provenance = {"data_hash": task.data_hash()}
    provenance |= {} if old else {"signature": signature(task)}
    row = {"id": id, "cell": "c", "status": "done", "score": 0.5, "params": model.count}
    weights = {name: value[0].numpy() for name, value in model.named(flat).items()}
    labels = {"task": "t", "seed": 0}
    store.write(
        PointRecord(id, row, labels, yaml.safe_dump(config), [], provenance, weights=weights)
    )
    return model, flat


ALONE_OUTPUTS = """
import importlib.util, json, sys
from pathlib import Path
sys.path.append(sys.argv[1])
for name in ("study", "reports"):
    found = importlib.util.find_spec(name)
    assert found is None or found.loader is None, name
for folder in map(Path, json.loads(sys.stdin.read())):
    spec = importlib.util.spec_from_file_location("model", folder / "model.py")
    model = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(model)
    net = model.load(folder)
    raw = json.loads((folder.parent / "raw.json").read_text(encoding="utf-8"))
    x, lengths, _, _ = model.prepare(net, Path(raw))
    found = model.outputs(net, x, lengths).tolist()
    (folder.parent / "found.json").write_text(json.dumps(found), encoding="utf-8")
"""

ALONE = """
import importlib.util, json, sys, warnings
from pathlib import Path
sys.path.append(sys.argv[1])
for name in ("study", "reports"):
    found = importlib.util.find_spec(name)
    assert found is None or found.loader is None, name  # an editable install leaves a data folder
for folder in map(Path, json.loads(sys.stdin.read())):
    spec = importlib.util.spec_from_file_location("model", folder / "model.py")
    model = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(model)
    raw = json.loads((folder.parent / "raw.json").read_text(encoding="utf-8"))
    if isinstance(raw, str):
        raw = Path(raw)
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        found = [each.tolist() for each in model.predict(model.load(folder), raw)]
    notes = [str(note.message) for note in notes]
    (folder.parent / "found.json").write_text(json.dumps([found, notes]), encoding="utf-8")
"""


def alone(code: str, given: str = "", *arguments: str) -> str:
    """Standard output of Python code in a process that cannot import this tool."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    ran = subprocess.run(
        # without the .pth files of site-packages, one of which may lead to this tool
        [sys.executable, "-I", "-S", "-c", code, str(Path(torch.__file__).parents[1]), *arguments],
        input=given,
        env={**environment, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


# with these, of one output a sequence and of one a step, every cell; with the others one:
# what reads data and states answers knows nothing of cells
EVERY_CELL = ("csv series", "copying", "moving_digits")


def variants(name: str, case: Case) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every readout and encoder that fits the task, and every cell for some tasks."""
    facts = load_task(case.node).facts
    for cell in CELLS if name in EVERY_CELL else ("gru",):
        for readout, every in READOUTS.items():
            if every != facts.every_step:
                continue
            encoders = {"none": None, "conv": level("encoder", "conv", **ENCODER)}
            if name == "diffusion":
                encoders = {"graph": level("encoder", "graph", edges=[[0, 1], [2, 1, 0.5]])}
            for encoded, encoder in encoders.items():
                if encoded == "conv" and facts.inputs < 9:
                    continue
                config = point(
                    task=case.node,
                    cell=level("cell", cell),
                    readout=level("readout", readout),
                    encoder=encoder,
                    depth=2 if cell in ("gru", "rnn_linear") else 1,
                ).config
                yield f"{cell}-{readout}-{encoded}", config


@pytest.mark.parametrize("name", TASKS)
def test_an_export_alone_predicts_what_the_engine_does(tmp_path: Path, name: str) -> None:
    case, expected = TASKS[name](tmp_path), {}
    for variant, config in variants(name, case):
        home = tmp_path / variant
        model, flat = stored(home / "s", config)
        folder = export(home / "s", "c0ffee", home / "out")
        (home / "raw.json").write_text(json.dumps(case.raw), encoding="utf-8")
        lengths = case.batch.lengths
        with torch.no_grad():
            outputs = model.forward(
                model.named(flat), case.batch.x[None], None if lengths is None else lengths[None]
            )[0]
        expected[str(folder)] = case.answer(outputs.double().numpy())
        written = "".join(
            (folder / file).read_text(encoding="utf-8") for file in ("config.json", "README.md")
        )
        assert str(tmp_path) not in written and str(Path.home()) not in written
    alone(ALONE, json.dumps(list(expected)))
    for folder, answer in expected.items():
        found, _ = json.loads((Path(folder).parent / "found.json").read_text(encoding="utf-8"))
        if isinstance(np.ravel(answer[0])[0], float):
            scale = np.abs(answer).max()
            np.testing.assert_allclose(found, answer, rtol=0, atol=1e-6 * max(1.0, scale))
        else:
            assert found == answer, folder


OTHERS = [name for name in levels("cell") if level("cell", name)["_target_"] not in EXPORTED]


def test_cells_that_torch_lacks_and_blocks_predict_alone_what_the_engine_does(
    tmp_path: Path,
) -> None:
    """Two layers and sequences of unequal length; with a block the LSTM too."""
    case, expected = TASKS["csv series"](tmp_path), {}
    block = level("block", "prenorm_residual")
    for cell, around in [*((cell, None) for cell in OTHERS), ("lstm", block), ("lru", block)]:
        config = point(
            task=case.node,
            cell=level("cell", cell),
            readout=level("readout", "mean"),
            depth=2,
            block=around,
            encoder=None,
        ).config
        home = tmp_path / f"{cell}{around is not None}"
        model, flat = stored(home / "s", config)
        folder = export(home / "s", "c0ffee", home / "out")
        (home / "raw.json").write_text(json.dumps(case.raw), encoding="utf-8")
        x, lengths = case.batch.x[None].float(), case.batch.lengths[None]
        with torch.no_grad():
            expected[str(folder)] = model.forward(model.named(flat), x, lengths)[0].numpy()
    alone(ALONE_OUTPUTS, json.dumps(list(expected)))
    assert len(expected) >= 15
    for folder, due in expected.items():
        found = json.loads((Path(folder).parent / "found.json").read_text(encoding="utf-8"))
        np.testing.assert_allclose(found, due, rtol=0, atol=1e-6, err_msg=folder)
    made = json.loads((Path(folder) / "example.json").read_text(encoding="utf-8"))
    assert [each.tolist() for each in predict(Path(folder), made["input"])] == made["answer"]
    (Path(folder) / "pieces.py").write_text("raise SystemExit('run from the folder')")
    with pytest.raises(StudyError, match="pieces.py is not what the source of"):
        predict(Path(folder), case.raw)


# --- through the command line ---------------------------------------------------------------------


def trained(folder: Path, name: str, **settings: Any) -> str:
    """The id of a small network that `python -m study` trained."""
    arguments = [f"{key}={value}" for key, value in settings.items()]
    common = ["hidden=16", "batch=32", "updates=250", "optimizer.lr=0.01", "tracker=[]", "probe=[]"]
    ran = call(folder, "study", f"name={name}", *common, *arguments)
    assert ran.returncode == 0, ran.stderr
    (id,) = Store(folder / "outputs" / name).ids()
    return id


def test_rows_of_a_table_give_prices_and_names_when_the_table_is_gone(tmp_path: Path) -> None:
    drawn = np.random.default_rng(0)
    values = drawn.normal(1000.0, 100.0, (200, 4))
    frame = pd.DataFrame(values, columns=["t0", "t1", "t2", "t3"])
    frame.assign(price=values.mean(1) + drawn.normal(0, 5, 200)).to_csv(
        tmp_path / "price.csv", index=False
    )
    warm = np.where(values.mean(1) > 1000, "warm", "cold")
    frame.assign(weather=warm).to_csv(tmp_path / "weather.csv", index=False)
    (tmp_path / "new.csv").write_text(
        "t3,t1,t0,t2\n900,900,900,900\n1000,1000,1000,1000\n1100,1100,1100,1100\n"
    )
    found = {}
    for name, kind in (("price", "regression"), ("weather", "classification")):
        path = tmp_path / f"{name}.csv"
        id = trained(
            tmp_path,
            name,
            **{"task": "csv", "task.path": path, "task.target": name},
            **{"task.kind": kind},
        )
        path.unlink()
        out = str(tmp_path / "out" / name)
        ran = call(tmp_path, "reports", "export", f"outputs/{name}", id, "--to", out)
        assert ran.returncode == 0, ran.stderr
        ran = call(tmp_path, "reports", "predict", out, "new.csv")
        assert (ran.returncode, ran.stderr) == (0, "")
        found[name] = [line.split(",") for line in ran.stdout.splitlines()]
        written = b"".join(path.read_bytes() for path in Path(out).iterdir())
        assert str(tmp_path).encode() not in written
        assert alone(ALONE_CSV, "", out, str(tmp_path / "new.csv")) == ran.stdout
    assert found["price"][0] == ["row", "price"]
    assert [row[0] for row in found["price"][1:]] == ["2", "3", "4"]
    prices = [float(row[1]) for row in found["price"][1:]]
    assert prices == pytest.approx([900, 1000, 1100], abs=15)
    assert found["weather"][0] == ["row", "weather", "probability"]
    assert (found["weather"][1][1], found["weather"][3][1]) == ("cold", "warm")


ALONE_CSV = """
import runpy, sys
sys.path.append(sys.argv[1])
sys.argv = [sys.argv[2] + "/model.py", sys.argv[3]]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def exported(folder: Path, case: Case, **changes: Any) -> Path:
    every = load_task(case.node).facts.every_step
    config = point(
        task=case.node,
        cell=level("cell", "lstm"),
        readout=level("readout", "every" if every else "last"),
    ).config
    stored(folder / "s", config | changes)
    return export(folder / "s", "c0ffee", None)


def test_every_form_of_a_table_gives_the_same_answers(tmp_path: Path) -> None:
    case = rows(tmp_path, "regression")
    folder = exported(tmp_path, case)
    names = ["t0", "t1", "t2", "t3"]
    frame = pd.DataFrame(case.raw)[["t3", "t2", "t1", "t0"]]
    expected = predict(folder, frame)
    assert expected.shape == (EXAMPLES,)
    decimal = frame.to_csv(index=False, sep=";", decimal=",")
    (tmp_path / "decimal.csv").write_text("\ufeff" + decimal, encoding="utf-8")
    frame.to_csv(tmp_path / "tabs.tsv", index=False, sep="\t")
    for data in (
        frame.to_dict("records"),
        frame.to_dict("list"),
        frame[names].to_numpy(),
        frame[names].to_numpy()[..., None],
        tmp_path / "decimal.csv",
        tmp_path / "tabs.tsv",
    ):
        np.testing.assert_allclose(predict(folder, data), expected, rtol=1e-12)
    one = frame.to_dict("records")[0]
    np.testing.assert_allclose(predict(folder, one), expected[:1], rtol=1e-5)


def test_padding_is_not_read(tmp_path: Path) -> None:
    case = arrays(tmp_path, "regression")
    folder = exported(tmp_path, case)
    padded = dict(np.load(case.raw))
    several = [row[:length] for row, length in zip(padded["x"], padded["lengths"], strict=True)]
    found = predict(folder, padded["x"], padded["lengths"])
    np.testing.assert_allclose(predict(folder, several), found)
    padded["x"][:, -1] = np.where(padded["lengths"][:, None] < 6, 1e6, padded["x"][:, -1])
    np.testing.assert_allclose(predict(folder, padded["x"], padded["lengths"]), found)


def test_gaps_are_filled_as_the_task_did(tmp_path: Path) -> None:
    node = forecast_table(tmp_path).node | {
        "missing": "forward",
        "time": None,
        "features": ["wind"],
    }
    case = Case(node, None, load_task(node).split("test"), lambda outputs: outputs)
    folder = exported(tmp_path, case)
    gaps = {"wind": [1.0, 2.0, None, 4.0, 5.0, 6.0], "price": [300.0, "", 310, 320, 330, 340]}
    full = {"wind": [1.0, 2.0, 2.0, 4.0, 5.0, 6.0], "price": [300.0, 300, 310, 320, 330, 340]}
    assert predict(folder, gaps) == predict(folder, full)


def test_categories_times_between_rows_and_short_rows_are_read(tmp_path: Path) -> None:
    """Keys of a signature that no committed task uses in this form."""
    folder = exported(tmp_path, generated("adding", steps=9))
    about = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    long = {"steps": 9, "varying": True, "layout": "series", "series": "id", "time": "day"}
    long |= {"kind": "numbers", "columns": ["sky=sun", "elapsed"], "elapsed": "elapsed"}
    long |= {"levels": {"sky=sun": ["sky", "sun"]}}
    days = {"id": ["a", "b", "a"], "day": ["2024-01-02", "2024-01", "2024-01-01"]}
    with pytest.warns(UserWarning, match="levels that the network does not know: 'fog' of sky"):
        sequences = read_by(folder, about, long, days | {"sky": ["sun", "fog", " sun"]})
    assert sequences == [[[1, 0], [1, 24 * 3600]], [[0, 0]]]
    wide = {"kind": "numbers", "steps": 3, "varying": True, "layout": "row"}
    wide |= {"columns": ["t0", "t1", "t2"], "missing": "forward", "marks": {"decimal": ","}}
    cells = {"t0": ["1,5", 4], "t1": [None, "n"], "t2": ["", 6]}
    with pytest.raises(StudyError, match="column t1, row 1: 'n' is no number"):
        read_by(folder, about, wide, cells)
    cells["t1"] = [None, ""]
    assert read_by(folder, about, wide, cells, inputs=1) == [[[1.5]], [[4], [4], [6]]]


def read_by(folder: Path, about: Any, spec: Any, data: Any, inputs: int = 2) -> Any:
    """What model.py reads by another signature, without padding."""
    (folder / "config.json").write_text(json.dumps(about | {"input": spec}))

    def read(module: Any, net: Any) -> Any:
        net.inputs = inputs
        x, lengths, _, _ = module.prepare(net, data)
        return [row[:length].tolist() for row, length in zip(x, lengths, strict=True)]

    return _run(folder, read)


NEW = {
    "missing column": (
        "csv rows",
        "t0,t1,t3\n1,2,3\n",
        "the table has no column t2; the network reads t0, t1, t2, t3",
    ),
    "no header": ("csv rows", "1,2,3,4\n1,2,3,5\n", "the table has no column t0, t1, t2, t3"),
    "a word": ("csv rows", "t0,t1,t2,t3\n1,2,3,4\n1,x,3,4\n", "column t1, row 3: 'x' is no number"),
    "a gap": ("csv rows", "t0,t1,t2,t3\n1,2,,4\n", "row 2 holds values that are missing"),
    "ragged": ("csv rows", "t0,t1,t2,t3\n1,2,3\n", "row 2 has 3 cells, the first 4"),
    "twice": ("csv rows", "t0,t1,t2,t3,t0\n1,2,3,4,5\n", "column t0 stands in it twice"),
    "no rows": ("csv rows", "t0,t1,t2,t3\n", "hold no sequence"),
    "no series": ("csv series", "a,b,day\n1,2,3\n", "the table has no column id"),
    "a wrong date": (
        "csv series",
        "a,b,id,day\n1,2,x,2024-03-01\n1,2,x,soon\n",
        "column day, row 3: 'soon' is neither a number nor a date",
    ),
    "a short window": (
        "csv forecast",
        "hour,wind,price\n1,2,3\n2,3,4\n",
        "the table has 2 rows, fewer than the 6 that a forecast reads",
    ),
}


@pytest.mark.parametrize("name", NEW)
def test_a_table_that_does_not_fit_is_told_in_one_sentence(tmp_path, capsys, name: str) -> None:
    task, content, told = NEW[name]
    folder = exported(tmp_path, TASKS[task](tmp_path))
    (tmp_path / "wrong.csv").write_text(content)
    assert main(["predict", str(folder), str(tmp_path / "wrong.csv")]) == 2
    said = capsys.readouterr()
    assert told in said.err and said.err.count("\n") == 1 and not said.out, said.err


@pytest.mark.parametrize(
    ("task", "data", "told"),
    [
        ("csv rows", np.ones((2, 5)), "sequence 0 has 5 steps, and the task's sequences have 4"),
        ("forecast", np.ones((2, 6)), "sequence 0 has 6 steps, and the task's sequences have 7"),
        ("forecast changes", np.ones((2, 7)), "the task's sequences have 8"),
        ("npz", np.ones((2, 6, 3)), r"must be \[N, T, 2\], got \[2, 6, 3\]"),
        ("npz", [["a", "b"]], "no number"),
        ("npz", "x.xlsx", "must end in .npy, .npz, .csv, .tsv, .parquet or .ts"),
        ("digits", np.full((1, 8, 8), 0.5), "from 0 to 16, and the largest is 0.5"),
        ("digits", np.full((1, 8, 8), 255), "pixels must be from 0 to 16"),
        ("digits", np.ones((1, 28, 28)), r"images \[N, 8, 8\] or \[N, 64\], got \[1, 28, 28\]"),
        ("text", "", "at least one character"),
        ("csv rows", [{"t0": 1}, {"t1": 1}], "row 1 has columns t1, the first one t0"),
    ],
)
def test_data_that_do_not_fit_are_told(tmp_path: Path, task: str, data: Any, told: str) -> None:
    with pytest.raises(StudyError, match=told):
        predict(exported(tmp_path, TASKS[task](tmp_path)), data)


@pytest.mark.parametrize(
    ("task", "data", "told"),
    [
        ("csv rows", {"t0": 1, "t1": 2, "t2": 3, "t3": 4, "age": 5}, "does not read: age"),
        ("text", "abc\u00df", r"characters out of the alphabet, .*: 'ß'"),
        ("adding", np.ones((1, 12, 2)), "sequences of 12 steps, .* trained on 9"),
        ("npz", np.ones((1, 9, 2)), "sequences of 9 steps, .* trained on at most 6"),
    ],
)
def test_what_is_unusual_is_told(tmp_path: Path, task: str, data: Any, told: str) -> None:
    folder = exported(tmp_path, TASKS[task](tmp_path))
    with pytest.warns(UserWarning, match=told):
        predict(folder, data)


@pytest.mark.parametrize("task", ["csv rows", "csv forecast", "text", "digits", "npz", "parity"])
def test_the_worked_example_and_usual_data_give_no_warning(
    tmp_path: Path, recwarn: pytest.WarningsRecorder, task: str
) -> None:
    folder = exported(tmp_path, TASKS[task](tmp_path))
    made = json.loads((folder / "example.json").read_text(encoding="utf-8"))
    assert [each.tolist() for each in predict(folder, made["input"])] == made["answer"]
    assert not [note for note in recwarn if note.category is UserWarning]


def test_predictions_of_texts_on_the_command_line(tmp_path: Path, capsys: Any) -> None:
    folder = exported(tmp_path, text(tmp_path))
    (tmp_path / "new.txt").write_text("abß")
    assert main(["predict", str(folder), str(tmp_path / "new.txt")]) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0] == "text,step,next,probability" and len(lines) == 4
    assert said.err == "note: characters out of the alphabet, which share one symbol: 'ß'\n"


# --- points stored before they kept what an export needs -----------------------------------------


def test_an_older_point_reads_its_task_anew_or_says_why_not(tmp_path: Path) -> None:
    case = rows(tmp_path, "regression")
    config = point(
        task=case.node, cell=level("cell", "lstm"), readout=level("readout", "last")
    ).config
    stored(tmp_path / "s", config, old=True)
    folder = export(tmp_path / "s", "c0ffee", None)
    about = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert about["input"] == signature(load_task(case.node))["input"]
    path = Path(case.node["path"])
    frame = pd.read_csv(path)
    frame.assign(t0=frame["t0"] + 1).to_csv(path, index=False)
    with pytest.raises(StudyError, match="read anew, and its data have changed"):
        export(tmp_path / "s", "c0ffee", None)
    path.unlink()
    with pytest.raises(StudyError, match="read anew, and that fails: task.path: there is no file"):
        export(tmp_path / "s", "c0ffee", None)


def test_an_export_of_an_earlier_version_is_told(tmp_path: Path) -> None:
    folder = exported(tmp_path, generated("adding", steps=9))
    about = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({"model": about["model"]}))
    with pytest.raises(StudyError, match="export the point again"):
        predict(folder, np.ones((1, 9, 2)))


def test_paths_become_names() -> None:
    given = {"path": "/home/ana/x.csv", "folder": "~/data", "other": ["C:\\d\\y.csv", "../z.npz"]}
    kept = {"url": "https://example.org/a/b", "part": "data/x.csv", "n": 3}
    assert without_paths(given) == {"path": "x.csv", "folder": "data", "other": ["y.csv", "z.npz"]}
    assert without_paths(kept) == kept
