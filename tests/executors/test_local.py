"""How many workers the local executor has, and how large its groups are."""

from __future__ import annotations

import pytest
import yaml

from study.config.build import build
from study.config.paths import conf_folder
from study.records import StudyError


def test_a_gpu_has_one_worker_and_large_groups(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("study.executors.local.torch.cuda.device_count", lambda: 2)
    node = yaml.safe_load((conf_folder() / "executor" / "local.yaml").read_text())
    found = {device: build({**node, "device": device}, "executor") for device in ("cuda", "cpu")}
    assert (found["cuda"].workers, found["cuda"].max_members, found["cpu"].max_members) == (
        2,
        512,
        24,
    )
    asked = build({**node, "device": "cuda", "workers": 8, "max_members": 7}, "executor")
    assert (asked.workers, asked.max_members) == (8, 7)
    with pytest.raises(StudyError, match="max_members must be auto or at least 1, got 0"):
        build({**node, "device": "cpu", "max_members": 0}, "executor")
