"""What the cache folder keeps is what was made, and is made again where it cannot be read."""

from __future__ import annotations

import numpy as np
import pytest

from study.machine.cache import kept_arrays


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "rnn-gradient-study"


def test_arrays_are_made_once_for_each_thing_they_are_made_from(folder):
    made = []

    def make():
        made.append(len(made))
        return {"x": np.arange(3, dtype=np.int64), "y": np.float32([[0.1]])}

    first = kept_arrays("numbers", {"seed": 0}, make)
    again = kept_arrays("numbers", {"seed": 0}, make)
    kept_arrays("numbers", {"seed": 1}, make)
    assert made == [0, 1]
    assert {key: (a.dtype, a.tolist()) for key, a in first.items()} == {
        key: (a.dtype, a.tolist()) for key, a in again.items()
    }
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("spoil", [lambda text: text[:-40], lambda text: b"", lambda text: b"no"])
def test_a_damaged_file_is_made_again(folder, spoil):
    kept_arrays("numbers", {}, lambda: {"x": np.arange(1000)})
    (path,) = folder.iterdir()
    path.write_bytes(spoil(path.read_bytes()))
    assert kept_arrays("numbers", {}, lambda: {"x": np.arange(7)})["x"].tolist() == [*range(7)]
    assert kept_arrays("numbers", {}, dict)["x"].tolist() == [*range(7)]


def test_a_folder_that_cannot_be_written_keeps_nothing(folder):
    folder.write_text("a file")
    assert kept_arrays("numbers", {}, lambda: {"x": np.arange(2)})["x"].tolist() == [0, 1]
