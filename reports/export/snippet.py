"""Writes a recipe as plain PyTorch that runs as pasted.

A recipe that cannot be written exactly is refused, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from reports.export.export import CELLS, HERE, MODULES, READOUTS, layer_call, made_of_pieces
from reports.export.pieces import pieces
from reports.export.training_loop import averaged, clipping, gradients, optimizer, scheduler
from study.records import StudyError

OURS = "study.initializers."
FORGET = 1  # index of the LSTM's forget gate in i, f, g, o


def snippet(config: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """PyTorch of one composed configuration; StudyError if it cannot be written exactly."""
    _check(config)
    target, readout = str(config["cell"]["_target_"]), str(config["readout"]["_target_"])
    text = pieces(config, first=True) if made_of_pieces(config) else ""
    cell = "layers" if text else CELLS[target][0]
    kind, every = cell.split("_")[0], READOUTS[readout][0] == "every"
    inputs, outputs, steps = (int(facts[key]) for key in ("inputs", "outputs", "steps"))
    hidden, depth, batch, updates = (
        int(config[key]) for key in ("hidden", "depth", "batch", "updates")
    )
    double = str(config.get("dtype")) == "float64"
    dropout = float(config["dropout"]) if depth > 1 else 0.0
    if text:
        around = _called(config["block"]) if config.get("block") else None
        call = (
            f"Layers({_called(config['cell'])}, {around}, {inputs}, {hidden}, {depth}, {dropout})"
        )
        initial = of_pieces(config, inputs, hidden, *_recurrent(config["initializer"]))
    else:
        call = layer_call(
            {
                "cell": cell,
                "settings": {k: value for k, value in config["cell"].items() if k != "_target_"},
                "encoder": None,
                "inputs": inputs,
                "hidden": hidden,
                "layers": depth,
                "dropout": dropout,
            }
        )
        initial = _initial(config, cell, kind, hidden)
    schedule, average = scheduler(config), averaged(config, updates)
    lines = ["import math", ""] if "math." in "".join(schedule) else []
    lines += ["import torch", "from torch import nn", "", "torch.manual_seed(0)", ""]
    ours = ["weights_of", "single", "Layers"] if text else []
    ours += ["StepByStep", MODULES[cell]] if cell in MODULES else []
    module = (HERE / "model.py").read_text(encoding="utf-8")
    for name in ours:
        found = re.search(rf"(class|def) {name}\b.*?(?=\n\n\n(class|def) )", module, flags=re.S)
        assert found
        lines += ["", found[0], ""]
    lines = [*text.splitlines(), "", "", *lines] if text else lines
    lines += [
        "",
        "class Net(nn.Module):",
        "    def __init__(self):",
        "        super().__init__()",
        f"        self.{kind} = {call}",
        f"        self.fc = nn.Linear({hidden}, {outputs})",
        *(f"        {line}" for line in initial),
        "",
        "    def forward(self, x):  # [batch, steps, inputs]",
        f"        h, _ = self.{kind}(x)",
        f"        return self.fc({'h' if every else 'h[:, -1]'})",
        "",
        "",
        *_data(facts, batch, steps, inputs, outputs, every, double),
        "",
        "",
        f"net = Net(){'.double()' if double else ''}",
        *optimizer(config["optimizer"]),
        *schedule,
        *average[:1],
        "data = batches()",
        f"for update in range({updates}):",
        "    optimizer.zero_grad()",
        *(f"    {line}" for line in gradients(_loss(facts, every), config.get("accumulate", 1))),
        *(f"    {line}" for line in clipping(config["clip"])),
        "    optimizer.step()",
        *(["    scheduler.step()"] if schedule else []),
        *(f"    {line}" for line in average[1:]),
        'print(f"loss {loss.item():.3f} after {update + 1} updates")',
    ]
    return "\n".join(lines) + "\n"


def _check(config: Mapping[str, Any]) -> None:
    """StudyError if a piece of the configuration cannot be written in plain PyTorch."""
    for key in ("model", "trainer"):
        if config.get(key):
            raise StudyError(f"{config[key]['_target_']} is a {key} of your own")
    readout = str(config["readout"]["_target_"])
    if READOUTS.get(readout, ("",))[0] not in ("last", "every"):
        raise StudyError(
            f"{readout} is none of the linear readouts of the last or of every step, which are what"
            " the snippet can write"
        )
    for key, one in (("encoder", "an encoder"), ("penalty", "a penalty")):
        if config.get(key):
            raise StudyError(f"{config[key]['_target_']} is {one}, which the snippet cannot write")
    for role in ("input", "readout"):
        rule = config["weights"][role].get("_target_")
        if rule != f"{OURS}xavier_uniform.XavierUniform":
            raise StudyError(f"weights.{role} follows {rule}, which the snippet does not know")
    if config.get("precision", "full") != "full":
        raise StudyError(
            f"precision {config['precision']}: products of updates are rounded in a way that the"
            " snippet does not write"
        )


def _initial(config: Mapping[str, Any], cell: str, kind: str, hidden: int) -> list[str]:
    """Initial values, gate by gate, with one bias per gate as in the study."""
    weights = config["weights"]
    recurrent, own = _recurrent(config["initializer"])
    input_rule = own.get("input", "nn.init.xavier_uniform_(block)")
    forget = float(weights["forget_bias"]) if cell == "lstm" and "bias" not in own else 0.0
    lines = [
        f"for name, weight in self.{kind}.named_parameters():",
        (
            f"    for block in weight.data.split({hidden}):  # gate by gate: on the stacked matrix"
            " the rule would be another"
        ),
        '        if name.startswith("weight_hh"):',
        f"            {recurrent}",
        '        elif name.startswith("weight_ih"):',
        f"            {input_rule}",
        "        else:",
        f"            {own.get('bias', 'block.zero_()')}",
    ]
    if cell in ("rnn", "lstm"):
        lines += [
            '    if name.startswith("bias_hh"):',
            "        weight.data.zero_()",
            "        weight.requires_grad_(False)  # one bias a gate",
        ]
    if cell == "gru_reset_after":
        lines += [
            '    if name.startswith("bias_hh"):',
            (
                f"        weight.data[: {2 * hidden}] = 0  # the study has one bias for r and z;"
                " torch trains both"
            ),
        ]
    if forget:
        lines += [
            '    if name.startswith("bias_ih"):',
            (
                f"        weight.data[{FORGET * hidden} : {(FORGET + 1) * hidden}] = {forget}  #"
                " forget gate"
            ),
        ]
    return [*lines, "nn.init.xavier_uniform_(self.fc.weight)", "nn.init.zeros_(self.fc.bias)"]


def _called(node: Mapping[str, Any]) -> str:
    """A piece as Python, such as IndRNN(nonlinearity='relu')."""
    given = ", ".join(f"{key}={value!r}" for key, value in node.items() if key != "_target_")
    return f"{node['_target_'].rpartition('.')[2]}({given})"


def of_pieces(
    config: Mapping[str, Any], inputs: int, hidden: int, recurrent: str, own: Mapping[str, str]
) -> list[str]:
    """Initial values of layers whose classes stand in the snippet, block by block."""
    uniform = f"nn.init.uniform_(block, -({hidden}**-0.5), {hidden}**-0.5)"
    rules = {"recurrent": recurrent, "input": "nn.init.xavier_uniform_(block)", **own}
    if own and "pass" in own["input"]:  # as torch.nn draws: the initializer named pytorch
        rules = {"recurrent": uniform, "input": uniform, "bias": uniform}
    forget = float(config["weights"]["forget_bias"])
    biases = rules.get("bias", f'block.fill_({forget} if gate == "f" else 0.0)')
    first = hidden if config.get("block") else inputs
    lines = [
        "cell = self.layers.cell",
        "for layer, weights in enumerate(self.layers.cells):",
        f"    read = {hidden} if layer else {first}",
        f"    drawn = cell.first(read, {hidden}, torch.default_generator)",
        f"    for one in cell.shapes(read, {hidden}):",
        "        weight = weights[one.name].data",
        '        if one.role == "own":',
        "            weight.copy_(drawn[one.name])",
        "            continue",
        "        for gate, block in zip(one.gates, weight.split(one.block[0])):",
        '            if one.role == "recurrent":',
        f"                {rules['recurrent']}",
        '            elif one.role == "input":',
        f"                {rules['input']}",
        "            else:",
        f"                {biases}",
    ]
    if config.get("block"):
        lines += [
            "nn.init.xavier_uniform_(self.layers.embed)",
            "for weights in self.layers.blocks:  # their biases start at 0",
            f"    for one in self.layers.block.shapes({hidden}):",
            '        if one.role == "readout":',
            "            for block in weights[one.name].data.split(one.block[0]):",
            "                nn.init.xavier_uniform_(block)",
        ]
    return [*lines, "nn.init.xavier_uniform_(self.fc.weight)", "nn.init.zeros_(self.fc.bias)"]


def _recurrent(node: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """The rule for recurrent blocks, and those of this initializer for input and bias blocks."""
    name = str(node["_target_"]).removeprefix(OURS)
    std = node.get("std")
    uniform = "nn.init.uniform_(block, -weight.shape[1] ** -0.5, weight.shape[1] ** -0.5)"
    known: dict[str, tuple[str, dict[str, str]]] = {
        "orthogonal.Orthogonal": (f"nn.init.orthogonal_(block, gain={node.get('gain')})", {}),
        "xavier_uniform.XavierUniform": ("nn.init.xavier_uniform_(block)", {}),
        "xavier_normal.XavierNormal": ("nn.init.xavier_normal_(block)", {}),
        "normal.Normal": (
            f"nn.init.normal_(block, std={'block.shape[1] ** -0.5' if std == 'auto' else std})",
            {},
        ),
        "he.He": ("nn.init.normal_(block, std=(2 / block.shape[1]) ** 0.5)", {}),
        "lecun.LeCun": ("nn.init.normal_(block, std=block.shape[1] ** -0.5)", {}),
        "pytorch.PyTorch": (
            uniform,
            {"input": "pass  # as torch.nn has it: U(±1/√hidden)", "bias": "pass"},
        ),
        "identity.Identity": (
            f"block.copy_({node.get('alpha')} * torch.eye(len(block)))",
            {
                "input": f"nn.init.normal_(block, std={node.get('input_std')})",
                "bias": "block.zero_()",
            },
        ),
    }
    if name not in known:
        raise StudyError(f"the initializer {node['_target_']} has no counterpart in torch.nn.init")
    return known[name]


def _classes(facts: Mapping[str, Any]) -> bool:
    sentence = str(facts.get("loss", ""))
    if not sentence.startswith(("cross-entropy", "mean squared error", "mse")):
        raise StudyError(f"the loss of the task ({sentence or 'not known'}) is not torch's")
    return sentence.startswith("cross-entropy")


def _loss(facts: Mapping[str, Any], every: bool) -> str:
    if _classes(facts):
        return (
            "nn.functional.cross_entropy(net(x).flatten(0, 1), y.flatten())"
            if every
            else "nn.functional.cross_entropy(net(x), y)"
        )
    return "nn.functional.mse_loss(net(x), y)"


def _data(
    facts: Mapping[str, Any],
    batch: int,
    steps: int,
    inputs: int,
    outputs: int,
    every: bool,
    double: bool,
) -> list[str]:
    shape = f"{batch}, {steps}" if every else f"{batch}"
    dtype = ", dtype=torch.float64" if double else ""
    y = (
        f"torch.randint({outputs}, ({shape},))"
        if _classes(facts)
        else f"torch.rand({shape}, {outputs}{dtype})"
    )
    return [
        (
            "def batches():  # stand-ins of the right shapes: put your own data here, scaled as the"
            " task scales it"
        ),
        "    while True:",
        f"        yield torch.rand({batch}, {steps}, {inputs}{dtype}), {y}",
    ]
