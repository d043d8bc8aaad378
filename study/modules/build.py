"""Builds a module from its YAML: `_target_`, its arguments, and how it is called."""

from __future__ import annotations

import importlib
import inspect
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from hydra.utils import instantiate
from torch import Tensor, nn

from study.numerics.streams import own_draws
from study.records import StudyError

# What a model's YAML may take from the task, as text such as task.inputs.
FROM_TASK = ("inputs", "outputs", "steps")
# How a module is called: key of its YAML -> allowed values, the default first.
CALLED = {"_input_": ("numbers", "symbols"), "_layout_": ("batch_first", "time_first")}


@dataclass(frozen=True)
class TaskShape:
    """D, O and T of a task, and whether it has an output at every step."""

    inputs: int
    outputs: int
    steps: int
    every_step: bool


@dataclass(frozen=True)
class Calling:
    """How a module is called.

    `symbols`: with whole numbers [B, T], the place of the largest of the task's inputs, for
    torch.nn.Embedding; else with x [B, T, D]. `time_first`: with [T, B, …], and it returns
    [T, B, O] if it has an output at every step. `lengths`: its forward takes them.
    """

    symbols: bool
    time_first: bool
    lengths: bool


def arguments(node: Mapping[str, Any], task: TaskShape) -> dict[str, Any]:
    """The constructor's arguments, with those that come from the task filled in."""
    return {
        key: _filled(value, key, task)
        for key, value in node.items()
        if key not in ("_target_", "_uses_", *CALLED)
    }


def _filled(value: Any, key: str, task: TaskShape) -> Any:
    if isinstance(value, str) and value.startswith("task."):
        name = value.removeprefix("task.")
        if name not in FROM_TASK:
            allowed = ", ".join(f"task.{each}" for each in FROM_TASK)
            raise StudyError(f"model: {key} may take {allowed} from the task, got {value!r}")
        return getattr(task, name)
    if isinstance(value, Mapping):
        return {name: _filled(part, f"{key}.{name}", task) for name, part in value.items()}
    return [_filled(part, key, task) for part in value] if isinstance(value, list) else value


# torch says once a process that its other implementation is used
warnings.filterwarnings("ignore", "LSTM with projections is not supported")


def build_module(node: Mapping[str, Any], task: TaskShape, seed: int) -> nn.Module:
    """A new module whose own random draws come from `seed` alone; in fp32, on the CPU."""
    target = imported(node, "model", "a torch.nn.Module's class, such as my_models.LSTMModel")
    given = arguments(node, task)
    _check_arguments(target, given)
    with own_draws(seed):
        try:
            module = instantiate({"_target_": node["_target_"], **given}, _convert_="all")
        except Exception as error:
            cause = error.__cause__ or error
            raise StudyError(
                f"model: {target.__name__} cannot be built with {_shown(given)}"
                f" ({type(cause).__name__}: {(str(cause).splitlines() or [''])[0]})"
            ) from error
    if not isinstance(module, nn.Module):
        raise StudyError(
            f"model: {node['_target_']} must give a torch.nn.Module, got {type(module).__name__}"
        )
    # what it compiles to may differ with its company; torch's own layers are computed anyway
    module = getattr(module, "_orig_mod", module)
    trained = {name: each for name, each in module.named_parameters() if each.requires_grad}
    if not trained:
        raise StudyError(
            f"model: {target.__name__} has no parameter to train when it is built; layers made in"
            " forward cannot be found: make them in __init__"
        )
    if any(isinstance(parameter, nn.UninitializedParameter) for parameter in module.parameters()):
        raise StudyError(
            f"model: {target.__name__} has lazy layers, whose sizes are not known when it is"
            " built; give them their sizes (task.inputs is the number of inputs)"
        )
    for name, parameter in trained.items():
        if parameter.dtype != torch.float32:
            raise StudyError(
                f"model: {target.__name__} must build its parameters in float32, and {name} is"
                f" {str(parameter.dtype).removeprefix('torch.')}; leave out .half(), .double() and"
                " dtype=, since the keys dtype and precision choose how it is computed"
            )
        if parameter._backward_hooks:
            raise StudyError(
                f"model: {target.__name__} has a hook on {name}, which would not be called, since"
                " each network's own tensors take its place; scale gradients in forward, or with a"
                " clip rule"
            )
    return module


def imported(node: Mapping[str, Any], key: str, what: str) -> Any:
    """The class or function that a node names; StudyError if it cannot be imported."""
    if not isinstance(node, Mapping) or not isinstance(node.get("_target_"), str):
        raise StudyError(f"{key}: its YAML needs _target_, the path of {what}; got {node!r}")
    path, _, name = node["_target_"].rpartition(".")
    try:
        target = getattr(importlib.import_module(path), name)
    except Exception as error:
        hint = ""
        if isinstance(error, ModuleNotFoundError) and f"{path}.".startswith(f"{error.name}."):
            hint = ". Is its folder given with --config-dir?"
        raise StudyError(
            f"{key}: _target_ {node['_target_']!r} cannot be imported ({type(error).__name__}:"
            f" {' '.join(str(error).split())}){hint}"
        ) from error
    if not callable(target):
        raise StudyError(f"{key}: _target_ {node['_target_']!r} is not a class or function")
    return target


def _check_arguments(target: Any, given: Mapping[str, Any]) -> None:
    try:
        signature = inspect.signature(target)
    except (ValueError, TypeError):
        return
    try:
        signature.bind(**given)
    except TypeError as error:
        takes = ", ".join(str(parameter) for parameter in signature.parameters.values())
        raise StudyError(f"model: {target.__name__}({takes}): {error}") from error


def calling(node: Mapping[str, Any], module: nn.Module) -> Calling:
    """Read how the module is called; StudyError for what is not allowed."""
    for key, allowed in CALLED.items():
        if node.get(key, allowed[0]) not in allowed:
            raise StudyError(f"model: {key} must be {' or '.join(allowed)}, got {node[key]!r}")
    name = type(module).__name__
    parameters = list(inspect.signature(module.forward).parameters.values())
    required = [
        parameter.name
        for parameter in parameters[1:]
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        and (parameter.name != "lengths" or parameter.kind is parameter.POSITIONAL_ONLY)
    ]
    if not parameters or required:
        raise StudyError(
            f"model: {name}.forward must take x, or x and lengths; it takes"
            f" {', '.join(parameter.name for parameter in parameters) or 'nothing'}. Give"
            f" {', '.join(required) or 'it'} a default, such as None for zero states; lengths come"
            " by name"
        )
    return Calling(
        symbols=node.get("_input_") == "symbols",
        time_first=node.get("_layout_") == "time_first",
        lengths=any(parameter.name == "lengths" for parameter in parameters),
    )


def call(
    module: nn.Module, how: Calling, x: Tensor, lengths: Tensor | None, *, every_step: bool
) -> Any:
    """Outputs [B, O] or [B, T, O] of one member for x [B, T, D] and lengths [B]."""
    steps = x.shape[1]
    read = x.argmax(-1) if how.symbols else x
    if how.time_first:
        read = read.transpose(0, 1)
    if how.lengths:
        of = torch.full((len(x),), steps) if lengths is None else lengths.cpu()
        returned = module(read, lengths=of)
    else:
        returned = module(read)
    # many modules return their last states as well
    outputs = returned[0] if isinstance(returned, tuple | list) and returned else returned
    if every_step and how.time_first and isinstance(outputs, Tensor) and outputs.ndim == 3:
        return outputs.transpose(0, 1)
    return outputs


def _shown(given: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in given.items()) or "no arguments"
