"""ONNX's pooling, reductions and softmax, by torch's operations."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from convspec.files.onnx_arguments import conv_arguments
from convspec.files.onnx_operators.operands import Operands, Reader, Run
from convspec.files.onnx_operators.weighted import entries_with, padded

__all__ = ["READERS"]

MAXIMUM = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}
AVERAGE = {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d}
# from here on axes are an input and softmax is of one axis
OF_ONE_AXIS = 13


@dataclass(frozen=True)
class _Windows:
    """Where windows lie.

    Attributes:
        kernel: Taps per axis.
        stride: Per axis.
        dilation: Per axis.
        pads: (before, behind) per axis, as declared.
        reach: Likewise, with so much behind as the last window needs.
        ceil: Whether a last window may reach beyond what is declared.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    reach: tuple[tuple[int, int], ...]
    ceil: bool

    @property
    def own(self) -> tuple[int, ...] | None:
        """Padding as torch's pooling has it; None if it cannot."""
        even = all(before == behind for before, behind in self.pads)
        small = all(2 * b <= k for (b, _), k in zip(self.pads, self.kernel, strict=True))
        return tuple(before for before, _ in self.pads) if even and small else None

    @property
    def most(self) -> list[int]:
        """Pixels that are added to an axis, at most."""
        pairs = zip(self.pads, self.reach, strict=True)
        return [sum(own) + max(0, reach) for own, (_, reach) in pairs]


def _windows(given: Operands) -> _Windows:
    node, sizes = given.node, given.shape(0)[2:]
    kernel = node.integers("kernel_shape") or ()
    if len(kernel) != len(sizes) or not 1 <= len(kernel) <= 3 or min(kernel) < 1:
        raise given.refused(f"its kernel_shape {kernel} must fit {sizes}")
    declared = conv_arguments(node, kernel, sizes)
    ceil = bool(node.integer("ceil_mode", 0))
    stride, dilation, pads = declared.stride, declared.dilation, declared.padding
    assert isinstance(stride, tuple)
    assert isinstance(dilation, tuple)
    assert isinstance(pads, tuple)
    reach = []
    for n, k, s, d, pair in zip(sizes, kernel, stride, dilation, pads, strict=True):
        assert isinstance(pair, tuple)
        before, behind = pair
        room, extent = n + before + behind, d * (k - 1) + 1
        steps = -((extent - room) // s) if ceil else (room - extent) // s
        if steps < 0 or room < extent:
            raise given.refused(f"its window of {extent} must fit {room} pixels")
        if ceil and steps * s >= n + before:  # it would begin behind the image
            steps -= 1
        reach.append((before, steps * s + extent - n - before))
    whole = tuple(pair for pair in pads if isinstance(pair, tuple))
    found = _Windows(kernel, stride, dilation, whole, tuple(reach), ceil)
    given.require_entries(entries_with(given, found.most))
    return found


def _max_pool(given: Operands) -> Run:
    windows = _windows(given)
    pool, own = MAXIMUM[len(windows.kernel)], windows.own
    sizes = windows.kernel, windows.stride
    if own is not None:
        return lambda x: pool(x, *sizes, own, windows.dilation, windows.ceil)
    return lambda x: pool(
        padded(x, windows.reach, -math.inf), *sizes, 0, windows.dilation
    )


def _average_pool(given: Operands) -> Run:
    """Means over windows, of what is padded where it says so, never of what is behind."""
    windows = _windows(given)
    if set(windows.dilation) != {1}:
        raise given.refused("averages of dilated windows are not read")
    counted = bool(given.node.integer("count_include_pad", 0))
    pool, own = AVERAGE[len(windows.kernel)], windows.own
    sizes = windows.kernel, windows.stride
    if own is not None:
        return lambda x: pool(x, *sizes, own, windows.ceil, counted)
    shape = given.shape(0)[2:]

    def run(x: Tensor) -> Tensor:
        ones = x.new_ones((1, 1, *shape))
        pairs = zip(windows.pads, windows.reach, strict=True)
        if counted:
            ones = padded(ones, windows.pads, 1.0)
            left = tuple((0, reach - own) for (_, own), (_, reach) in pairs)
        else:
            left = windows.reach
        share = pool(padded(ones, left), *sizes)
        return pool(padded(x, windows.reach), *sizes) / share

    return run


def _global(function: Callable[..., Any]) -> Reader:
    """A function of all pixels."""

    def read(given: Operands) -> Run:
        axes = tuple(range(2, given.rank()))
        return lambda x: function(x, axes, keepdim=True)

    return read


def _reduction(function: Callable[..., Any]) -> Reader:
    """A function of some axes, ``function(x, axes, keepdim)``."""

    def read(given: Operands) -> Run:
        node, rank = given.node, given.rank()
        listed = given.listed("axes", 1)
        if not listed and node.integer("noop_with_empty_axes", 0):
            return lambda x, *others: x
        axes = tuple(given.along(axis) for axis in listed or range(rank))
        keep = bool(node.integer("keepdims", 1))
        return lambda x, *others: function(x, axes, keepdim=keep)

    return read


def _length(x: Tensor, axes: tuple[int, ...], keepdim: bool) -> Tensor:
    found: Tensor = torch.linalg.vector_norm(x, 2, axes, keepdim)
    return found


def _sum_of_moduli(x: Tensor, axes: tuple[int, ...], keepdim: bool) -> Tensor:
    return torch.sum(torch.abs(x), axes, keepdim=keepdim)


def _sum_of_squares(x: Tensor, axes: tuple[int, ...], keepdim: bool) -> Tensor:
    return torch.sum(x * x, axes, keepdim=keepdim)


def _product(x: Tensor, axes: tuple[int, ...], keepdim: bool) -> Tensor:
    for axis in sorted(axes, reverse=True):
        x = torch.prod(x, axis, keepdim=keepdim)
    return x


def _soft(function: Callable[..., Any]) -> Reader:
    """Over one axis; in early versions over it and all behind it."""

    def read(given: Operands) -> Run:
        if given.opset >= OF_ONE_AXIS:
            axis = given.axis(-1)
            return lambda x: function(x, dim=axis)
        axis, shape = given.axis(1), given.shape(0)
        if axis == given.rank() - 1:
            return lambda x: function(x, dim=axis)
        flat = (*shape[:axis], -1)
        return lambda x: function(x.reshape(flat), dim=axis).reshape(shape)

    return read


def _argument(function: Callable[..., Any]) -> Reader:
    """The place of an extreme entry."""

    def read(given: Operands) -> Run:
        axis, keep = given.axis(0), bool(given.node.integer("keepdims", 1))
        return lambda x: function(x, axis, keep)

    return read


READERS: dict[str, Reader] = {
    "ArgMax": _argument(torch.argmax),
    "ArgMin": _argument(torch.argmin),
    "AveragePool": _average_pool,
    "GlobalAveragePool": _global(torch.mean),
    "GlobalMaxPool": _global(torch.amax),
    "LogSoftmax": _soft(functional.log_softmax),
    "MaxPool": _max_pool,
    "ReduceL1": _reduction(_sum_of_moduli),
    "ReduceL2": _reduction(_length),
    "ReduceLogSumExp": _reduction(torch.logsumexp),
    "ReduceMax": _reduction(torch.amax),
    "ReduceMean": _reduction(torch.mean),
    "ReduceMin": _reduction(torch.amin),
    "ReduceProd": _reduction(_product),
    "ReduceSum": _reduction(torch.sum),
    "ReduceSumSquare": _reduction(_sum_of_squares),
    "Softmax": _soft(functional.softmax),
}
