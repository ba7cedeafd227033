"""The convolutions among the operations of an ONNX model, and its weighted products."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from convspec.errors import UnreadableModel
from convspec.files.onnx_arguments import (
    conv_arguments,
    require_geometry,
    transposed_arguments,
)
from convspec.files.onnx_constants import Constants
from convspec.files.onnx_program import Node
from convspec.files.onnx_shapes import Shape
from convspec.model.convolutions import Convolution
from convspec.operators.conv_arguments import ConvArguments

__all__ = ["convolves", "multiplies", "read_convolution", "read_product", "weight_name"]

OWN = ("Conv", "ConvTranspose")
# words in the names of operations that are no convolutions of an image
OTHERS = ("convert", "convgrad", "backward")


def convolves(node: Node) -> bool:
    """Whether an operation convolves, or claims to by its name."""
    name = node.op.lower()
    return "conv" in name and not any(word in name for word in OTHERS)


def weight_name(node: Node) -> str:
    """The value that an operation of :func:`convolves` has as its weight."""
    return node.input(3 if node.op == "QLinearConv" else 1)


def read_convolution(
    node: Node, constants: Constants, shapes: dict[str, Shape]
) -> Convolution:
    """A convolution as the file has it; without a weight if it cannot be read.

    Raises:
        UnreadableModel: If it is none that there can be.
    """
    conv = Convolution(node.operation, (), "", None, None, ConvArguments(), ())
    if not node.is_standard(*OWN):
        words = (
            f"a convolution must be ONNX's Conv or ConvTranspose; {node.operation} is "
            "another; give its weight and arguments to ConvOperator"
        )
        return replace(conv, unknown=words)
    transposed = node.op == "ConvTranspose"
    conv = replace(conv, given=replace(conv.given, transposed=transposed))
    weight = constants.tensor(node.input(1))
    if weight is None:
        return replace(conv, unknown=_no_weight(node, constants))
    if not weight.is_floating_point() or not 3 <= weight.ndim <= 5:
        raise UnreadableModel(
            f"the weight of {node.path or node.op} must be numbers of shape (channels, "
            f"channels / group, *kernel) with 1 to 3 axes; got {weight.dtype} of shape "
            f"{tuple(weight.shape)}; repair the file"
        )
    sizes = _sizes(node, weight, shapes)
    if sizes is None:
        words = (
            "its input must have a size; that of "
            f"{node.input(0)!r} does not follow from the file; give input_shape, or fix "
            "the sizes with onnx.tools.update_model_dims"
        )
        return replace(conv, unknown=words)
    kernel = tuple(weight.shape[2:])
    read = transposed_arguments if transposed else conv_arguments
    given = read(node, kernel, sizes)
    if given is None:
        words = (
            "its output must be no larger than what its kernel reaches; its output_shape "
            "is; pad behind it instead"
        )
        return replace(conv, unknown=words)
    require_geometry(node, weight.shape, sizes, given)
    conv = replace(conv, weight=weight, given=given, input_size=sizes)
    channels = given.groups * weight.shape[1] if transposed else weight.shape[0]
    return _with_bias(conv, node, constants, channels)


def _no_weight(node: Node, constants: Constants) -> str:
    """Why the weight is not known."""
    if not constants.source(node.input(1)):
        return (
            "its weight must be in the file; its weight is computed in the graph; give "
            "the weight to ConvOperator"
        )
    kind = constants.type_of(node.input(1))
    return (
        f"its weight must be of floating point, or dequantized as a whole; it is {kind}, "
        "read by what is not followed; give the weight to ConvOperator"
    )


def _sizes(
    node: Node, weight: Tensor, shapes: dict[str, Shape]
) -> tuple[int, ...] | None:
    """Pixels per axis of what a convolution reads; None if that is not known."""
    shape = shapes.get(node.input(0))
    if shape is None:
        return None
    group = node.integer("group", 1)
    channels = weight.shape[0] if node.op == "ConvTranspose" else weight.shape[1] * group
    if len(shape) != weight.ndim or shape[1] not in (None, channels):
        raise UnreadableModel(
            f"{node.path or node.op} must read {channels} channels and "
            f"{weight.ndim - 2} axes, as its weight {tuple(weight.shape)} says; it reads "
            f"shape {shape}; give another input_shape, or repair the file"
        )
    sizes = tuple(size for size in shape[2:] if size is not None and size > 0)
    return sizes if len(sizes) == weight.ndim - 2 else None


def _with_bias(
    conv: Convolution, node: Node, constants: Constants, channels: int
) -> Convolution:
    if not node.input(2):
        return conv
    bias = constants.tensor(node.input(2))
    if bias is None:
        words = "its bias is computed in the graph: the offset leaves it out"
        return replace(conv, outside=(*conv.outside, words))
    if tuple(bias.shape) != (channels,):
        raise UnreadableModel(
            f"the bias of {node.path or node.op} must have shape ({channels},), one per "
            f"output channel; got {tuple(bias.shape)}; repair the file"
        )
    return replace(conv, bias=bias)


def multiplies(node: Node, constants: Constants) -> bool:
    """Whether an operation multiplies its input with a matrix of the file."""
    if not node.is_standard("Gemm", "MatMul"):
        return False
    behind = bool(constants.source(node.input(1)))
    return behind and not constants.source(node.input(0))


def read_product(node: Node, constants: Constants) -> Convolution | None:
    """The product as a convolution of a single pixel; None if the weight is no matrix.

    Raises:
        UnreadableModel: If the bias fits it not.
    """
    matrix = constants.tensor(node.input(1))
    if matrix is None or not matrix.is_floating_point() or matrix.ndim != 2:
        return None
    if not matrix.numel():
        return None
    transposed = node.op == "Gemm" and bool(node.integer("transB", 0))
    weight = matrix if transposed else matrix.mT
    bias = None
    outside: tuple[str, ...] = ()
    if node.op == "Gemm":
        alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
        weight = weight if alpha == 1 else weight.double() * alpha
        if node.input(2):
            bias = _row(node, constants.tensor(node.input(2)), len(weight), beta)
        if node.input(2) and bias is None:
            outside = ("what is added to it is no bias: the offset leaves it out",)
    return Convolution(
        node.operation,
        (),
        "",
        weight[..., None],
        bias,
        ConvArguments(stride=(1,), padding=((0, 0),), dilation=(1,), output_padding=(0,)),
        (1,),
        outside=outside,
    )


def _row(node: Node, bias: Tensor | None, outputs: int, beta: float) -> Tensor | None:
    """What a Gemm adds to each row; None if that is not the same for each."""
    if bias is None or (bias.ndim == 2 and bias.shape[0] != 1) or bias.ndim > 2:
        return None
    if not bias.is_floating_point() or bias.shape[-1:] not in ((), (1,), (outputs,)):
        raise UnreadableModel(
            f"what {node.path or node.op} adds must be {outputs} numbers; got shape "
            f"{tuple(bias.shape)}; repair the file"
        )
    row = torch.broadcast_to(bias.reshape(-1), (outputs,))
    return row if beta == 1 else row.double() * beta
