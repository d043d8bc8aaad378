"""An exported recurrent network: needs torch, numpy and safetensors, and nothing else of where it
was trained.

net = load(folder)
predict(net, data)     # answers in the task's own units, for data as the task had them
outputs(net, x)        # the network alone: arrays [N, T, D], scaled as in training
python model.py FILE   # answers as CSV
"""

import csv
import datetime
import importlib
import importlib.util
import json
import math
import re
import sys
import warnings
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

# --- the network ----------------------------------------------------------------------------------


class StepByStep(nn.Module):
    """Recurrent layers that torch.nn lacks: subclasses define one step of one layer."""

    gates = 1

    def __init__(self, input_size, hidden_size, num_layers, dropout):
        super().__init__()
        self.hidden_size, self.num_layers, self.dropout = (
            hidden_size,
            num_layers,
            nn.Dropout(dropout),
        )
        for layer in range(num_layers):
            bound, rows = hidden_size**-0.5, self.gates * hidden_size
            shapes = {
                "weight_ih": (rows, hidden_size if layer else input_size),
                "weight_hh": (rows, hidden_size),
                "bias": (rows,),
            }
            for name, shape in shapes.items():
                self.register_parameter(
                    f"{name}_l{layer}", nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
                )

    def step(self, x, h, U):
        """The next state [B, H] from W x + b, the state h and the recurrent weights U."""
        raise NotImplementedError

    def forward(self, x):
        """x [B, T, D] -> outputs [B, T, H], last states [layers, B, H]."""
        last = []
        for layer in range(self.num_layers):
            x = self.dropout(x) if layer else x
            W, U, b = (
                getattr(self, f"{name}_l{layer}") for name in ("weight_ih", "weight_hh", "bias")
            )
            h, states = x.new_zeros(x.shape[0], self.hidden_size), []
            for x_t in (x @ W.T + b).unbind(1):
                h = self.step(x_t, h, U)
                states.append(h)
            x = torch.stack(states, 1)
            last.append(h)
        return x, torch.stack(last)


class GRUResetBefore(StepByStep):
    """r,z = σ(W [h, x] + b), n = tanh(W [r⊙h, x] + b), h ← (1-z)⊙h + z⊙n (Cho 2014): torch.nn.GRU
    resets after the product.
    """

    gates = 3

    def step(self, x, h, U):
        H = self.hidden_size
        r, z = torch.sigmoid(x[:, : 2 * H] + h @ U[: 2 * H].T).chunk(2, 1)
        n = torch.tanh(x[:, 2 * H :] + (r * h) @ U[2 * H :].T)
        return h + z * (n - h)


class LinearRNN(StepByStep):
    """h ← W_h h + W_x x + b (Henaff 2016)."""

    def step(self, x, h, U):
        return x + h @ U.T


class Antisymmetric(StepByStep):
    """h ← h + ε tanh((M - Mᵀ - γI) h + W_x x + b) (Chang 2019)."""

    def __init__(self, *sizes, step_length, damping):
        super().__init__(*sizes)
        self.step_length, self.damping = step_length, damping

    def step(self, x, h, U):
        return h + self.step_length * torch.tanh(x + h @ (U.T - U) - self.damping * h)


def weights_of(shapes):
    return nn.ParameterDict({one.name: nn.Parameter(torch.zeros(one.shape)) for one in shapes})


def single(weights):
    """As of a group of one network."""
    return {name: value[None] for name, value in weights.items()}


class Layers(nn.Module):
    """Layers of a cell that torch.nn lacks, each in its block if there is one (None: none).

    Both are as in pieces.py, which computes several networks at once: here one, [1, T, B, ·].
    """

    def __init__(self, cell, block, inputs, hidden, layers, dropout):
        super().__init__()
        self.cell, self.block, self.hidden = cell, block, hidden
        self.dropout, read = nn.Dropout(dropout), inputs if block is None else hidden
        of_cells = [cell.shapes(hidden if layer else read, hidden) for layer in range(layers)]
        self.cells = nn.ModuleList(weights_of(shapes) for shapes in of_cells)
        if block is not None:
            self.embed = nn.Parameter(torch.zeros(hidden, inputs))
            self.blocks = nn.ModuleList(weights_of(block.shapes(hidden)) for _ in of_cells)

    def forward(self, x):
        """x [B, T, D] -> outputs [B, T, H], None."""
        x = x.transpose(0, 1)[None]
        x = x if self.block is None else x @ self.embed.T
        for layer, cell in enumerate(self.cells):
            x = self.dropout(x) if layer else x
            if self.block is None:
                x = self.unrolled(cell, x)
            else:
                around = single(self.blocks[layer])
                h = self.unrolled(cell, self.block.before(around, x))
                x = self.block.after(around, x, h)
        return x[0].transpose(0, 1), None

    def unrolled(self, weights, x):
        """x [1, T, B, D] -> the states h [1, T, B, H]."""
        params = single(weights)
        state = tuple(x.new_zeros(1, x.shape[2], width) for width in self.cell.widths(self.hidden))
        found = []
        for x_t in self.cell.project(params, x).unbind(1):
            state = self.cell.step(params, x_t, state)
            found.append(state[0])
        return torch.stack(found, 1)


def built(module, node, dtype):
    """An object of a class of pieces.py; what may differ between networks is there a tensor [1]."""
    kind = getattr(module, node["_target_"].rpartition(".")[2])
    settings = {key: value for key, value in node.items() if key != "_target_"}
    marks = getattr(kind.__init__, "__annotations__", {})
    varying = {key: value for key, value in settings.items() if marks.get(key) == "PerMember"}
    tensors = {key: torch.tensor([float(value)], dtype=dtype) for key, value in varying.items()}
    return kind(**settings | tensors)


class ConvEncoder(nn.Module):
    """Filters, maxima over disjoint windows and ReLU of the image in the first rows · columns
    inputs of each step; the other inputs pass unchanged.
    """

    def __init__(self, *, rows, columns, filters, side, pool):
        super().__init__()
        self.image, self.pool = (rows, columns), pool
        self.conv = nn.Conv2d(1, filters, side)
        places = [(size + 1 - side) // pool for size in self.image]
        self.more = filters * math.prod(places) - rows * columns

    def forward(self, x):
        """x [B, T, D] -> [B, T, D + self.more]."""
        pixels = math.prod(self.image)
        found = self.conv(x[..., :pixels].reshape(-1, 1, *self.image))
        found = nn.functional.max_pool2d(found, self.pool).relu().permute(0, 2, 3, 1)
        return torch.cat([found.reshape(*x.shape[:2], -1), x[..., pixels:]], -1)


class GraphEncoder(nn.Module):
    """y_f = Σ_k θ_{f,k} P^k x over the nodes of a graph without directions; P averages over the
    neighbours of each node (Li 2018). `edges`: [node, node] or [node, node, weight].
    """

    def __init__(self, *, nodes, edges, hops, filters):
        super().__init__()
        self.hops, self.more = hops, nodes * (filters - 1)
        walk = torch.zeros(nodes, nodes, dtype=torch.float64)
        for one, other, *weight in edges:
            walk[one, other] = walk[other, one] = weight[0] if weight else 1.0
        walk = walk / walk.sum(1, keepdim=True).clamp(min=1e-300)
        self.register_buffer("walk", walk, persistent=False)
        self.filters = nn.Linear(hops + 1, filters, bias=False)

    def forward(self, x):
        """x [B, T, D] -> [B, T, D + self.more]."""
        diffused = [x]
        for _ in range(self.hops):
            diffused.append(diffused[-1] @ self.walk.T.to(x))
        return self.filters(torch.stack(diffused, -1)).flatten(2)


class Net(nn.Module):
    """The recurrent layers under the name of their kind (rnn, lstm, gru, …; layers, if they are
    made of `pieces`, the module pieces.py), and the readout fc.

    readout: last (valid step), every (step), mean or attention (over the valid steps).
    """

    def __init__(
        self,
        *,
        cell,
        settings,
        encoder,
        readout,
        inputs,
        hidden,
        layers,
        outputs,
        dropout,
        block=None,
        pieces=None,
        dtype=torch.float32,
    ):
        super().__init__()
        self.kind = "layers" if pieces else cell.split("_")[0]
        self.readout, self.inputs = readout, inputs
        if encoder:
            encoded = GraphEncoder if "edges" in encoder else ConvEncoder
            self.encoder = encoded(**encoder)
            inputs += self.encoder.more
        plain = {"gru": GRUResetBefore, "linear": LinearRNN, "antisymmetric": Antisymmetric}
        if pieces:
            around = built(pieces, block, dtype) if block else None
            inside = built(pieces, {"_target_": cell, **settings}, dtype)
            recurrent = Layers(inside, around, inputs, hidden, layers, dropout)
        elif cell in plain:
            recurrent = plain[cell](inputs, hidden, layers, dropout, **settings)
        else:
            kind = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru_reset_after": nn.GRU}[cell]
            recurrent = kind(inputs, hidden, layers, batch_first=True, dropout=dropout, **settings)
        setattr(self, self.kind, recurrent)
        if readout == "attention":
            self.attend, self.score = nn.Linear(hidden, hidden), nn.Linear(hidden, 1, bias=False)
        self.fc = nn.Linear(hidden, outputs)

    def forward(self, x, lengths=None):
        """x [B, T, D], lengths [B] -> [B, outputs], or [B, T, outputs] with readout every."""
        h, _ = getattr(self, self.kind)(self.encoder(x) if hasattr(self, "encoder") else x)
        if self.readout == "every":
            return self.fc(h)
        if lengths is None:
            lengths = torch.full((len(h),), h.shape[1])
        if self.readout == "last":
            return self.fc(h[torch.arange(len(h)), lengths - 1])
        padding = (torch.arange(h.shape[1]) >= lengths[:, None])[..., None]
        if self.readout == "mean":
            return self.fc(h.masked_fill(padding, 0.0).sum(1) / lengths[:, None])
        scores = self.score(torch.tanh(self.attend(h))).masked_fill(padding, -torch.inf)
        return self.fc((torch.softmax(scores, 1) * h).sum(1))

    def load_weights(self, weights):
        self.load_state_dict(weights, strict=True)


class Own(nn.Module):
    """A class of the author's own, `of`, called as in training. Its file is not part of an export:
    ImportError if it is not on Python's path.
    """

    def __init__(
        self, *, target, arguments, symbols, time_first, lengths, readout, inputs, outputs
    ):
        super().__init__()
        module, _, name = target.rpartition(".")
        try:
            kind = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise ImportError(
                f"the class of this network, {target}, cannot be imported ({error}); put the folder"
                " of its file on Python's path"
            ) from error
        self.of, self.inputs, self.readout = kind(**arguments), inputs, readout
        self.symbols, self.time_first, self.takes_lengths = symbols, time_first, lengths

    def forward(self, x, lengths=None):
        """x [B, T, D] -> [B, outputs], or [B, T, outputs] with readout every."""
        read = x.argmax(-1) if self.symbols else x
        read = read.transpose(0, 1) if self.time_first else read
        if self.takes_lengths:
            every = torch.full((len(x),), x.shape[1])
            found = self.of(read, lengths=every if lengths is None else lengths)
        else:
            found = self.of(read)
        found = found[0] if isinstance(found, tuple | list) else found
        return found.transpose(0, 1) if self.time_first and self.readout == "every" else found

    def load_weights(self, weights):
        """Those of the export; what it lacks is the same in every network that is built."""
        trained = {name for name, each in self.of.named_parameters() if each.requires_grad}
        lacking, unknown = self.of.load_state_dict(weights, strict=False)
        if unknown or set(lacking) & trained:
            wrong = ", ".join([*unknown, *sorted(set(lacking) & trained)])
            raise ValueError(f"the weights do not fit the class as it is now: {wrong}")


def load(folder, pieces=None):
    """The network of an exported folder, ready to predict; net.config is its config.json.

    `pieces`: the module of its pieces.py, if it has one; None: read from there.
    """
    folder = Path(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    weights, dtype = load_file(folder / "model.safetensors"), getattr(torch, config["dtype"])
    more = {}
    if config.get("pieces"):
        more = {"pieces": pieces or _module(folder / config["pieces"]), "dtype": dtype}
    net = (Own if "target" in config["model"] else Net)(**config["model"], **more).to(dtype)
    net.load_weights(weights)
    net.config = config
    return net.eval()


def _module(path):
    """The module beside this one: code of the export, as this file is."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # dataclasses look for it there
    spec.loader.exec_module(module)
    return module


def outputs(net, x, lengths=None, batch=256):
    """The network's outputs for x [N, T, D]; `lengths` [N] where they are padded at the end."""
    dtype = next(net.parameters()).dtype
    parts = []
    with torch.no_grad():
        for start in range(0, len(x), batch):
            part = torch.as_tensor(np.asarray(x[start : start + batch]), dtype=dtype)
            own = (
                None
                if lengths is None
                else torch.as_tensor(np.asarray(lengths[start : start + batch]), dtype=torch.long)
            )
            parts.append(net(part, own).numpy())
    return np.concatenate(parts)


# --- from data to answers -------------------------------------------------------------------------


def predict(net, data, lengths=None):
    """Answers in the task's own units: class names, or numbers.

    One per sequence, [N] or [N, outputs]; if the network answers at every step, a list of one such
    array per sequence. `data`, where the task's input (net.config["input"]) is

    - numbers: arrays [N, T, D], [N, T] if D is 1, or a list of arrays [T, D] of different lengths;
      `lengths` [N] where sequences are padded at the end. With columns also a table (a mapping of
      columns, a list of rows, a pandas DataFrame), read by the names of its columns. Where the
      network reads what is known ahead (net.config["input"]["later"]), the rows to come follow
      those that are past, with an empty target.
    - image: arrays [N, side, side] or [N, side²] of raw pixels.
    - text: a str or a list of them.

    Or the path of such a file: .npy, .npz with x and lengths, .csv, .parquet, .ts, a text.
    ValueError says what is wrong with the data, and a warning what is unusual about them.
    """
    x, lengths, _, last = prepare(net, data, lengths)
    return answers(net.config, outputs(net, x, lengths), lengths, last)


def prepare(net, data, lengths=None):
    """What the network reads: x [N, T, D] padded with 0, lengths [N], (name of the sequences' key,
    keys), and what is to be added to the answers (None: nothing).
    """
    answer = net.config["output"]
    targets = answer.get("names") or [answer[key] for key in ("name",) if key in answer]
    spec = net.config["input"] | {"targets": targets, "ahead": answer.get("ahead")}
    kind = {"numbers": _numbers, "image": _images, "text": _texts}[spec["kind"]]
    x, lengths, keys, last = kind(spec, net.inputs, data, lengths)
    if x.shape[2] != net.inputs:
        raise ValueError(f"data: need {net.inputs} inputs per step, got {x.shape[2]}")
    return x, lengths, keys, last


def answers(config, values, lengths, last=None):
    """Answers from the network's outputs [N, O] or [N, T, O]; see predict."""
    spec, every = config["output"], config["model"]["readout"] == "every"
    if spec["kind"] == "classes":
        values = np.array(spec["classes"])[values.argmax(-1)]
    else:
        values = values * np.array(spec.get("deviation", 1.0)) + np.array(spec.get("mean", 0.0))
        if last is not None:
            values = values + last[:, None]
        if values.shape[-1] == 1:
            values = values[..., 0]
    return (
        [value[:count] for value, count in zip(values, lengths, strict=True)] if every else values
    )


def table(net, data, lengths=None):
    """(names of the columns, rows) of the answers, with each class's probability; see predict."""
    x, lengths, (key, keys), last = prepare(net, data, lengths)
    found, spec = outputs(net, x, lengths), net.config["output"]
    every, classes = net.config["model"]["readout"] == "every", spec["kind"] == "classes"
    values = answers(net.config, found, lengths, last)
    header = [key, *(["step"] if every else []), *(["rows_ahead"] if "ahead" in spec else [])]
    header += _answer_columns(spec, found.shape[-1]) + (["probability"] if classes else [])
    chance = torch.softmax(torch.as_tensor(found, dtype=torch.float64), -1).amax(-1).numpy()
    rows = []
    for number, own in enumerate(keys):
        steps = values[number] if every else [values[number]]
        for step, value in enumerate(steps):
            row = [own, *([step] if every else []), *([spec["ahead"]] if "ahead" in spec else [])]
            if classes:
                at = chance[number, step] if every else chance[number]
                row += [value, f"{at:.4g}"]
            else:
                row += [f"{each:.10g}" for each in np.atleast_1d(value)]
            rows.append(row)
    return header, rows


def _answer_columns(spec, count):
    """Names of the columns of answers, from `count` outputs."""
    if spec["kind"] == "classes":
        return [spec.get("name", "class")]
    quantiles, names = spec.get("quantiles", ()), spec.get("names")
    if names:
        return [f"{name}_{mark:g}" for name in names for mark in quantiles] or list(names)
    name = spec.get("name", "output")
    marks = quantiles if len(quantiles) == count else range(count)
    return [f"{name}_{mark:g}" for mark in marks] if count > 1 else [name]


# --- numbers: arrays and tables -------------------------------------------------------------------
#
# Keys of such an input, all but `steps` optional.
#
# steps: those of the task's sequences; varying: they had up to that many
# mean, deviation: one each per channel: x = (raw - mean) / deviation
# columns: names of the channels in order, or of the steps if layout is row
# layout: how sequences stand in a table: row (each row is one; if varying, up to its last value),
#   series (rows with the same value in column `series`), window (the last `steps` rows)
# time: the column that orders rows
# levels: {channel: [column, text]}: 1 where the column holds the text, else 0
# elapsed: the channel that is the time since the row before; dates in seconds
# later: {channel: another one}: its value `ahead` rows later, known before it comes
# missing: forward fills gaps with the value of the step before, mean with `fill`, {channel: number}
# units: {column: what stands beside its numbers in text}, such as %
# encoding: of a text file
# archive: the task read files of the UCR and UEA archives
# differences: x are changes from row to row
# relative: the last row of the window is subtracted, and added to the answer
# marks: separator, decimal and thousands of a file, where they are not found by themselves
# resample: the span over whose rows the task took means
#
# Keys of the output. mean, deviation: answer = output · deviation + mean. name: what is predicted,
# or names; ahead: that many rows after the window. classes: in the order of the outputs.
# quantiles: of each target, side by side, each an output of its own; they may cross


def _numbers(spec, inputs, data, lengths):
    """See prepare."""
    data, lengths, first = _opened(data, lengths, spec)
    if hasattr(data, "columns") or isinstance(data, Mapping) or _is_rows(data):
        sequences, keys = _from_table(spec, inputs, _columns(data), first)
    else:
        sequences = _from_array(inputs, data, lengths)
        keys = ("sequence", list(range(len(sequences))))
    for key, sequence in zip(keys[1], sequences, strict=True):
        if not np.isfinite(sequence).all():
            raise ValueError(f"data: {keys[0]} {key} holds values that are missing or not finite")
        _check_steps(spec, f"{keys[0]} {key}", len(sequence))
    last = None
    if spec.get("differences"):
        sequences = [np.diff(sequence, axis=0) for sequence in sequences]
    if spec.get("relative"):
        last = np.array([sequence[-1, -1] for sequence in sequences])
        sequences = [sequence - sequence[-1] for sequence in sequences]
    if "mean" in spec:
        mean, deviation = np.array(spec["mean"]), np.array(spec["deviation"])
        sequences = [
            ((sequence - mean) / deviation).astype(np.float32).astype(float)
            for sequence in sequences
        ]
    return *_padded(sequences), keys, last


def _check_steps(spec, name, count):
    """ValueError or a warning if a sequence is not as long as those of the task."""
    steps = spec["steps"] + bool(spec.get("differences"))
    fixed = spec.get("layout") in ("row", "window") and not spec.get("varying")
    if fixed and count != steps:
        raise ValueError(f"data: {name} has {count} steps, and the task's sequences have {steps}")
    if count < 1:
        raise ValueError(f"data: {name} has no steps")
    if count > steps or (count < steps and not spec.get("varying")):
        warnings.warn(
            f"sequences of {count} steps, and the network was trained on"
            f" {'at most ' if spec.get('varying') else ''}{steps}",
            stacklevel=2,
        )


def _padded(sequences):
    """x [N, T, D] and lengths [N]."""
    if not sequences:
        raise ValueError("data: hold no sequence")
    lengths = np.array([len(sequence) for sequence in sequences])
    x = np.zeros((len(sequences), lengths.max(), sequences[0].shape[1]))
    for row, sequence in zip(x, sequences, strict=True):
        row[: len(sequence)] = sequence
    return x, lengths


def _from_array(inputs, data, lengths):
    """One [T, D] per sequence."""
    if isinstance(data, list | tuple) and len({len(np.atleast_1d(each)) for each in data}) > 1:
        if lengths is not None:
            raise ValueError("lengths: are those of the arrays in the list; leave them out")
        return [_from_array(inputs, np.asarray(each)[None], None)[0] for each in data]
    try:
        array = np.asarray(data, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"data: hold what is no number ({error})") from error
    if array.ndim == 1 and inputs == 1:
        array = array[None, :, None]
    elif array.ndim == 2:
        array = array[..., None] if inputs == 1 else array[None]
    if array.ndim != 3 or array.shape[2] != inputs:
        raise ValueError(
            f"data: must be [N, T, {inputs}]{' or [N, T]' if inputs == 1 else ''}, got"
            f" {list(np.shape(data))}"
        )
    if lengths is None:
        return list(array)
    lengths = np.asarray(lengths)
    if (
        lengths.shape != (len(array),)
        or not np.issubdtype(lengths.dtype, np.integer)
        or (len(lengths) and not (lengths.min() >= 1 and lengths.max() <= array.shape[1]))
    ):
        raise ValueError(
            f"lengths: one whole number a sequence, from 1 to {array.shape[1]}, got {lengths!r}"
        )
    return [sequence[:length] for sequence, length in zip(array, lengths, strict=True)]


def _is_rows(data):
    return isinstance(data, list | tuple) and bool(data) and isinstance(data[0], Mapping)


def _columns(data):
    """{name: values} of a mapping of columns or of one row, of a list of rows, of a DataFrame."""
    if _is_rows(data):
        for number, row in enumerate(data):
            if set(row) != set(data[0]):
                raise ValueError(
                    f"data: row {number} has columns {', '.join(map(str, row))}, the first one"
                    f" {', '.join(map(str, data[0]))}"
                )
        return {str(name): [row[name] for row in data] for name in data[0]}
    names = list(data.columns) if hasattr(data, "columns") else list(data)
    single = (str, int, float, np.generic, type(None))
    found = {
        str(name): [data[name]] if isinstance(data[name], single) else list(data[name])
        for name in names
    }
    if len({len(values) for values in found.values()}) > 1:
        raise ValueError("data: the columns have different numbers of rows")
    return found


def _from_table(spec, inputs, columns, first):
    """(one [T, D] per sequence, (name of the key, keys)); `first`: number of the first row."""
    layout, names = spec.get("layout"), spec.get("columns") or []
    by = spec.get("series") if layout else "sequence" if "sequence" in columns else None
    time = spec.get("time")
    if layout is None and by is None:
        matrix = _matrix(spec, columns, list(columns), first)
        if matrix.shape[1] % inputs:
            raise ValueError(
                f"data: without a column sequence each row is a sequence of steps · {inputs}"
                f" numbers, got {matrix.shape[1]} columns"
            )
        return list(matrix.reshape(len(matrix), -1, inputs)), ("sequence", list(range(len(matrix))))
    names = names or [name for name in columns if name != by]
    if layout != "row" and len(names) != inputs:
        raise ValueError(
            f"data: need a column {by} and {inputs} more, got {', '.join(map(str, columns))}"
        )
    _check_columns(spec, names, by, time, columns)
    if layout == "row":
        matrix = _matrix(spec, columns, names, first)
        sequences = [
            _filled(spec, row[: _last(row, spec), None], names, along=True) for row in matrix
        ]
        return sequences, ("row", [first + row for row in range(len(matrix))])
    moments = (
        None if time is None else _moments(columns[time], time, first, spec.get("date_format"))
    )
    own = [name for name in names if name != spec.get("elapsed") and name not in _later(spec)]
    matrix = _matrix(spec, columns, own, first)
    groups = defaultdict(list)
    for row in range(len(matrix)):
        groups["" if by is None else columns[by][row]].append(row)
    sequences = []
    for key, rows in groups.items():
        if moments is not None:
            rows = [rows[place] for place in np.argsort(moments[rows], kind="stable")]
        name = f"{by} {key}" if by else "the table"
        past = _past(spec, own, matrix[rows], name) if _later(spec) else len(rows)
        sequence = np.concatenate([_filled(spec, matrix[rows[:past]], own), matrix[rows[past:]]])
        there = list(own)
        if spec.get("elapsed") and moments is not None:
            since = np.diff(moments[rows], prepend=moments[rows[0]])
            there.insert(len(own) - sum(name in own for name in spec["targets"]), spec["elapsed"])
            sequence = np.insert(sequence, there.index(spec["elapsed"]), since, axis=1)
        if _later(spec):
            lines = [first + row for row in rows]
            sequence = _with_later(spec, there, names, sequence, past, lines)
        if layout == "window":
            steps = spec["steps"] + bool(spec.get("differences"))
            least = steps + bool(spec.get("elapsed"))  # the first row has a row before it
            if len(sequence) < least:
                raise ValueError(
                    f"data: {name} has {len(sequence)} rows, fewer than the {least} that a"
                    f" {'forecast' if spec['ahead'] else 'window'} reads"
                )
            sequence = sequence[-steps:]
        sequences.append(sequence)
    return sequences, (by or "sequence", list(groups) if by else [0])


def _later(spec):
    """{channel: the one that it holds later values of}."""
    return spec.get("later") or {}


def _past(spec, own, values, name):
    """How many of a series' rows are past: behind the last value of a target they are to come."""
    targets = values[:, -len(spec["targets"]) :]
    known = np.flatnonzero(~np.isnan(targets).all(1))
    past = int(known[-1]) + 1 if len(known) else 0
    if len(values) - past < spec["ahead"]:
        columns = dict.fromkeys(_column(spec, channel) for channel in _later(spec).values())
        raise ValueError(
            f"data: {name} has {len(values) - past} rows behind its last value of"
            f" {', '.join(spec['targets'])}; the forecast needs the {spec['ahead']} rows to come"
            f" as well, with {', '.join(columns)}, and the target empty"
        )
    return past


def _with_later(spec, there, names, values, past, lines):
    """The past rows [past, channels], with what is known of rows to come; `lines`: their numbers
    in the file."""
    end = past + spec["ahead"]
    found = dict(zip(there, values[:past].T, strict=True))
    for name, channel in _later(spec).items():
        later = values[:, there.index(channel)][spec["ahead"] : end]
        missing = np.flatnonzero(np.isnan(values[past:end, there.index(channel)]))
        if len(missing):
            raise ValueError(
                f"data: column {_column(spec, channel)}, row {lines[past + missing[0]]}: is"
                f" missing; the forecast needs it in the {spec['ahead']} rows to come"
            )
        found[name] = later
    return np.column_stack([found[name] for name in names])


def _column(spec, channel):
    """The column that a channel holds, or a level of which."""
    return spec.get("levels", {}).get(channel, (channel, None))[0]


def _check_columns(spec, names, by, time, columns):
    """ValueError if the table lacks a column, a warning on what is not read."""
    read = [_column(spec, name) for name in names if name not in _later(spec)]
    read = [name for name in [*read, by, time] if name not in (None, spec.get("elapsed"))]
    lacking = [name for name in dict.fromkeys(read) if name not in columns]
    if lacking:
        raise ValueError(
            f"data: the table has no column {', '.join(lacking)}; the network reads"
            f" {', '.join(dict.fromkeys(read))}, and the table has {', '.join(columns) or 'none'}"
        )
    extra = [name for name in columns if name not in (*read, *spec["targets"])]
    if extra:
        warnings.warn(f"columns that the network does not read: {', '.join(extra)}", stacklevel=2)
    if spec.get("resample"):
        warnings.warn(
            f"the network reads means over {spec['resample']}; rows are read as they are",
            stacklevel=2,
        )


def _last(row, spec):
    """The steps of a row: up to its last value, if sequences have different lengths."""
    known = np.flatnonzero(~np.isnan(row))
    return known[-1] + 1 if spec.get("varying") and len(known) else len(row)


def _matrix(spec, columns, names, first):
    """[rows, channels] of numbers; NaN where there is none."""
    found = np.empty((len(next(iter(columns.values()), [])), len(names)))
    marks, unknown = spec.get("marks", {}), {}
    units = spec.get("units", {})
    for place, name in enumerate(names):
        column, level = spec.get("levels", {}).get(name, (name, None))
        known = [text for other, text in spec.get("levels", {}).values() if other == column]
        for row, value in enumerate(columns[column]):
            try:
                if level is None:
                    found[row, place] = _number(value, marks, units.get(column, ""))
                    continue
            except (TypeError, ValueError) as error:
                why = str(error) if isinstance(error, Misread) else "is no number"
                raise ValueError(
                    f"data: column {name}, row {first + row}: {value!r} {why}"
                ) from error
            text = "" if value is None or value != value else str(value).strip()
            found[row, place] = text == level if text else math.nan
            if text and text not in known:
                unknown[text] = column
    if unknown:
        shown = ", ".join(f"{text!r} of {column}" for text, column in unknown.items())
        warnings.warn(f"levels that the network does not know: {shown}", stacklevel=2)
    return found


# Cells of a number column that hold no number, in lower case.
MISSING = frozenset(
    {"", "na", "n/a", "#n/a", "#n/a n/a", "#na", "nan", "-nan", "<na>", "null", "none", "nat"}
    | {"\\n", "(null)", "[null]", "nil"}
    | {"#div/0!", "#value!", "#ref!", "#num!", "#name?", "#null!"}
)
WORDS = dict.fromkeys(("true", "yes", "y", "t", "on"), 1.0)
WORDS |= dict.fromkeys(("false", "no", "n", "f", "off"), 0.0)
CURRENCY = "$€£¥₹"
CELL = re.compile(
    rf"([+-]?)\s*([{CURRENCY}]?)\s*([+-]?)([\d.,' ]*\d[.,]?(?:e[+-]?\d+)?|inf(?:inity)?)"
    rf"\s*([%‰{CURRENCY}]?)",
    re.IGNORECASE,
)


class Misread(ValueError):
    """A cell that is no number of its column, and what to write instead."""


def _number(value, marks, unit):
    """The number in a cell, NaN if it holds none; `unit`: what stands beside it in text."""
    if not isinstance(value, str):
        return math.nan if str(value).casefold() in MISSING else float(value)
    text = value.strip().replace("−", "-").replace("’", "'")
    text = re.sub("[\u00a0\u2009\u202f]", " ", text)
    if text.casefold() in MISSING:
        return math.nan
    if unit == "true/false" or text.casefold() in ("true", "false"):
        return WORDS[text.casefold()] if text.casefold() in WORDS else float(text)
    found = CELL.fullmatch(text)
    if not found or (found[1] and found[3]) or (found[2] and found[5]):
        raise Misread("is no number")
    body, beside = found[4], found[2] or found[5]
    decimal, thousands = marks.get("decimal") or ".", marks.get("thousands") or ""
    if body[:3].lower() != "inf":
        group = re.escape(thousands)
        whole = rf"(\d+|[1-9]\d{{0,2}}({group}\d{{3}})+)" if thousands else r"\d+"
        point = re.escape(decimal)
        if not re.fullmatch(rf"({whole}({point}\d*)?|{point}\d+)([eE][+-]?\d+)?", body):
            grouped = f" and thousands as in 1{thousands}234" if thousands else ", 1234 as 1234"
            raise Misread(f"is no number; write one and a half as 1{decimal}5{grouped}")
        body = (body.replace(thousands, "") if thousands else body).replace(decimal, ".")
    if beside != unit:
        have, give = (f"no {unit!r}", f"with {unit!r}") if unit else (f"{beside!r}", "alone")
        raise Misread(f"has {have} beside it, unlike the data of training; give the number {give}")
    return -float(body) if "-" in (found[1], found[3]) else float(body)


def _filled(spec, steps, names, *, along=False):
    """Gaps [T, D] filled as the task did; `along`: the steps are the columns that are named."""
    if spec.get("missing") == "mean" and spec.get("fill"):
        means = np.array([spec["fill"][name] for name in names])
        return np.where(np.isnan(steps), means[: len(steps), None] if along else means, steps)
    if spec.get("missing") != "forward":
        return steps
    steps = steps.copy()
    for step in range(1, len(steps)):
        steps[step] = np.where(np.isnan(steps[step]), steps[step - 1], steps[step])
    return steps


def _moments(values, name, first, form=None):
    """[rows] of a column of numbers or dates, as 2024-01-31 or, in text, as `form`."""
    found = []
    for row, value in enumerate(values):
        try:
            if form is not None and isinstance(value, str):
                value = datetime.datetime.strptime(value.strip(), form)
            found.append(_time(value))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"data: column {name}, row {first + row}: {value!r} is neither a number nor a date"
                f" as {form or '2024-01-31'}"
            ) from error
    return np.array(found)


def _time(value):
    """A number as it is, a date in seconds since 1970; without a time zone, in UTC."""
    if isinstance(value, str):
        try:
            found = float(value)
        except ValueError:
            try:
                return _time(datetime.datetime.fromisoformat(value))
            except ValueError:  # a month
                found = np.datetime64(value, "s").astype(float)
    elif isinstance(value, datetime.date):
        if not isinstance(value, datetime.datetime):
            value = datetime.datetime(value.year, value.month, value.day)
        found = (value if value.tzinfo else value.replace(tzinfo=datetime.UTC)).timestamp()
    else:
        found = float(value)
    if not math.isfinite(found):
        raise ValueError(value)
    return found


def _opened(data, lengths, spec):
    """The content of a file, or the data themselves: (data, lengths, number of the first row)."""
    if not isinstance(data, str | Path):
        return data, lengths, 0
    path = Path(data)
    if path.suffix == ".npy":
        return _loaded(path), lengths, 0
    if path.suffix == ".npz":
        arrays = _loaded(path)
        if "x" not in arrays:
            raise ValueError(f"{path}: must hold x, and has {', '.join(arrays) or 'nothing'}")
        return arrays["x"], arrays.get("lengths", lengths), 0
    if path.suffix in (".parquet", ".pq"):
        return _read_parquet(path), lengths, 0
    if path.suffix == ".ts" and not spec.get("layout"):
        return _read_ts(path), lengths, 0
    if path.suffix == ".tsv" and spec.get("archive"):
        raise ValueError(
            f"{path}: lines of a .tsv of the archive begin with the target, which is not known of"
            " new data; give a .ts, .npy or .csv of the steps alone"
        )
    if path.suffix not in (".csv", ".tsv"):
        files = [".npy", ".npz", ".csv", ".tsv", ".parquet"] + [".ts"] * (not spec.get("layout"))
        raise ValueError(f"{path}: must end in {', '.join(files[:-1])} or {files[-1]}")
    return _read_csv(path, spec), lengths, 2


def _read_parquet(path):
    """{column: values}."""
    try:
        from pyarrow import ArrowInvalid, parquet
    except ImportError as error:
        raise ValueError(
            f"{path}: Parquet is read by pyarrow, which is not installed; save the table as .csv"
        ) from error
    try:
        with path.open("rb") as file:
            table = parquet.read_table(file)
    except ArrowInvalid as error:
        raise ValueError(f"{path}: not a Parquet file ({error})") from error
    names = [name for name in table.column_names if not name.startswith("__index_level_")]
    return {name: table.column(name).to_pylist() for name in names}


def _read_ts(path):
    """One [T, D] per case of a file of the UCR and UEA archives; its targets are not read."""
    header, found = {}, []
    for number, line in enumerate(
        path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), start=1
    ):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if "@data" not in header:
            key, *value = line.lower().split(maxsplit=1)
            header[key] = value[0] if value else ""
            continue
        if header.get("@timestamps", "false") != "false":
            raise ValueError(f"{path}: has time stamps, which are not read")
        channels = line.split(":")
        if any(header.get(key, "").startswith("true") for key in ("@classlabel", "@targetlabel")):
            channels = channels[:-1]
        try:
            steps = [
                [math.nan if each.strip() == "?" else float(each) for each in channel.split(",")]
                for channel in channels
            ]
        except ValueError as error:
            raise ValueError(f"{path}: line {number} is not numbers ({error})") from error
        if len({len(channel) for channel in steps}) != 1:
            raise ValueError(f"{path}: the channels of line {number} differ in length")
        found.append(np.array(steps).T)
    if not found:
        raise ValueError(f"{path}: holds no case behind a line @data")
    return found


def _loaded(path):
    try:
        found = np.load(path, allow_pickle=False)  # a pickle would run code
        return dict(found) if path.suffix == ".npz" else found
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: not a file of plain arrays ({error})") from error


def _read_csv(path, spec):
    """{column: values}; where a layout is known, the first row must be a header."""
    with path.open(newline="", encoding=spec.get("encoding") or "utf-8-sig") as file:
        try:
            line = file.readline()
            file.seek(0)
            mark = spec.get("marks", {}).get("separator") or max(",;\t", key=line.count)
            rows = [
                [cell.strip() for cell in row]
                for row in csv.reader(file, delimiter=mark, skipinitialspace=mark != "\t")
                if row
            ]
        except (UnicodeDecodeError, csv.Error) as error:
            encoding = spec.get("encoding") or "UTF-8"
            raise ValueError(f"{path}: not a table in {encoding} ({error})") from error
    if not rows:
        raise ValueError(f"{path}: is empty")
    if mark == ";" and "marks" not in spec:  # where numbers have a decimal comma
        rows = [[re.sub(r"^(-?\d+),(\d+)$", r"\1.\2", cell) for cell in row] for row in rows]
    if not spec.get("layout") and _are_numbers(rows[0]):
        rows = [[str(place) for place in range(len(rows[0]))], *rows]
    names, body = rows[0], rows[1:]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"{path}: column {twice[0]} stands in it twice")
    for number, row in enumerate(body, start=2):
        if len(row) != len(names):
            raise ValueError(f"{path}: row {number} has {len(row)} cells, the first {len(names)}")
    return {name: [row[at] for row in body] for at, name in enumerate(names)}


def _are_numbers(row):
    try:
        return bool([float(value) for value in row])
    except ValueError:
        return False


# --- images and texts -----------------------------------------------------------------------------


def _images(spec, inputs, data, lengths):
    """See prepare. side, pool, white: raw images have side² pixels from 0 to white, of which means
    over pool · pool become one; order: their permutation, if any.
    """
    side, pool, white = spec["side"], spec["pool"], spec["white"]
    data, _, _ = _opened(data, None, {})
    if isinstance(data, Mapping):
        data = _matrix({}, data, list(data), 2)
    try:
        images = np.asarray(data, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"data: hold what is no number ({error})") from error
    if images.shape in ((side, side), (side**2,)):
        images = images[None]
    if images.shape[1:] not in ((side, side), (side**2,)) or not len(images):
        raise ValueError(
            f"data: must be images [N, {side}, {side}] or [N, {side**2}], got {list(images.shape)}"
        )
    if not np.isfinite(images).all() or images.min() < 0 or images.max() > white:
        raise ValueError(f"data: pixels must be from 0 to {white}")
    if white > 1 and 0 < images.max() <= 1:
        raise ValueError(
            f"data: pixels are from 0 to {white}, and the largest is {images.max():g}; give images"
            " as they were, not scaled"
        )
    images = images.reshape(len(images), side, side)
    blocks = sum(
        images[:, row::pool, column::pool] for row in range(pool) for column in range(pool)
    )
    pixels = (blocks / np.float32(white * pool**2)).reshape(len(images), -1)
    if spec.get("order"):
        pixels = pixels[:, spec["order"]]
    x = pixels.reshape(len(images), spec["steps"], -1)
    return x, np.full(len(x), x.shape[1]), ("image", list(range(len(x)))), None


def _texts(spec, inputs, data, lengths):
    """See prepare. alphabet: characters with a symbol of their own; all others share one more."""
    if isinstance(data, Path):
        try:
            data = data.read_text(encoding=spec.get("encoding", "utf-8"))
        except UnicodeDecodeError as error:
            raise ValueError(f"{data}: not a text in {spec.get('encoding', 'utf-8')}") from error
    texts = [data] if isinstance(data, str) else list(data)
    if not texts or not all(isinstance(text, str) and text for text in texts):
        raise ValueError("data: must be a text of at least one character, or a list of texts")
    number = {symbol: place for place, symbol in enumerate(spec["alphabet"])}
    unknown = {symbol: None for text in texts for symbol in text if symbol not in number}
    if unknown:
        shown = ", ".join(repr(symbol) for symbol in list(unknown)[:5])
        warnings.warn(
            f"characters out of the alphabet, which share one symbol: {shown}"
            f"{' …' if len(unknown) > 5 else ''}",
            stacklevel=2,
        )
    lengths = np.array([len(text) for text in texts])
    x = np.zeros((len(texts), lengths.max(), len(number) + 1), np.float32)
    for row, text in zip(x, texts, strict=True):
        row[np.arange(len(text)), [number.get(symbol, len(number)) for symbol in text]] = 1.0
    return x, lengths, ("text", list(range(len(texts)))), None


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("python model.py FILE: a file of data as the task had them")
    try:
        names, lines = table(load(Path(__file__).parent), Path(sys.argv[1]))
    except (OSError, ValueError) as error:
        sys.exit(f"Error: {error}")
    csv.writer(sys.stdout, lineterminator="\n").writerows([names, *lines])
