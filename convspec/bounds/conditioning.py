"""The condition number over all sizes of circular padding: extremes of the symbol."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from convspec.bounds.every_frequency import (
    MAX_EVALUATIONS,
    MAX_FLOPS,
    REFERENCE,
    as_worst_case,
    require_symbol,
    search_budget,
)
from convspec.bounds.layer import Layer, operator_of, own_frequency, symbol_of
from convspec.bounds.result import Conditioning
from convspec.frequency.search.extremes import enclose_smallest
from convspec.isolation import isolated
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit
from convspec.operators.operator import ConvOperator
from convspec.quantity.bound import Bound
from convspec.quantity.enclosure import Enclosure

__all__ = ["reached", "worst_case_conditioning"]


@isolated
def worst_case_conditioning(
    layer: Layer,
    *,
    stride: int | Sequence[int] | None = None,
    dilation: int | Sequence[int] | None = None,
    groups: int | None = None,
    transposed: bool | None = None,
    rtol: float = 1e-6,
    max_evaluations: int = MAX_EVALUATIONS,
    max_seconds: float = math.inf,
    max_bytes: Bytes = DEFAULT_MAX_BYTES,
    max_flops: float = MAX_FLOPS,
) -> Conditioning:
    """The extremes of the symbol's singular values: ``sup sigma_1`` and ``inf sigma_n``.

    Their ratio is the supremum of the condition number over all sizes of *circular*
    padding that keeps the size (and that the stride divides): none is worse, large ones
    come as close as you like. Square kernels on two axes usually have ``inf = 0``.

    Warning: ``inf sigma_n`` does **not** bound the singular values of zero-padded
    operators from below. ``1 + 2 exp(i w)`` has ``|F| >= 1``, but the zero-padded
    operator of size n has a singular value of about ``1.5 * 2^-n``. Only those past the
    border's share are bounded, ``sigma_i >= inf sigma_n`` for ``i <= c n^d - r``, r the
    rank that the border can change.

    Pixels that no tap ever reads, as of a stride beyond the kernel, are lost at every
    size: ``inf sigma_n`` is 0 then.

    Both ends are certified as in :func:`worst_case_norm`, where the arguments are
    described. The least value comes from Gram matrices, so below about 1e-5 of the
    largest its lower end may be 0.

    Raises:
        GeometryError: If the arguments do not go together.
        ValueError: If rtol is not in (0, 1), or a budget not positive.
        TooLargeError: If a few values of the symbol need more than ``max_bytes``.
        UnsupportedLayer: If the layer is no convolution.
        NotFiniteError: If the weight holds NaN or infinity.

    Example:
        >>> import torch, convspec as cs
        >>> found = cs.worst_case_conditioning(torch.tensor([[[1.0, 2.0]]]))
        >>> 1.0 in found.smallest, 3.0 in found.condition_number
        (True, True)
    """
    max_bytes = byte_limit(max_bytes)
    op = operator_of(
        layer, stride=stride, dilation=dilation, groups=groups, transposed=transposed
    )
    budget = search_budget(rtol, max_flops, max_evaluations, max_seconds, max_bytes)
    require_symbol(op, max_bytes)
    strided = [True] * len(op.geometry.axes)
    ends = enclose_smallest(symbol_of(op, strided), rtol, budget)
    if reached(op) < min(op.symbol().block_shape):
        # pixels that nothing reads: columns of zeros at every frequency
        ends = ends[0], replace(ends[1], lower=0.0, upper=0.0, value=0 * ends[1].value)
    names = ("supremum of sigma_1", "infimum of sigma_n")
    what = "all frequencies: circular padding that keeps the size, every size"
    if max(axis.stride for axis in op.geometry.axes) > 1:
        what += " that the stride divides"
    largest, smallest = (
        as_worst_case(
            replace(extreme, frequency=own_frequency(op, strided, extreme.frequency)),
            name,
            what,
            rtol,
            budget,
            extreme.lower,
            extreme.upper,
        )
        for extreme, name in zip(ends, names, strict=True)
    )
    return Conditioning(largest, smallest, _ratio(largest, smallest, what))


def reached(op: ConvOperator) -> int:
    """The most that the rank of F can be: a side of it, without pixels never read.

    A stride beyond the kernel, or one with a factor in common with the dilation, leaves
    out phases of the pixels.
    """
    reduced = symbol_of(op, [True] * len(op.geometry.axes))
    return min(reduced.block_shape)


def _ratio(largest: Bound, smallest: Bound, what: str) -> Bound:
    """The condition number; of zero weights it is anything from 1."""
    lower, upper = (largest / smallest) & Enclosure(1.0, math.inf)
    return Bound(lower, upper, "supremum of the condition number", what, REFERENCE)
