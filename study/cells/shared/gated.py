"""The tensors of cells whose gates are all W [h_{t-1}, x_t] + b."""

from __future__ import annotations

from study.interfaces import Parameter


def gate_parameters(
    gates: tuple[str, ...], inputs: int, hidden: int
) -> tuple[Parameter, Parameter, Parameter]:
    """weight_x, weight_h and bias, a block for each gate."""
    return (
        Parameter("weight_x", "input", gates, (hidden, inputs)),
        Parameter("weight_h", "recurrent", gates, (hidden, hidden)),
        Parameter("bias", "bias", gates, (hidden,)),
    )
