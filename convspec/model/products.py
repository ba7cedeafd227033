"""Products with a weight matrix, as linear layers make them: 1 x 1 convolutions."""

from __future__ import annotations

from convspec.model.convolutions import Convolution
from convspec.model.event import Event
from convspec.operators.conv_arguments import ConvArguments

__all__ = ["multiplies", "read_product"]

# what the weights are called, and whether they are transposed
PRODUCTS = {
    "aten::addmm": ("mat2", True),
    "aten::mm": ("mat2", True),
    "aten::linear": ("weight", False),
    "aten::mkldnn_linear": ("weight", False),
}


def multiplies(event: Event) -> bool:
    """Whether an operation multiplies with a weight of the model."""
    name, _ = PRODUCTS.get(event.name, ("", False))
    plain = all(event.named.get(factor, 1) == 1 for factor in ("alpha", "beta"))
    return plain and name in event.tensors


def read_product(event: Event) -> Convolution:
    """The product as a convolution of a single pixel, of which each is multiplied."""
    name, transposed = PRODUCTS[event.name]
    weight = event.tensors[name]
    weight = weight.mT if transposed else weight
    bias = event.tensors.get("self" if event.name == "aten::addmm" else "bias")
    return Convolution(
        event.name,
        event.path,
        event.line,
        weight[..., None],
        bias,
        ConvArguments(stride=(1,), padding=((0, 0),), dilation=(1,), output_padding=(0,)),
        (1,),
    )
