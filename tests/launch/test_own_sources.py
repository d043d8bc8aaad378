"""A change of the user's own source is told, and decides nothing without being asked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from study.config.sources import own_sources
from study.store import Store
from tests import ROOT

MODEL = """
from torch import nn


class Last(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.rnn, self.out = nn.GRU(inputs, 4, batch_first=True), nn.Linear(4, outputs)

    def forward(self, x):
        return self.out(self.rnn(x)[0][:, -1]{scale})
"""


def test_stop_retrain_or_ignore(tmp_path: Path):
    (tmp_path / "conf/model").mkdir(parents=True)
    (tmp_path / "conf/model/last.yaml").write_text(
        "_target_: changing_model.Last\ninputs: task.inputs\noutputs: task.outputs\n"
    )
    source = tmp_path / "changing_model.py"
    source.write_text(MODEL.format(scale=""))
    arguments = (
        "-m", "--config-dir", "conf", "model=last", "seed=0,1", "updates=2", "name=own",
        "task=adding", "task.steps=8", "task.examples=50", "tracker=[]",
    )  # fmt: skip

    def study(*more: str):
        return subprocess.run(  # a process each, as an import happens once
            [sys.executable, "-m", "study", *arguments, *more],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}", "OMP_NUM_THREADS": "1"},
        )

    first = study()
    assert first.returncode == 0, first.stdout + first.stderr
    store = Store(tmp_path / "outputs/own")
    before = {id: store.result(id)["row"]["score"] for id in store.names()}
    assert len(before) == 2
    source.write_text(MODEL.format(scale=" * 3"))
    asked = study()
    assert asked.returncode != 0
    assert "changing_model.Last has changed since 2 stored points" in asked.stdout + asked.stderr
    ignored = study("identity.source=ignore")
    assert ignored.returncode == 0 and "they are kept" in ignored.stdout
    assert {id: store.result(id)["row"]["score"] for id in store.names()} == before
    again = study("identity.source=retrain")
    assert again.returncode == 0, again.stdout + again.stderr
    after = {id: Store(store.folder).result(id)["row"]["score"] for id in before}
    assert after.keys() == before.keys() and after != before
    assert "nothing to train" in study().stdout


def test_a_file_that_the_piece_imports_counts_too(tmp_path: Path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_parts_here").mkdir()
    (tmp_path / "own_piece_here.py").write_text("import json\nfrom own_parts_here import deep\n")
    (tmp_path / "own_parts_here/__init__.py").write_text("")
    deep = tmp_path / "own_parts_here/deep.py"
    deep.write_text("import torch\nimport own_piece_here\nSCALE = 1\n")  # a circle ends
    config = {"model": {"_target_": "own_piece_here.Net"}, "tracker": {"_target_": "no.such"}}
    before = own_sources(config)
    assert list(before) == ["own_piece_here.Net"]
    assert own_sources(config) == before
    deep.write_text("SCALE = 2\n")
    assert own_sources(config) != before
