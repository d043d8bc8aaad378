"""Initial weights of a module: its own draws, and the initializer's in its recurrent layers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from study.interfaces import Block, InitFacts, Initializer, Role
from study.modules.network import ModuleNetwork, recurrent_parts
from study.modules.unroll import tapped
from study.numerics.streams import generator
from study.records import StudyError

GATES = {"RNN": ("h",), "LSTM": ("i", "f", "g", "o"), "GRU": ("r", "z", "n")}
KEEP = {"RNN": {}, "LSTM": {"f": 1}, "GRU": {"z": 1}}
WEIGHT = re.compile(r"(weight|bias)_(ih|hh|hr)(_l\d+(_reverse)?)?")
ROLES: dict[str, Role] = {"weight_hh": "recurrent", "weight_ih": "input", "bias_ih": "bias"}


class OwnWeights(Initializer):
    """Draws from the input weights that a module drew by itself."""

    def __init__(self, weights: Tensor | None = None) -> None:
        self.weights = weights

    def __call__(self, block: Block, generator: torch.Generator, facts: InitFacts) -> Tensor:
        assert self.weights is not None
        drawn = torch.randint(self.weights.numel(), block.shape, generator=generator)
        return self.weights.reshape(-1)[drawn]


def initial_row(
    network: ModuleNetwork, *, initializer: Initializer, facts: InitFacts, seed: int
) -> Tensor:
    """Initial values of one member, [P] in fp64.

    The module draws all of them, from a seed of its own. The initializer then fills, gate by gate,
    those of its roles in every torch.nn.RNN, LSTM, GRU and their cells; where it fills biases, the
    second ones (bias_hh) are 0, as a layer needs one only.
    """
    row = network.row(generator(seed, "init, module").initial_seed())
    for number, (path, part) in enumerate(recurrent_parts(network.module), start=1):
        kind = type_of(part)
        known = _facts_of(part, kind, facts, seed, path, _input_weights(network, row, part, path))
        _check_fillable(part, path, initializer, network)
        for place, (name, tensor, layer) in enumerate(_weights(part)):
            whole = f"{path}.{name}" if path else name
            if whole not in network.slices:
                continue  # frozen
            stem = "_".join(name.split("_")[:2])
            if stem == "bias_hh" and "bias" in initializer.roles:
                row[network.slices[whole][0]] = 0.0
            role = ROLES.get(stem)
            if role is None or role not in initializer.roles:
                continue
            shape = (tensor.shape[0] // len(GATES[kind]), *tensor.shape[1:])
            values = []
            for index, gate in enumerate(GATES[kind]):
                block = Block(role=role, gate=gate, shape=tuple(shape), layer=layer)
                draws = generator(seed, "init", number, place, index)
                try:
                    value = initializer(block, draws, known)
                except Exception as error:
                    raise StudyError(
                        f"initializer: {type(initializer).__name__} cannot fill gate {gate} of"
                        f" {whole} in {network.name}, of shape {list(shape)}: {error}"
                    ) from error
                if tuple(value.shape) != tuple(shape) or not value.isfinite().all():
                    raise StudyError(
                        f"initializer: {type(initializer).__name__} must return finite values of"
                        f" shape {list(shape)} for gate {gate} of {whole} in {network.name}, got"
                        f" {list(value.shape)}"
                    )
                values.append(value.double())
            row[network.slices[whole][0]] = torch.cat(values).reshape(-1)
    return row


def _check_fillable(
    part: nn.Module, path: str, initializer: Initializer, network: ModuleNetwork
) -> None:
    own = dict(part.named_parameters(recurse=False))
    name = "weight_hh_l0" if hasattr(part, "weight_hh_l0") else "weight_hh"
    if "recurrent" in initializer.roles and name not in own:
        raise StudyError(
            f"initializer: {type(initializer).__name__} cannot fill {name} of"
            f" {path or network.name} in {network.name}, which is computed from other tensors"
            " (weight_norm, or another parametrization); use initializer=own"
        )


def _facts_of(
    part: nn.Module, kind: str, facts: InitFacts, seed: int, path: str, own: Tensor
) -> InitFacts:
    relu = getattr(part, "nonlinearity", "tanh") == "relu"
    stream: Callable[..., torch.Generator] = lambda *key: generator(  # noqa: E731
        seed, f"init, shared, {path}", *key
    )
    return InitFacts(
        steps=facts.steps,
        lag=facts.lag,
        input_drive=facts.input_drive,
        inputs=part.input_size,  # type: ignore[arg-type]
        hidden=part.hidden_size,  # type: ignore[arg-type]
        keep=KEEP[kind],
        input_rule=OwnWeights(own),
        activation=(torch.relu if relu else torch.tanh) if kind == "RNN" else None,
        stream=stream,
    )


def _input_weights(network: ModuleNetwork, row: Tensor, part: nn.Module, path: str) -> Tensor:
    name = "weight_ih_l0" if hasattr(part, "weight_ih_l0") else "weight_ih"
    where, _ = network.slices.get(f"{path}.{name}" if path else name, (None, None))
    return getattr(part, name).detach().double() if where is None else row[where].clone()


def input_drive(network: ModuleNetwork, x: Tensor) -> float:
    """Mean square of an input value of the first recurrent layer, on x [B, T, D], as drawn.

    Without a recurrence: of the module.
    """
    row = network.named(network.row(seed=0)[None].float())
    with torch.no_grad(), tapped(network.module.eval()) as found:
        network.forward(row, x[None].float(), None)
    read = next((one.read for one in found if one.read is not None), None)
    return float((x if read is None else read).double().square().mean())


def type_of(part: nn.Module) -> str:
    """RNN, LSTM or GRU, of a layer or a cell."""
    return next(
        kind for kind in GATES if isinstance(part, (getattr(nn, kind), getattr(nn, f"{kind}Cell")))
    )


def _weights(part: nn.Module) -> Iterator[tuple[str, Tensor, int]]:
    """(name, tensor, layer from 1) of the weights and biases of one recurrent layer or cell."""
    for name, tensor in part.named_parameters(recurse=False):
        if not WEIGHT.fullmatch(name):
            continue  # of a subclass, or of a parametrization
        number = name.split("_l")[-1].removesuffix("_reverse") if "_l" in name else "0"
        yield name, tensor, int(number) + 1
