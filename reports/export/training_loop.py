"""The lines of a training loop in plain PyTorch: optimizer, schedule, gradients, averages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from study.records import StudyError


def optimizer(node: Mapping[str, Any]) -> list[str]:
    ours = {"adam.Adam": "Adam", "sgd.SGD": "SGD", "rmsprop.RMSprop": "RMSprop"}
    piece = str(node["_target_"]).removeprefix("study.optimizers.")
    settings = {
        key: value
        for key, value in node.items()
        if key not in ("_target_", "name", "settings", "decay_biases")
    }
    if piece == "torch.Torch":
        name = str(node["name"])
        settings |= {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in node["settings"].items()
            if value is not None
        }
    elif piece in ours:
        name = ours[piece]
        if name == "Adam":
            settings["betas"] = (settings.pop("beta1"), settings.pop("beta2"))
    else:
        raise StudyError(f"the optimizer {node['_target_']} is not torch.optim's")
    arguments = ", ".join(f"{key}={value}" for key, value in settings.items())
    trained = "[weight for weight in net.parameters() if weight.requires_grad]"
    if node.get("decay_biases", True):
        return [f"optimizer = torch.optim.{name}({trained}, {arguments})"]
    return [
        "named = [each for each in net.named_parameters() if each[1].requires_grad]",
        "groups = [",
        '    {"params": [weight for name, weight in named if "bias" not in name]},',
        '    {"params": [weight for name, weight in named if "bias" in name], "weight_decay": 0},',
        "]",
        f"optimizer = torch.optim.{name}(groups, {arguments})",
    ]


def gradients(loss: str, accumulate: int) -> list[str]:
    if accumulate == 1:
        return ["x, y = next(data)", f"loss = {loss}", "loss.backward()"]
    return [
        f"for _ in range({accumulate}):  # the gradients of so many batches are averaged",
        "    x, y = next(data)",
        f"    loss = {loss}",
        f"    (loss / {accumulate}).backward()",
    ]


def scheduler(config: Mapping[str, Any]) -> list[str]:
    """The scheduler, as torch counts: one step per update."""
    node, updates = config.get("schedule"), int(config["updates"])
    if not node:
        return []
    piece = str(node["_target_"]).removeprefix("study.schedules.")
    make, rate = "scheduler = torch.optim.lr_scheduler", config["optimizer"]["lr"]
    if piece == "step.Step":
        every = max(1, in_updates(node["every"], updates))
        return [f"{make}.StepLR(optimizer, {every}, {node['gamma']})"]
    if piece == "exponential.Exponential":
        return [f"{make}.ExponentialLR(optimizer, {node['end']} ** (1 / {updates}))"]
    if piece == "warmup_cosine.WarmupCosine":
        start, end, warmup = node["start"], node["end"], in_updates(node["warmup"], updates)
        turn = f"math.pi * (update - {warmup}) / {updates - warmup}"
        return [
            "def factor(update):  # of the learning rate",
            f"    if update < {warmup}:",
            f"        return {start} + (1 - {start}) * update / {max(warmup, 1)}",
            f"    return {end} + (1 - {end}) * (1 + math.cos({turn})) / 2",
            f"{make}.LambdaLR(optimizer, factor)",
        ]
    if piece == "one_cycle.OneCycle" and node["start"] > 0 and node["end"] > 0:
        warmup = in_updates(node["warmup"], updates)
        return [
            f"{make}.OneCycleLR(",
            f"    optimizer, {rate}, {updates}, pct_start={warmup / updates},",
            "    cycle_momentum=False,  # momentum stays",
            f"    div_factor=1 / {node['start']},",
            f"    final_div_factor={node['start']} / {node['end']},",
            ")",
        ]
    raise StudyError(
        f"{node['_target_']} is a schedule that the snippet cannot write: it follows validations,"
        " is not this tool's, or starts or ends at 0 where torch's cannot"
    )


def averaged(config: Mapping[str, Any], updates: int) -> list[str]:
    """The averaged weights, and what an update does for them."""
    node = config.get("average")
    if not node:
        return []
    start = max(1, in_updates(node["start"], updates))
    swa, rule = "torch.optim.swa_utils", f"get_ema_multi_avg_fn({node['decay']})"
    return [
        f"averaged = {swa}.AveragedModel(net, multi_avg_fn={swa}.{rule})",
        f"if update + 1 >= {start}:",
        "    averaged.update_parameters(net)  # averaged.module is what the study scores",
    ]


def in_updates(length: float, updates: int) -> int:
    """As study.interfaces.in_updates."""
    return round(length * updates) if length < 1 else int(length)


def clipping(node: Mapping[str, Any]) -> list[str]:
    name = str(node["_target_"]).removeprefix("study.clipping.")
    known = {
        "none.NoClip": [],
        "norm.Norm": [f"nn.utils.clip_grad_norm_(net.parameters(), {node.get('threshold')})"],
        "value.Value": [f"nn.utils.clip_grad_value_(net.parameters(), {node.get('threshold')})"],
    }
    if name not in known:
        raise StudyError(f"the clip rule {node['_target_']} is not torch.nn.utils'")
    return known[name]
