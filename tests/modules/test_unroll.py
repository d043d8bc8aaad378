"""Total derivatives at every recurrent state of public architectures, against torch's own kernels.

The reference never unrolls: it lets torch compute one layer in one direction up to step k, makes
the states there leaves, and lets torch go on from them.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from study.modules.build import TaskShape
from study.modules.network import ModuleNetwork
from study.modules.unroll import tapped
from tests.modules.architectures import SHAPES

STEPS, EXAMPLES, INPUTS, OUTPUTS = 7, 3, 4, 4


class Split(nn.Module):
    """A recurrent layer of torch, by its own kernels, cut at step `at` of one direction."""

    def __init__(self, of, layer: int, direction: int, at: int):
        super().__init__()
        self.of, self.which, self.at, self.leaves = [of], (layer, direction), at, None

    def forward(self, x, hx=None):
        (of,) = self.of
        packed = x if isinstance(x, PackedSequence) else None
        if packed is not None:
            x, lengths = pad_packed_sequence(packed)
        else:
            x = x.transpose(0, 1) if of.batch_first else x
            lengths = torch.full((x.shape[1],), len(x))
        ends = []
        for layer in range(of.num_layers):
            outs = []
            for direction in range(1 + of.bidirectional):
                first = None
                if hx is not None:
                    parts = hx if isinstance(hx, tuple) else (hx,)
                    first = tuple(part[len(ends)][None] for part in parts)
                out, end = self.one(of, layer, direction, x, lengths, first)
                outs.append(out)
                ends.append(end)
            x = torch.cat(outs, -1)
        last = tuple(torch.cat(parts) for parts in zip(*ends, strict=True))
        last = last if isinstance(of, nn.LSTM) else last[0]
        if packed is not None:
            return pack_padded_sequence(x, lengths, enforce_sorted=False), last
        return (x.transpose(0, 1) if of.batch_first else x), last

    def one(self, of, layer, direction, x, lengths, first):
        kind = type(of)
        extra = {"nonlinearity": of.nonlinearity} if kind is nn.RNN else {}
        extra |= {"proj_size": of.proj_size} if kind is nn.LSTM else {}
        single = kind(x.shape[-1], of.hidden_size, bias=of.bias, **extra).double()
        suffix = f"_l{layer}{'_reverse' if direction else ''}"
        for name, _ in list(single.named_parameters()):
            weight = getattr(of, name.replace("_l0", suffix))
            delattr(single, name)
            setattr(single, name, weight.detach())
        single._flat_weights = [getattr(single, name) for name in single._flat_weights_names]
        if direction:
            x = flipped(x, lengths)
        if self.which != (layer, direction):
            out, end = run(single, x, lengths, first)
        else:
            before, state = run(
                single, x[: self.at + 1], torch.full_like(lengths, self.at + 1), first
            )
            self.leaves = tuple(part.detach().requires_grad_() for part in state)
            after, end = run(single, x[self.at + 1 :], lengths - self.at - 1, self.leaves)
            out = torch.cat([before[: self.at].detach(), self.leaves[0], after])
        return (flipped(out, lengths) if direction else out), end


def run(single, x, lengths, first):
    """(outputs [T, B, H], states after each example's last step) by torch's kernel."""
    packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
    out, last = single(packed, unpacked(first))
    last = last if isinstance(last, tuple) else (last,)
    return pad_packed_sequence(out, total_length=len(x))[0], last


def unpacked(state):
    return state[0] if isinstance(state, tuple) and len(state) == 1 else state


def flipped(x: Tensor, lengths: Tensor) -> Tensor:
    """Each example's valid steps in reverse."""
    out = x.clone()
    for example, length in enumerate(lengths.tolist()):
        out[:length, example] = x[:length, example].flip(0)
    return out


def network(name: str) -> ModuleNetwork:
    kind, given = SHAPES[name]
    every_step = name.endswith(("tagger", "language_model"))
    node = {"_target_": f"{kind.__module__}.{kind.__qualname__}", **given}
    inputs = {"WordLanguageModel": "symbols", "LastStep": "input_size"}.get(kind.__name__, "inputs")
    node[inputs] = "task.inputs"
    outputs = {"LastStep": "output_size", "LastStates": "classes", "Tagger": "tags"}
    if kind.__name__ != "WordLanguageModel":
        node[outputs.get(kind.__name__, "outputs")] = "task.outputs"
    else:
        node |= {"_input_": "symbols", "_layout_": "time_first"}
    return ModuleNetwork(node, TaskShape(INPUTS, OUTPUTS, STEPS, every_step))


def inputs_of(one: ModuleNetwork) -> tuple[Tensor, Tensor | None]:
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(2, EXAMPLES, STEPS, INPUTS, generator=rng, dtype=torch.float64)
    if one.how.symbols:
        x = nn.functional.one_hot(x.argmax(-1), INPUTS).double()
    return x, torch.tensor([[7, 4, 6]] * 2) if one.how.lengths else None


def params_of(one: ModuleNetwork) -> dict[str, Tensor]:
    return one.named(torch.stack([one.row(seed) for seed in (3, 4)]))


@pytest.mark.parametrize("name", SHAPES)
def test_states_and_outputs_are_those_of_the_module(name):
    one = network(name)
    (x, lengths), params = inputs_of(one), params_of(one)
    run_, own = one.unrolled(params, x, lengths), one.forward(params, x, lengths)
    torch.testing.assert_close(run_.outputs, own, rtol=0, atol=1e-12)
    assert len(run_.layers) == len(one.measured) == len(run_.names) > 0
    for layer in run_.layers:
        assert all(states.shape[:3] == (2, STEPS, EXAMPLES) for states in layer.values())


TORCHS = [name for name in SHAPES if name not in ("cell_loop", "own_cell")]


@pytest.mark.parametrize("name", TORCHS)
def test_total_derivatives_equal_those_of_torchs_own_kernels(name):
    one = network(name)
    (x, lengths), params = inputs_of(one), params_of(one)
    unrolled = one.unrolled(params, x, lengths)
    weights = torch.randn(unrolled.outputs.shape, dtype=torch.float64)
    if lengths is not None and weights.ndim == 4:  # outputs of padding count for nothing
        weights *= (torch.arange(STEPS) < lengths[..., None])[..., None]
    found = unrolled.derivatives((unrolled.outputs * weights).sum())
    member = 1
    for number, path in enumerate(unrolled.names):
        part, which = path.rsplit(".", 1)
        layer, direction = int(which[1:].split("_")[0]), which.endswith("_reverse")
        for at in (0, 2):
            module = one._as(torch.float64).eval()
            split = Split(module.get_submodule(part), layer, int(direction), at)
            parent, _, last = part.rpartition(".")
            original = module.get_submodule(part)
            setattr(module.get_submodule(parent), last, split)
            try:
                for key, value in params.items():
                    owner, _, tensor = key.rpartition(".")
                    home = original if owner == part else module.get_submodule(owner)
                    target = getattr(home, tensor)
                    target.data.copy_(value[member])
                outputs = call_of(
                    one, module, x[member], None if lengths is None else lengths[member]
                )
                grads = torch.autograd.grad((outputs * weights[member]).sum(), split.leaves)
            finally:
                setattr(module.get_submodule(parent), last, original)
            for state, grad in zip(unrolled.layers[number], grads, strict=True):
                ours = found[number][state][member, at]
                torch.testing.assert_close(ours, grad[0], rtol=1e-10, atol=1e-12)


def call_of(one: ModuleNetwork, module: nn.Module, x: Tensor, lengths: Tensor | None) -> Tensor:
    from study.modules.build import call

    return call(module, one.how, x, lengths, every_step=one.task.every_step)


@pytest.mark.parametrize("name", ["cell_loop", "own_cell"])
def test_cells_that_are_called_once_a_step(name):
    """Against a loop that is cut at a step in the same way."""
    one = network(name)
    (x, _), params = inputs_of(one), params_of(one)
    unrolled = one.unrolled(params, x, None)
    found = unrolled.derivatives(unrolled.outputs.square().sum())
    module = one._as(torch.float64)
    for key, value in params.items():
        module.get_parameter(key).data.copy_(value[0])
    assert unrolled.names == [path for path in ("lower", "upper") if name == "cell_loop"] or [
        "cell"
    ]
    for number, path in enumerate(unrolled.names):
        cell, calls, kept = module.get_submodule(path), [0], []

        def cut(_, __, returned, calls=calls, kept=kept):
            calls[0] += 1
            if calls[0] != 3:
                return returned
            parts = returned if isinstance(returned, tuple) else (returned,)
            kept += [part.detach().requires_grad_() for part in parts]
            return tuple(kept) if isinstance(returned, tuple) else kept[0]

        handle = cell.register_forward_hook(cut)
        outputs = call_of(one, module, x[0], None)
        handle.remove()
        grads = torch.autograd.grad(outputs.square().sum(), kept)
        for state, grad in zip(unrolled.layers[number], grads, strict=True):
            torch.testing.assert_close(found[number][state][0, 2], grad, rtol=1e-10, atol=1e-12)


def test_nothing_of_the_module_is_left_changed():
    one = network("cell_loop")
    before = {name: dict(vars(part)) for name, part in one.module.named_modules()}
    with pytest.raises(RuntimeError), tapped(one.module):
        raise RuntimeError
    after = {name: dict(vars(part)) for name, part in one.module.named_modules()}
    assert all(before[name].keys() == after[name].keys() for name in before)
    assert not any(part._forward_hooks for part in one.module.modules())
