"""What is exported computes what was trained: in plain torch.nn modules, in the module beside it,
from the command line. Else it is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import nn

from reports.__main__ import main
from reports.export.export import CELLS as CELLS_OF_TORCH
from reports.export.export import export, find, model_module
from reports.export.snippet import snippet
from reports.export.source import standalone
from study.config.build import build
from study.config.paths import conf_folder
from study.config.setup import set_up
from study.config.tasks import load_task, signature
from study.records import StudyError
from study.store import PointRecord, Store, seal
from tests.support.helpers import point

CELLS = {
    "rnn": {"_target_": "study.cells.rnn.RNN", "nonlinearity": "tanh"},
    "rnn_relu": {"_target_": "study.cells.rnn.RNN", "nonlinearity": "relu"},
    "lstm": {"_target_": "study.cells.lstm.LSTM"},
    "gru": {"_target_": "study.cells.gru.GRU"},
    "gru_reset_after": {"_target_": "study.cells.gru_reset_after.GRUResetAfter"},
}
OTHERS = {
    "antisymmetric": {
        "_target_": "study.cells.antisymmetric.Antisymmetric",
        "step_length": 0.1,
        "damping": 0.01,
    },
    "rnn_linear": {"_target_": "study.cells.linear.Linear"},
}
TASKS = {
    "last": {
        "_target_": "study.tasks.adding.Adding",
        "steps": 9,
        "lag": None,
        "examples": 20,
        "solved": 0.01,
    },
    "every": {
        "_target_": "study.tasks.copying.Copying",
        "steps": 23,
        "lag": None,
        "examples": 20,
        "solved": 0.99,
    },
}
READOUTS = {
    "last": {"_target_": "study.readouts.last.Last"},
    "every": {"_target_": "study.readouts.every.Every"},
}


def stored(
    folder: Path,
    cell: str,
    *,
    readout: str = "last",
    depth: int = 1,
    dtype: str = "float32",
    weights: bool = True,
    dropout: float = 0.0,
    **changes,
):
    """A study of one point with random weights, as training leaves it; its model, flat weights and
    configuration.
    """
    of = point(
        0,
        "c0ffee00c0ffee00",
        cell=(CELLS | OTHERS).get(cell),
        readout=READOUTS[readout],
        task=TASKS[readout],
        depth=depth,
        dtype=dtype,
        dropout=dropout,
    )
    config = {**of.config, **changes}
    model = set_up(
        {**config, "cell": (CELLS | OTHERS).get(cell, config["cell"]), "readout": READOUTS[readout]}
    ).model
    flat = (
        torch.randn(
            1, model.width, generator=torch.Generator().manual_seed(3), dtype=getattr(torch, dtype)
        )
        * 0.4
    )
    task = load_task(config["task"])
    store = Store(folder)
    facts = {
        "inputs": task.facts.inputs,
        "outputs": task.facts.outputs,
        "steps": task.facts.steps,
        "loss": task.facts.loss,
        "metric": task.facts.metric,
    }
    facts |= {"source": "made", "licence": "none", "split": "none"}
    declared = {
        "factors": {},
        "seeds": [0],
        "grid": [{"id": of.id, "seed": 0, "labels": {"task": "t"}}],
        "tasks": {"t": facts},
    }
    store.declare(
        {"name": folder.name, "title": "A study", "fingerprint": {}, "declaration": declared},
        {"command": "python -m study"},
    )
    tensors = {name: value[0].numpy() for name, value in model.named(flat).items()}
    row = {
        "id": of.id,
        "cell": cell,
        "status": "done",
        "score": 0.5,
        "score_se": 0.01,
        "params": model.count,
        "outcome": "learning",
        "baseline": 0.1,
    }
    store.write(
        PointRecord(
            of.id,
            row,
            {"task": "t", "seed": 0},
            yaml.safe_dump(config),
            [],
            {"git": {"commit": "abc"}, "signature": signature(task)},
            weights=tensors if weights else None,
        )
    )
    return model, flat, config


def theirs(folder: Path, x: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
    """What the exported network makes of scaled inputs."""
    module = model_module()
    return module.outputs(module.load(folder), x, lengths)


def ours(model, flat, x: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        return model.forward(model.named(flat), x[None], None)[0].numpy()


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("readout", ["last", "every"])
@pytest.mark.parametrize("cell", CELLS)
def test_the_exported_network_is_the_trained_one(
    tmp_path: Path, cell: str, readout: str, depth: int
) -> None:
    model, flat, _ = stored(tmp_path / "s", cell, readout=readout, depth=depth)
    folder = export(tmp_path / "s", "c0ffee", None)
    x = torch.rand(5, 9, model.inputs, generator=torch.Generator().manual_seed(1))
    expected = ours(model, flat, x)
    limit = 1e-6 * max(
        1.0, float(np.abs(expected).max())
    )  # ReLU outputs have no bound, and fp32 has seven digits
    assert np.abs(theirs(folder, x.numpy()) - expected).max() < limit
    kind = cell.split("_")[0]
    if cell == "gru":
        state = load_file(folder / "model.safetensors")
        assert set(state) == {"fc.weight", "fc.bias"} | {
            f"gru.{name}_l{layer}"
            for name in ("weight_ih", "weight_hh", "bias")
            for layer in range(depth)
        }
        return

    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layer = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[kind]
            more = {"nonlinearity": "relu"} if cell == "rnn_relu" else {}
            setattr(self, kind, layer(model.inputs, model.hidden, depth, batch_first=True, **more))
            self.fc = nn.Linear(model.hidden, model.outputs)

    net = Plain()
    net.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
    with torch.no_grad():
        h, _ = getattr(net, kind)(x)
        found = net.fc(h if readout == "every" else h[:, -1]).numpy()
    assert np.abs(found - expected).max() < limit


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_double_precision_and_sequences_of_unequal_length(tmp_path: Path, cell: str) -> None:
    model, flat, _ = stored(tmp_path / "s", cell, dtype="float64")
    folder = export(tmp_path / "s", "c0ffee", None)
    x = torch.rand(3, 9, model.inputs, dtype=torch.float64)
    lengths = np.array([4, 9, 1])
    found = theirs(folder, x.numpy(), lengths)
    assert found.dtype == np.float64
    for row, length in enumerate(lengths):
        assert np.abs(found[row] - ours(model, flat, x[row : row + 1, :length])[0]).max() < 1e-12, (
            "read at the last valid step, not at the padded end"
        )


def test_dropout_between_layers_is_off_when_predicting(tmp_path: Path) -> None:
    model, flat, _ = stored(tmp_path / "s", "gru", depth=2, dropout=0.5)
    folder = export(tmp_path / "s", "c0ffee", None)
    x = torch.rand(4, 9, model.inputs)
    assert np.abs(theirs(folder, x.numpy()) - ours(model, flat, x)).max() < 1e-6
    assert json.loads((folder / "config.json").read_text())["model"]["dropout"] == 0.5


def test_the_folder_works_alone_in_a_fresh_process_and_its_card_runs(tmp_path: Path) -> None:
    """Nothing of the tool is importable there: model.py and the snippet of the
    card do, as pasted.
    """
    model, flat, _ = stored(tmp_path / "s", "gru", readout="every")
    folder = export(tmp_path / "s", "c0ffee", tmp_path / "out")
    x = torch.rand(2, 9, model.inputs)
    np.save(tmp_path / "out" / "x.npy", x.numpy())
    card = (folder / "README.md").read_text(encoding="utf-8")
    first, second = re.findall(r"```python\n(.*?)```", card, flags=re.S)
    code = (
        first
        + "assert [each.tolist() for each in answers] == example['answer']\n"
        + "import numpy as np\nfrom model import outputs\n"
        + "np.save('y.npy', outputs(net, np.load('x.npy')))\n"
        + second
        + "assert isinstance(net.gru, GRUResetBefore)\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**environment, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    assert np.abs(np.load(folder / "y.npy") - ours(model, flat, x)).max() < 1e-6
    assert hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest() in card
    assert "c0ffee00c0ffee00" in card and "0.5000" in card and str(tmp_path) not in card


def test_predictions_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, flat, _ = stored(tmp_path / "s", "lstm")
    assert (
        main(["export", str(tmp_path / "s"), "c0ffee00c0ffee00", "--to", str(tmp_path / "net")])
        == 0
    )
    assert capsys.readouterr().out.strip() == str(tmp_path / "net")
    x = np.random.default_rng(0).random((3, 5, 2)).astype(np.float32)
    expected = ours(model, flat, torch.from_numpy(x))
    np.save(tmp_path / "x.npy", x)
    assert main(["predict", str(tmp_path / "net"), str(tmp_path / "x.npy")]) == 0
    printed = [line.split(",") for line in capsys.readouterr().out.splitlines()]
    assert printed[0] == ["sequence", "output"] and [
        float(row[1]) for row in printed[1:]
    ] == pytest.approx(expected[:, 0].tolist(), abs=1e-6)
    (tmp_path / "rows.csv").write_text("\n".join(",".join(map(str, row.ravel())) for row in x))
    assert (
        main(
            [
                "predict",
                str(tmp_path / "net"),
                str(tmp_path / "rows.csv"),
                "--out",
                str(tmp_path / "y.npy"),
            ]
        )
        == 0
    )
    assert np.load(tmp_path / "y.npy") == pytest.approx(expected[:, 0], abs=1e-6)
    long = "sequence,a,b\n" + "".join(
        f"{name},{a},{b}\n"
        for name, of, length in zip("pqr", x, (5, 2, 4), strict=True)
        for a, b in of[:length]
    )
    (tmp_path / "long.csv").write_text(long)
    assert (
        main(
            [
                "predict",
                str(tmp_path / "net"),
                str(tmp_path / "long.csv"),
                "--out",
                str(tmp_path / "y.csv"),
            ]
        )
        == 0
    )
    short = ours(model, flat, torch.from_numpy(x[1:2, :2]))
    assert float((tmp_path / "y.csv").read_text().splitlines()[2].split(",")[1]) == pytest.approx(
        float(short[0, 0]), abs=1e-6
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"cell": {"_target_": "mine.Leaky", "a": 0.1}},
            "cell mine.Leaky: the module mine cannot be found; put its folder on Python's path",
        ),
        (
            {"readout": {"_target_": "mine.Attention"}},
            "readout mine.Attention: neither torch.nn nor model.py of exports has it",
        ),
        (
            {"encoder": {"_target_": "mine.Filters"}},
            "encoder mine.Filters: neither torch.nn nor model.py of exports has it",
        ),
        (
            {"block": {"_target_": "study.blocks.prenorm_residual.PrenormResidual", "small": 1e-5}},
            "makes other tensors than those that are stored (layers.blocks.0.",
        ),
        ({"readout": {"_target_": "study.readouts.attention.Attention"}}, "stored tensors are"),
        ({"cell": CELLS["gru"]}, "weight_h has shape"),
        ({"cell": CELLS["gru_reset_after"]}, "stored tensors are"),
        ({"depth": 2}, "stored tensors are"),
    ],
)
def test_what_torch_would_compute_otherwise_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change, told: str
) -> None:
    stored(tmp_path / "s", "lstm")
    path = tmp_path / "s" / "points" / "c0ffee00c0ffee00" / "config.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **change}))
    assert main(["export", str(tmp_path / "s"), "c0ffee"]) == 2
    assert "config.yaml: damaged" in capsys.readouterr().err, "what nobody has signed is not read"
    seal(path.parent, Store(tmp_path / "s").result(path.parent.name))
    assert main(["export", str(tmp_path / "s"), "c0ffee"]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "s" / "exports").exists()


def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored(tmp_path / "s", "lstm")
    folder = export(tmp_path / "s", "c0ffee", None)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("x")
    np.save(tmp_path / "bad.npy", np.full((2, 3, 2), np.nan))
    np.save(tmp_path / "wide.npy", np.zeros((2, 3, 5)))
    (tmp_path / "words.csv").write_text("a,b\nc,d\n")
    for arguments, told in [
        (["export", str(tmp_path / "s"), "beef"], "'beef': not the id of one point"),
        (["export", str(tmp_path / "s"), ""], "not the id of one point"),
        (
            ["export", str(tmp_path / "s"), "c0ffee", "--to", str(tmp_path / "full")],
            "holds other files (thesis.txt)",
        ),
        (["predict", str(tmp_path), str(tmp_path / "bad.npy")], "no exported network"),
        (["predict", str(folder), str(tmp_path / "bad.npy")], "not finite"),
        (["predict", str(folder), str(tmp_path / "wide.npy")], "data: must be [N, T, 2]"),
        (["predict", str(folder), str(tmp_path / "words.csv")], "no number"),
        (["predict", str(folder), str(tmp_path / "none.csv")], "cannot be read"),
        (["predict", str(folder), str(tmp_path / "x.txt")], "must end in .npy, .npz, .csv, .tsv,"),
    ]:
        assert main(arguments) == 2, arguments
        said = capsys.readouterr().err
        assert told in said and said.count("\n") == 1, said
    with pytest.raises(StudyError, match="2 points begin with it"):
        store = Store(tmp_path / "s")
        (store.points_folder / "c0ffee11").mkdir()
        (store.points_folder / "c0ffee11" / "result.json").write_text("{}")
        find(store, "c0ffee")


def test_a_point_without_weights_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored(tmp_path / "s", "lstm", weights=False)
    assert main(["export", str(tmp_path / "s"), "c0ffee"]) == 2
    assert (
        "has no weights to export (done; weights were not kept (store.weights=false))"
        in capsys.readouterr().err
    )


RECIPES = {
    "rnn identity": (
        "rnn_relu",
        {
            "initializer": {
                "_target_": "study.initializers.identity.Identity",
                "alpha": 1.0,
                "input_std": 0.001,
            }
        },
        {},
    ),
    "lstm pytorch value sgd": (
        "lstm",
        {
            "initializer": {"_target_": "study.initializers.pytorch.PyTorch"},
            "clip": {"_target_": "study.clipping.value.Value", "threshold": 0.1},
            "optimizer": {
                "_target_": "study.optimizers.sgd.SGD",
                "lr": 0.05,
                "momentum": 0.9,
                "weight_decay": 0.0,
            },
        },
        {"depth": 2, "dropout": 0.2},
    ),
    "gru normal every rmsprop": (
        "gru",
        {
            "initializer": {"_target_": "study.initializers.normal.Normal", "std": "auto"},
            "clip": {"_target_": "study.clipping.none.NoClip"},
            "optimizer": {
                "_target_": "study.optimizers.rmsprop.RMSprop",
                "lr": 0.002,
                "alpha": 0.99,
                "eps": 1e-8,
                "momentum": 0.0,
                "weight_decay": 0.0,
            },
        },
        {"readout": "every"},
    ),
    "gru_reset_after double": ("gru_reset_after", {}, {"dtype": "float64"}),
    "torch warmup accumulated averaged": (
        "lstm",
        {
            "optimizer": {
                "_target_": "study.optimizers.torch.Torch",
                "name": "NAdam",
                "lr": 0.01,
                "settings": {"betas": [0.9, 0.95], "weight_decay": 0.1, "eps": None},
                "decay_biases": False,
            },
            "schedule": {
                "_target_": "study.schedules.warmup_cosine.WarmupCosine",
                "warmup": 0.4,
                "start": 0.0,
                "end": 0.1,
            },
            "average": {"decay": 0.9, "start": 0.2},
            "accumulate": 2,
        },
        {},
    ),
    "one cycle": (
        "gru",
        {
            "schedule": {
                "_target_": "study.schedules.one_cycle.OneCycle",
                "warmup": 3,
                "start": 0.04,
                "end": 4e-6,
            }
        },
        {},
    ),
    "antisymmetric": ("antisymmetric", {}, {}),
    "linear of two layers": ("rnn_linear", {}, {"depth": 2}),
}


@pytest.mark.parametrize("name", RECIPES)
def test_the_snippet_runs_as_pasted(tmp_path: Path, name: str) -> None:
    cell, changes, settings = RECIPES[name]
    _, _, config = stored(tmp_path / "s", cell, **settings, **changes)
    facts = Store(tmp_path / "s").study()["declaration"]["tasks"]["t"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    ran = subprocess.run(
        [sys.executable, "-c", snippet(config, facts)],
        cwd=tmp_path,
        env={**environment, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    assert re.fullmatch(r"loss \d+\.\d{3} after 6 updates\n", ran.stdout)


BLOCK = {"_target_": "study.blocks.prenorm_residual.PrenormResidual", "small": 1e-5}
OWN_CELL = """
import torch

from study.interfaces import Cell, Parameter, PerMember


class Fading(Cell):
    def __init__(self, *, a: PerMember) -> None:
        self.a = a

    def shapes(self, inputs, hidden):
        return (
            Parameter("weight_x", "input", ("f", "n"), (hidden, inputs)),
            Parameter("weight_h", "recurrent", ("f", "n"), (hidden, hidden)),
            Parameter("bias", "bias", ("f", "n"), (hidden,)),
        )

    def step(self, params, x, state):
        (h,) = state
        pre = torch.baddbmm(params["bias"][:, None], x, params["weight_x"].mT)
        f, n = squashed(pre + torch.bmm(h, params["weight_h"].mT)).chunk(2, -1)
        return (torch.as_tensor(self.a).view(-1, 1, 1) * (h + (f + 1) / 2 * n),)


# between -1 and 1
def squashed(z):
    return z.tanh()


class Unused(Missing if "Missing" in globals() else object):
    pass
"""


def test_layers_that_torch_lacks_are_written_from_their_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours, in a block, and one of somebody's own: the snippet runs, starts as the study does, and
    an export of the own one gives the engine's numbers.
    """
    (tmp_path / "fading_cells.py").write_text(OWN_CELL)
    monkeypatch.syspath_prepend(str(tmp_path))
    levels = Path(conf_folder()) / "cell"
    own = {"_target_": "fading_cells.Fading", "a": 0.7}
    cells = {path.stem: yaml.safe_load(path.read_text("utf-8")) for path in levels.glob("*.yaml")}
    cells = {name: node for name, node in cells.items() if node["_target_"] not in CELLS_OF_TORCH}
    config = stored(tmp_path / "s", "lstm", depth=2)[2] | {"updates": 2}
    facts = Store(tmp_path / "s").study()["declaration"]["tasks"]["t"]
    for number, node in enumerate([*cells.values(), own]):
        recipe = {**config, "cell": node, **({"block": BLOCK} if number < 2 else {})}
        scope: dict = {}
        exec(snippet(recipe, facts), scope)
        assert scope["update"] == 1 and scope["loss"].isfinite(), node
    assert number >= 13
    layer = scope["Net"]().layers.cells[1]
    for block in layer["weight_h"].detach().split(8):
        assert torch.allclose(block @ block.T, torch.eye(8), atol=1e-5)
    assert layer["bias"].tolist() == [1.0] * 8 + [0.0] * 8, "the gate f is open at first"

    monkeypatch.setitem(OTHERS, "fading", own)
    model, flat, _ = stored(tmp_path / "own", "fading", depth=2)
    folder = export(tmp_path / "own", "c0ffee", None)
    text = (folder / "pieces.py").read_text()
    assert "# between -1 and 1\ndef squashed" in text and "Unused" not in text
    x = torch.rand(3, 9, model.inputs)
    assert np.abs(theirs(folder, x.numpy()) - ours(model, flat, x)).max() < 1e-6


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import study.numerics.linear as maths", "is imported as a module; import the names"),
        ("from study.numerics.linear import linear as maths", "imported under another name, maths"),
        ("def maths(z):\n    from math import exp", "line 3: an import inside of what is needed"),
        ("class Own(", "own_cells.py is not Python"),
    ],
)
def test_a_source_that_one_file_cannot_say_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, told: str
) -> None:
    text = f"{source}\nclass Own:\n    def step(self):\n        return maths\n"
    name = f"own_cells_{abs(hash(source))}"
    (tmp_path / f"{name}.py").write_text(f"\n{text}")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(StudyError, match=re.escape(told.replace("own_cells", name))):
        standalone({f"{name}.Own": frozenset({"step"})})


def test_the_snippet_has_the_optimizer_the_schedule_and_the_averages(tmp_path: Path) -> None:
    """The rates that it uses are those of the study."""
    cell, changes, settings = RECIPES["torch warmup accumulated averaged"]
    _, _, config = stored(tmp_path / "s", cell, **settings, **changes)
    facts = Store(tmp_path / "s").study()["declaration"]["tasks"]["t"]
    text = snippet(config, facts)
    assert "torch.optim.NAdam(groups, lr=0.01, betas=(0.9, 0.95), weight_decay=0.1)" in text
    marked = text.replace("optimizer.zero_grad()", 'rates.append(optimizer.param_groups[0]["lr"])')
    scope = {"rates": []}
    exec(marked, scope)
    schedule = build(config["schedule"], "schedule")
    rates = [0.01 * float(schedule(update, 6, None)) for update in range(6)]
    np.testing.assert_allclose(scope["rates"], rates, rtol=1e-12)
    assert not [group for group in scope["optimizer"].param_groups if "weight_decay" not in group]
    assert scope["averaged"].n_averaged == 6


def test_the_snippet_starts_as_the_study_does(tmp_path: Path) -> None:
    """Gate blocks orthogonal one by one, forget bias 1 in one of torch's two biases, the other
    frozen at 0, input blocks Xavier by their own fans.
    """
    _, _, config = stored(tmp_path / "s", "lstm", depth=2)
    facts = Store(tmp_path / "s").study()["declaration"]["tasks"]["t"]
    scope: dict = {}
    exec(snippet({**config, "updates": 1}, facts), scope)
    net = scope["Net"]()
    for layer in range(2):
        for block in getattr(net.lstm, f"weight_hh_l{layer}").detach().split(8):
            assert torch.allclose(block @ block.T, torch.eye(8), atol=1e-5)
        b = getattr(net.lstm, f"bias_ih_l{layer}").detach()
        assert (b[8:16] == 1).all() and b.sum() == 8
        assert (
            not getattr(net.lstm, f"bias_hh_l{layer}").requires_grad
            and (getattr(net.lstm, f"bias_hh_l{layer}") == 0).all()
        )
    bound = (6 / (8 + 2)) ** 0.5
    assert (
        net.lstm.weight_ih_l0.abs().max() <= bound
        and net.lstm.weight_ih_l0.abs().max() > 0.8 * bound
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {
                "initializer": {
                    "_target_": "study.initializers.sparse.Sparse",
                    "links": 3,
                    "radius": 0.9,
                }
            },
            "no counterpart in torch.nn.init",
        ),
        ({"clip": {"_target_": "study.clipping.autoclip.AutoClip"}}, "is not torch.nn.utils'"),
        ({"optimizer": {"_target_": "mine.Lion", "lr": 1}}, "is not torch.optim's"),
        ({"cell": {"_target_": "mine.Leaky"}}, "the module mine cannot be found"),
        (
            {"readout": {"_target_": "study.readouts.mean.Mean"}},
            "study.readouts.mean.Mean is none of the linear readouts",
        ),
        (
            {"weights": {"input": {"_target_": "mine.W"}, "readout": {}, "forget_bias": 1.0}},
            "weights.input follows mine.W",
        ),
        (
            {"schedule": {"_target_": "study.schedules.plateau.Plateau", "gamma": 0.5}},
            "is a schedule that the snippet cannot write: it follows validations",
        ),
        (
            {"penalty": {"_target_": "mine.Small"}},
            "mine.Small is a penalty, which the snippet cannot write",
        ),
    ],
)
def test_a_recipe_that_torch_cannot_say_has_no_snippet(tmp_path: Path, change, told: str) -> None:
    _, _, config = stored(tmp_path / "s", "lstm")
    facts = Store(tmp_path / "s").study()["declaration"]["tasks"]["t"]
    with pytest.raises(StudyError, match=re.escape(told)):
        snippet({**config, **change}, facts)
    with pytest.raises(StudyError, match="the loss of the task"):
        snippet(config, {**facts, "loss": "hinge"})
