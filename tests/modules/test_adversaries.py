"""Modules that remember, draw or reach outside: equal numbers anyway, or one sentence."""

from __future__ import annotations

import pytest
import torch

from study.config import setup as compiled
from study.config.check import check
from study.config.setup import set_up
from study.records import StudyError
from study.training.loop import train
from study.training.state import prepare
from tests.support.helpers import point

OWN = {"_target_": "study.initializers.own.Own"}
ORTHOGONAL = {"_target_": "study.initializers.orthogonal.Orthogonal", "gain": 1.0}


def points(name, seeds=(0, 1, 2), **changes):
    node = {
        "_target_": f"tests.modules.adversaries.{name}",
        "inputs": "task.inputs",
        "hidden": 5,
        "outputs": "task.outputs",
    }
    given = {"initializer": OWN, "updates": 6} | changes
    return [point(seed, model=node, **given) for seed in seeds]


REFUSED = {
    "Stateful": "keeps something from one call to the next (h)",
    "LateState": "keeps something from one call to the next (calls)",
    "Generator": "keeps something from one call to the next",
    "NoInitRows": "changes fc.bias in forward",
    "SeedsForward": "calls torch.manual_seed in forward",
    "EvalNoise": "for one example depend on the others in its batch, or on chance",
    "BatchFirstWrong": "unless batch_first=True is given",
    "HalfParam": "must build its parameters in float32, and rnn.weight_ih_l0 is float16",
    "LazyMade": "makes extra.bias, extra.weight in forward",
    "PosOnlyLengths": "lengths come by name",
    "KwRequiredOther": "Give mask a default",
    "StatesTypo": "it has no cel; it has cell, cell.a, fc",
    "HooksInside": "has a hook on fc.weight, which would not be called",
    "Checkpointed": "cannot be measured step by step, and probe=[] trains it without",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_silently_wrong_is_one_sentence(name):
    with pytest.raises(StudyError) as error:
        check(points(name)[0].config)
    assert REFUSED[name] in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["WeightNormRnn", "OldWeightNormRnn", "OrthCell"])
def test_an_initializer_fills_no_weights_that_are_computed_from_others(name):
    with pytest.raises(StudyError, match="computed from other tensors .* use initializer=own"):
        check(points(name, initializer=ORTHOGONAL)[0].config)
    check(points(name)[0].config)


SAME = (
    "NumpyNoise",
    "PyRandom",
    "NumpyInit",
    "Spectral",
    "OldWeightNormRnn",
    "Inplace",
    "Shared",
    "CellsNamed",
    "EncDecSame",
    "CacheOnly",
)


@pytest.mark.parametrize("name", SAME)
def test_numbers_alone_are_those_in_company(name):
    check(points(name)[0].config)
    found = []
    for seeds, member in (((0, 1, 2), 1), ((1,), 0)):
        compiled._module.cache_clear()  # as in another process
        training = prepare(points(name, seeds), "cpu")
        train(training, lambda update: None)
        found.append((training.params[member], [float(each[member]) for each in training.losses]))
    assert torch.equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


NOTES = {
    "UsesSub": "rnn is not measured: SubLSTM is a subclass with a forward of its own",
    "SeedsInit": "it draws the same weights for every seed",
    "Detached": "no gradient reaches rnn.weight_ih_l0",
    "EncDec": "dec is not measured: it makes 3 steps on sequences of 9",
    "StatesString": "layer 1 is cell",
}


@pytest.mark.parametrize("name", NOTES)
def test_what_is_unusual_is_a_note(name):
    notes = set_up(points(name)[0].config).model_notes
    assert any(NOTES[name] in note for note in notes), notes
    assert not any("no recurrence" in note for note in notes)
