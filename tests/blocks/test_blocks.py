"""Networks with a block around every layer, against torch's own layers put together by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from study.blocks.prenorm_residual import PrenormResidual
from study.cells.lstm import LSTM
from study.model import Model
from tests.support.helpers import PlainReadout

D, H, B, T = 2, 16, 32, 5


class Plain(nn.Module):
    """Embed, then twice: norm, LSTM, GELU, gated MLP, skip; the last step is read."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(D, H, bias=False)
        self.norms = nn.ModuleList(nn.LayerNorm(H) for _ in range(2))
        self.cells = nn.ModuleList(nn.LSTM(H, H, batch_first=True) for _ in range(2))
        self.mlps = nn.ModuleList(nn.Linear(H, 2 * H) for _ in range(2))
        self.read = nn.Linear(H, 3, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        x, read = self.embed(x), []
        for norm, cell, mlp in zip(self.norms, self.cells, self.mlps, strict=True):
            read.append(norm(x))
            h, _ = cell(read[-1])
            x = x + nn.functional.glu(mlp(nn.functional.gelu(h)), dim=-1)
        return self.read(x[:, -1]), read


@pytest.fixture(scope="module")
def both() -> tuple[Plain, Model, dict[str, Tensor]]:
    torch.manual_seed(0)
    plain = Plain().double()
    model = Model(
        cell=LSTM(),
        readout=PlainReadout(every_step=False),
        inputs=D,
        outputs=3,
        hidden=H,
        depth=2,
        dropout=0.0,
        kernel="native",
        block=PrenormResidual(small=1e-5),
    )
    for norm in plain.norms:
        nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    params = {"block.embed": plain.embed.weight, "readout.weight": plain.read.weight}
    for at, (norm, cell, mlp) in enumerate(zip(plain.norms, plain.cells, plain.mlps, strict=True)):
        of_cell, of_block = f"layer{at + 1}.", f"block{at + 1}."
        params |= {
            of_cell + "weight_x": cell.weight_ih_l0,
            of_cell + "weight_h": cell.weight_hh_l0,
            of_cell + "bias": cell.bias_ih_l0 + cell.bias_hh_l0,
            of_block + "gain": norm.weight - 1,
            of_block + "shift": norm.bias,
            of_block + "weight": mlp.weight,
            of_block + "bias": mlp.bias,
        }
    assert set(params) == set(model.parameters)
    leaves = {name: value.detach()[None].requires_grad_() for name, value in params.items()}
    return plain, model, leaves


def test_outputs_and_gradients_are_those_of_torchs_layers(both):
    plain, model, params = both
    x = torch.randn(B, T, D, dtype=torch.float64)
    due, _ = plain(x)
    found = model.forward(params, x[None], None)
    torch.testing.assert_close(found[0], due, rtol=1e-10, atol=1e-12)
    wanted = {"block.embed": plain.embed.weight, "block2.weight": plain.mlps[1].weight}
    wanted["layer1.weight_h"] = plain.cells[0].weight_hh_l0
    grads = torch.autograd.grad(due.square().sum(), list(wanted.values()))
    ours = torch.autograd.grad(found.square().sum(), [params[name] for name in wanted])
    for one, other in zip(ours, grads, strict=True):
        torch.testing.assert_close(one[0], other, rtol=1e-9, atol=1e-11)


def test_probes_see_what_each_cell_reads_and_the_same_outputs(both):
    plain, model, params = both
    x = torch.randn(B, T, D, dtype=torch.float64)
    due, read = plain(x)
    unrolled = model.unrolled(params, x[None].clone().requires_grad_(), None)
    torch.testing.assert_close(unrolled.outputs[0], due, rtol=1e-10, atol=1e-12)
    for one, other in zip(unrolled.read, read, strict=True):
        torch.testing.assert_close(one[0].transpose(0, 1), other, rtol=1e-10, atol=1e-12)
    stepped, layers = model.stepwise(params, x[None], None, [], [], taps=True)
    torch.testing.assert_close(stepped[0], due, rtol=1e-10, atol=1e-12)
    (derivatives,) = unrolled.derivatives(unrolled.outputs.square().sum((0, 2)), [0])
    tapped = torch.autograd.grad(stepped.square().sum(), [state[0] for state in layers[0].after])
    torch.testing.assert_close(derivatives["h"], torch.stack(tapped, 1), rtol=1e-9, atol=1e-11)
