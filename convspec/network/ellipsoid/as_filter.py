"""Averages and copies of pixels written as convolutions, where they are that.

Pooling with whole windows is a convolution of each channel by itself; padding with zeros,
crops, every s-th pixel and the rearrangement of pixels to channels read one pixel for
each entry; nearest upsampling and pixel shuffle are the transposes of such.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from convspec.arrays import IntArray
from convspec.network.kinds import Axes, Filter, Move
from convspec.operators.operator import ConvOperator
from convspec.rounding.directed import up

__all__ = ["filter_of_axes", "filter_of_move"]

# taps of a kernel that only moves pixels, and entries of one over all channels, at most
MOST_TAPS, MOST_WEIGHTS = 4096, 2**22


@dataclass(frozen=True)
class _Line:
    """A convolution of one axis: ``y_i = sum_t a_t x_(s i + t - before)``."""

    taps: Tensor
    stride: int
    before: int
    after: int


def filter_of_axes(
    kind: Axes, before: Sequence[int], after: Sequence[int]
) -> Filter | None:
    """Matrices on the axes of an image as a convolution of each channel by itself.

    None where they are none: partial windows of another weight, interpolation.

    Args:
        kind: The matrices.
        before: Shape of the input, with batch and channels.
        after: Of the output.
    """
    if len(before) < 3 or min(kind.matrices) < 2:
        return None
    lines = []
    for axis in range(2, len(before)):
        matrix = kind.matrices.get(axis)
        if matrix is None:
            matrix = torch.eye(before[axis], dtype=torch.float64, device="cpu")
        line = _line_of(matrix)
        if line is None:
            return None
        lines.append(line)
    taps = torch.ones((), dtype=torch.float64, device="cpu")
    for line in lines:
        taps = taps[..., None] * line.taps
    op = ConvOperator(
        taps.expand(before[1], 1, *taps.shape).contiguous(),
        tuple(before[2:]),
        stride=[line.stride for line in lines],
        padding=[(line.before, line.after) for line in lines],
        groups=before[1],
    )
    if op.output_shape != tuple(after[1:]):
        return None
    relative = up(len(lines) * (kind.relative + 2.0**-52), 4)
    return Filter(op, up(relative * up(float(taps.abs().sum()), 4)))


def _line_of(matrix: Tensor) -> _Line | None:
    """What slides one row along an axis, cut off at both ends."""
    rows, size = matrix.shape
    ends = []
    for row in matrix:
        live = row.nonzero()[:, 0]
        if not len(live):
            return None
        ends.append((int(live[0]), int(live[-1])))
    width = max(last - first + 1 for first, last in ends)
    whole = [row for row, (first, last) in enumerate(ends) if last - first + 1 == width]
    here = whole[len(whole) // 2]
    stride = size
    for row, following in pairwise(whole):
        if following == row + 1:
            stride = ends[following][0] - ends[row][0]
    if stride < 1:
        return None
    taps = matrix[here, ends[here][0] : ends[here][1] + 1]
    return _slid(taps, stride, stride * here - ends[here][0], rows, size, matrix)


def _slid(
    taps: Tensor, stride: int, before: int, rows: int, size: int, matrix: Tensor
) -> _Line | None:
    """The line with these taps, if it is the matrix."""
    if before < 0:  # what is skipped is read with weight 0
        taps, before = torch.cat([taps.new_zeros(-before), taps]), 0
    behind = (rows - 1) * stride + len(taps) - before - size
    left_out = -behind - stride + 1
    if left_out > 0:
        taps, behind = torch.cat([taps, taps.new_zeros(left_out)]), behind + left_out
    starts = torch.arange(rows, device="cpu", dtype=torch.int64) * stride - before
    steps = torch.arange(len(taps), device="cpu", dtype=torch.int64)
    places = starts[:, None] + steps
    inside = (places >= 0) & (places < size)
    made = torch.zeros_like(matrix)
    made.scatter_add_(1, places.clamp(0, size - 1), torch.where(inside, taps, 0.0))
    if not torch.equal(made, matrix) or before >= len(taps):
        return None
    return _Line(taps, stride, before, max(0, behind))


def filter_of_move(
    kind: Move, before: Sequence[int], after: Sequence[int]
) -> Filter | None:
    """Copies of an image's pixels as a convolution of taps 0 and 1; None if they are not.

    Args:
        kind: Of one input.
        before: Shape of the input, with batch and channels.
        after: Of the output.
    """
    if kind.places is None or min(len(before), len(after)) < 3:
        return None
    if len(before) != len(after) or before[0] != 1 or after[0] != 1:
        return None
    places = kind.places.reshape(tuple(after)).numpy()[0]
    found = _gathered(places, before, after)
    return found if found is not None else _spread(places, before, after)


def _gathered(
    places: IntArray, before: Sequence[int], after: Sequence[int]
) -> Filter | None:
    """``y_c(i) = x_m(c)(s i + o_c)``, 0 where that is outside."""
    sizes, outputs = before[2:], after[2:]
    found = [_channel(some, sizes) for some in places]
    strides = {stride for _, stride, _ in filter(None, found)}
    if None in found or len(strides) > 1:
        return None
    stride = next(iter(strides), (1,) * len(sizes))
    offsets = np.array([offset for _, _, offset in filter(None, found)], dtype=np.int64)
    offsets = offsets.reshape(-1, len(sizes))
    if not len(offsets):
        return None
    least = np.minimum(offsets.min(0), 0)
    kernel = offsets.max(0) - least + 1
    steps, size = np.array(stride), np.array(sizes)
    behind = (np.array(outputs) - 1) * steps + kernel + least - size
    left_out = np.maximum(-behind - steps + 1, 0)
    kernel, behind = kernel + left_out, behind + left_out
    if math.prod(kernel.tolist()) > MOST_TAPS:
        return None
    taps = offsets - least
    channels = [channel for channel, _, _ in filter(None, found)]
    weight, groups = _weight(channels, taps, kernel, before[1])
    if weight is None:
        return None
    try:
        op = ConvOperator(
            weight,
            tuple(sizes),
            stride=stride,
            padding=[
                (int(one), int(two))
                for one, two in zip(-least, np.maximum(behind, 0), strict=True)
            ],
            groups=groups,
        )
    except ValueError:
        return None
    if op.output_shape != tuple(after[1:]) or not _is(op, places, before):
        return None
    return Filter(op)


def _channel(
    places: IntArray, sizes: Sequence[int]
) -> tuple[int, tuple[int, ...], tuple[int, ...]] | None:
    """The channel that a channel of the output is read from, the steps and the offset."""
    live = np.argwhere(places >= 0)
    if not len(live):
        return None
    first, last = live[0], live[-1]
    pixels = math.prod(sizes)
    ends = [int(places[tuple(each)]) for each in (first, last)]
    one, two = (np.unravel_index(each % pixels, tuple(sizes)) for each in ends)
    strides, offsets = [], []
    for j in range(len(sizes)):
        passed = int(last[j] - first[j])
        moved = int(two[j]) - int(one[j])
        if passed and (moved % passed or moved <= 0):
            return None
        stride = moved // passed if passed else 1
        strides.append(stride)
        offsets.append(int(one[j]) - stride * int(first[j]))
    return ends[0] // pixels, tuple(strides), tuple(offsets)


def _weight(
    channels: Sequence[int], taps: IntArray, kernel: IntArray, width: int
) -> tuple[Tensor | None, int]:
    """Taps of 1, by groups where each group of outputs reads one channel of its own."""
    share = len(channels) // width
    grouped = len(channels) == share * width and all(
        channel == c // share for c, channel in enumerate(channels)
    )
    inputs = 1 if grouped else width
    if len(channels) * inputs * math.prod(kernel.tolist()) > MOST_WEIGHTS:
        return None, 1
    weight = torch.zeros(
        len(channels), inputs, *kernel.tolist(), dtype=torch.float64, device="cpu"
    )
    for c, channel in enumerate(channels):
        weight[c, 0 if grouped else channel][tuple(taps[c].tolist())] = 1.0
    return weight, width if grouped else 1


def _spread(
    places: IntArray, before: Sequence[int], after: Sequence[int]
) -> Filter | None:
    """``y_c(s i + p) = x_m(c, p)(i)`` for the phases p of steps s."""
    pairs = list(zip(before[2:], after[2:], strict=True))
    if any(large % small for small, large in pairs):
        return None
    stride = tuple(large // small for small, large in pairs)
    phases = list(np.ndindex(*stride))
    pixels = math.prod(before[2:])
    if len(phases) == 1 or bool((places < 0).any()):
        return None
    width, outputs = before[1], after[1]
    # the channel that each phase of each channel of the output reads
    reads = [
        [int(places[c][phase]) // pixels for phase in phases] for c in range(outputs)
    ]
    count = width // outputs
    each = list(range(count))
    grouped = width == count * outputs and all(
        set(row) <= {c * count + k for k in each} for c, row in enumerate(reads)
    )
    inner = 1 if grouped else outputs
    if width * inner * len(phases) > MOST_WEIGHTS:
        return None
    weight = torch.zeros(width, inner, *stride, dtype=torch.float64, device="cpu")
    for c, row in enumerate(reads):
        for phase, channel in zip(phases, row, strict=True):
            weight[channel, 0 if grouped else c][phase] = 1.0
    op = ConvOperator(
        weight,
        tuple(before[2:]),
        stride=stride,
        groups=outputs if grouped else 1,
        transposed=True,
    )
    if op.output_shape != tuple(after[1:]) or not _is(op, places, before):
        return None
    return Filter(op)


def _is(op: ConvOperator, places: IntArray, before: Sequence[int]) -> bool:
    """Whether it makes the image of places out of the image of places of its input.

    Places from 1 on are integers that a sum of one term leaves as they are; that it has
    one term is seen on an image of ones.
    """
    shape = tuple(before[1:])
    line = torch.arange(1, 1 + math.prod(shape), dtype=torch.float64, device="cpu")
    wanted = torch.from_numpy(places + 1).to(torch.float64)
    ones = torch.ones(shape, dtype=torch.float64, device="cpu")
    same = torch.equal(op.apply(line.reshape(shape)), wanted)
    return same and torch.equal(op.apply(ones), (wanted > 0).to(torch.float64))
