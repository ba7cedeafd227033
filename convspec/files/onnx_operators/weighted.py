"""ONNX's layers with weights: convolutions, norms of batches, dequantized tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from convspec.files.onnx_arguments import (
    conv_arguments,
    require_geometry,
    transposed_arguments,
)
from convspec.files.onnx_operators.operands import Operands, Reader, Run

__all__ = ["READERS", "entries_with", "padded"]

CONVOLUTIONS = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
TRANSPOSED = {
    1: functional.conv_transpose1d,
    2: functional.conv_transpose2d,
    3: functional.conv_transpose3d,
}
Pairs = Sequence[tuple[int, int]]


def padded(x: Tensor, pairs: Pairs, value: float = 0.0) -> Tensor:
    """The last axes with so many more entries before and behind, or fewer."""
    flat = [amount for pair in reversed(pairs) for amount in pair]
    return functional.pad(x, flat, value=value) if any(flat) else x


def _kernel(given: Operands) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The sizes of the kernel and of the image.

    Raises:
        UnsupportedLayer: If it is no convolution of one to three axes.
    """
    weight, image = given.shape(1), given.shape(0)
    if not 3 <= len(weight) <= 5 or len(image) != len(weight):
        raise given.refused(
            f"its weight of shape {weight} must fit its image of shape {image}"
        )
    return weight[2:], image[2:]


def _conv(given: Operands) -> Run:
    kernel, sizes = _kernel(given)
    found = conv_arguments(given.node, kernel, sizes)
    require_geometry(given.node, given.shape(1), sizes, found)
    pairs = _pairs(found.padding)
    even = all(before == behind for before, behind in pairs)
    own = tuple(before for before, _ in pairs) if even else 0
    if not even:
        given.require_entries(entries_with(given, [sum(pair) for pair in pairs]))
    convolve = CONVOLUTIONS[len(kernel)]

    def run(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        image = x if even else padded(x, pairs)
        return convolve(
            image, weight, bias, found.stride, own, found.dilation, found.groups
        )

    return run


def _transposed(given: Operands) -> Run:
    kernel, sizes = _kernel(given)
    found = transposed_arguments(given.node, kernel, sizes)
    if found is None:
        raise given.refused("its output_shape is larger than what its kernel reaches")
    require_geometry(given.node, given.shape(1), sizes, found)
    pairs, more = _pairs(found.padding), _each(found.output_padding)
    steps = zip(_each(found.stride), _each(found.dilation), more, strict=True)
    even = all(before == behind for before, behind in pairs)
    even = even and all(add < max(s, d) or add == 0 for s, d, add in steps)
    own = tuple(before for before, _ in pairs) if even else 0
    added = more if even else 0
    cut = [(-b, add - a) for (b, a), add in zip(pairs, more, strict=True)]
    if not even:  # all of it, before it is cut
        axes = zip(sizes, kernel, _each(found.stride), _each(found.dilation), strict=True)
        whole = [float((n - 1) * s + d * (k - 1) + 1) for n, k, s, d in axes]
        given.require_entries(math.prod(whole) * given.shape(1)[1] * found.groups)
    convolve = TRANSPOSED[len(kernel)]

    def run(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        offset = bias if even else None
        y = convolve(
            x, weight, offset, found.stride, own, added, found.groups, found.dilation
        )
        if even:
            return y
        y = padded(y, cut)
        return y if bias is None else y + bias.reshape(1, -1, *[1] * len(kernel))

    return run


def _batch_norm(given: Operands) -> Run:
    eps = given.node.number("epsilon", 1e-5)
    if given.node.integer("training_mode", 0):
        raise given.refused("it normalises by statistics of its input, as in training")

    def run(x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        return functional.batch_norm(x, mean, var, scale, bias, False, 0.0, eps)

    return run


def _instance_norm(given: Operands) -> Run:
    eps = given.node.number("epsilon", 1e-5)
    return lambda x, scale, bias: functional.instance_norm(
        x, None, None, scale, bias, True, 0.0, eps
    )


def _layer_norm(given: Operands) -> Run:
    eps, shape = given.node.number("epsilon", 1e-5), given.shape(0)[given.axis(-1) :]
    sized = _broadcast(given, shape)
    return lambda x, scale, bias=None: functional.layer_norm(
        x, shape, sized(scale), None if bias is None else sized(bias), eps
    )


def _rms_norm(given: Operands) -> Run:
    eps, shape = given.node.number("epsilon", 1e-5), given.shape(0)[given.axis(-1) :]
    sized = _broadcast(given, shape)
    return lambda x, scale: functional.rms_norm(x, list(shape), sized(scale), eps)


def _group_norm(given: Operands) -> Run:
    """Factors for each channel; for each group, in an early version."""
    eps, groups = given.node.number("epsilon", 1e-5), given.node.integer("num_groups", 1)
    channels = given.shape(0)[1]
    if groups < 1 or channels % groups:
        raise given.refused(f"{channels} channels make no {groups} groups")
    repeats = channels // groups if given.shape(1) == (groups,) else 1

    def run(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        if repeats > 1:
            scale, bias = (v.repeat_interleave(repeats) for v in (scale, bias))
        return functional.group_norm(x, groups, scale, bias, eps)

    return run


def _response_norm(given: Operands) -> Run:
    node, size = given.node, given.node.integer("size", 1)
    if size % 2 == 0:
        raise given.refused("its window must have an odd number of channels")
    alpha, beta = node.number("alpha", 1e-4), node.number("beta", 0.75)
    offset = node.number("bias", 1.0)
    return lambda x: functional.local_response_norm(x, size, alpha, beta, offset)


def _dequantized(given: Operands) -> Run:
    """``(x - zero) scale``, for all entries or along an axis."""
    if given.node.integer("block_size", 0):
        raise given.refused("scales of blocks are not read")
    if 1 in given.data or 2 in given.data:
        raise given.refused("its scale depends on the model's input")
    shape = [1] * given.rank()
    count = given.value(1).numel()
    if count > 1:
        shape[given.axis(1)] = count

    def run(x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
        wide = x.to(torch.int32)
        if zero is not None:
            wide = wide - zero.to(torch.int32).reshape(shape)
        return wide.to(scale.dtype) * scale.reshape(shape)

    return run


def _broadcast(given: Operands, shape: tuple[int, ...]) -> Run:
    """What makes factors have the shape that torch wants."""
    given.require_entries(torch.Size(shape).numel())
    return lambda v: v if tuple(v.shape) == shape else torch.broadcast_to(v, shape)


def entries_with(given: Operands, more: Sequence[int]) -> float:
    """Of an image with so many more pixels along each axis."""
    n, channels, *sizes = given.shape(0)
    pixels = (float(size + add) for size, add in zip(sizes, more, strict=True))
    return n * channels * math.prod(pixels)


def _pairs(padding: object) -> list[tuple[int, int]]:
    assert isinstance(padding, tuple)
    return [(int(before), int(behind)) for before, behind in padding]


def _each(values: object) -> tuple[int, ...]:
    assert isinstance(values, tuple)
    return tuple(map(int, values))


READERS: dict[str, Reader] = {
    "BatchNormalization": _batch_norm,
    "Conv": _conv,
    "ConvTranspose": _transposed,
    "DequantizeLinear": _dequantized,
    "GroupNormalization": _group_norm,
    "InstanceNormalization": _instance_norm,
    "LRN": _response_norm,
    "LayerNormalization": _layer_norm,
    "RMSNormalization": _rms_norm,
}
