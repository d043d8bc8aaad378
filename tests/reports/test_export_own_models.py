"""An export of a model of the user's own answers as the engine does, where its class is at hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from reports.__main__ import main
from study.config.setup import set_up
from study.store import Store
from tests import ROOT
from tests.support.commands import call

TAGGER = """
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class Tagger(nn.Module):
    def __init__(self, symbols, width, tags):
        super().__init__()
        self.register_buffer("scale", torch.full((width,), 0.5))
        self.embed = nn.Embedding(symbols, width)
        self.norm = nn.BatchNorm1d(width)
        self.rnn = nn.LSTM(width, 6, bidirectional=True)
        self.tag = nn.Linear(12, tags)

    def forward(self, tokens, lengths):
        x = self.norm((self.embed(tokens) * self.scale).permute(1, 2, 0)).permute(2, 0, 1)
        packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
        out, _ = pad_packed_sequence(self.rnn(packed)[0], total_length=len(tokens))
        return self.tag(out)
"""
ALONE = """
import json, sys
import numpy as np
from model import load, outputs, predict
assert not any(name.startswith(("study", "reports")) for name in sys.modules)
net = load(".")
x = np.load(sys.argv[1])
example = json.load(open("example.json"))
assert [list(each) for each in predict(net, example["input"])] == example["answer"]
np.save(sys.argv[2], outputs(net, x))
"""


def test_it_answers_as_the_engine_does_without_this_tool(tmp_path: Path, capsys):
    (tmp_path / "conf/model").mkdir(parents=True)
    (tmp_path / "tagger_of_mine.py").write_text(TAGGER)
    (tmp_path / "conf/model/tagger.yaml").write_text(
        "_target_: tagger_of_mine.Tagger\nsymbols: task.inputs\nwidth: 5\ntags: task.outputs\n"
        "_input_: symbols\n_layout_: time_first\n"
    )
    ran = call(
        tmp_path, "study", "--config-dir", "conf", "model=tagger", "task=copying", "task.steps=24",
        "updates=4", "name=own", "tracker=[]", environment={"PYTHONPATH": f"{ROOT}:{tmp_path}"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    store = Store(tmp_path / "outputs/own")
    (id,) = store.names()
    sys.path.insert(0, str(tmp_path))
    try:
        assert main(["export", str(store.folder), id, "--to", str(tmp_path / "out")]) == 0
        setup = set_up(store.config(id))
        weights = store.weights(id)
        named = {name: torch.from_numpy(value)[None] for name, value in weights.items()}
        x = setup.task.split("test").x[:7]
        expected = setup.module.forward(named, x[None], None)[0].numpy()
    finally:
        sys.path.remove(str(tmp_path))
    np.save(tmp_path / "x.npy", x.numpy())

    def alone(path: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", ALONE, str(tmp_path / "x.npy"), str(tmp_path / "y.npy")],
            cwd=tmp_path / "out",
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
        )

    ran = alone(str(tmp_path))
    assert ran.returncode == 0, ran.stderr
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), expected, atol=1e-6, rtol=0)
    about = json.loads((tmp_path / "out/config.json").read_text())
    assert about["model"]["arguments"] == {
        "symbols": x.shape[2],
        "width": 5,
        "tags": expected.shape[2],
    }
    assert str(tmp_path) not in "".join(
        path.read_text() for path in (tmp_path / "out").glob("*.*") if path.suffix != ".safetensors"
    )
    without = alone("")
    assert "tagger_of_mine.Tagger, cannot be imported" in without.stderr
