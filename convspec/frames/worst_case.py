"""Frame bounds for signals of every length: extremes of the symbol."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from convspec.bounds.conditioning import reached, worst_case_conditioning
from convspec.bounds.every_frequency import MAX_EVALUATIONS, MAX_FLOPS
from convspec.bounds.layer import Layer, operator_of
from convspec.bounds.worst_case import worst_case_norm
from convspec.frames.frame_bounds import NOTHING, SQUARED, of_dtype
from convspec.frames.result import FrameBounds
from convspec.isolation import isolated
from convspec.limits import DEFAULT_MAX_BYTES, Bytes
from convspec.operators.operator import ConvOperator
from convspec.quantity.enclosure import Enclosure

__all__ = ["worst_case_frame_bounds"]

ASSUMPTIONS = (
    "signals on an endless line or grid, and circular padding that keeps the size, every "
    "size that the stride divides; with zero padding the upper bound whatever is padded, "
    "the lower one if dilation * (kernel - 1) pixels or more are padded on every side"
)


@isolated
def worst_case_frame_bounds(
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
) -> FrameBounds:
    """The frame bounds of a filter bank on signals of any length, enclosed.

    These are the extremes over all frequencies of the squared singular values of the
    polyphase matrix, which is the symbol F (:meth:`ConvOperator.symbol`): the bounds on
    an endless signal, and the limits of those on long periodic ones, which they enclose.

    With zero padding the upper bound holds for every size. The lower one does where no
    coefficient is cut off, ``padding = dilation * (kernel - 1)`` or more: then a signal
    and its coefficients are those of an endless signal. With less, atoms are missing at
    the border, and the bound on one size, :func:`frame_bounds`, may be far lower.

    Padding that shows pixels twice (reflect, replicate, symmetric) is another frame; its
    largest bound is the square of :func:`worst_case_norm`.

    Arguments are those of :func:`worst_case_norm`; the layer's own padding makes no
    difference. Of a lower bound below about 1e-10 of the upper one the lower end may
    be 0.

    Raises:
        GeometryError: If the arguments do not go together.
        ValueError: If rtol is not in (0, 1), or a budget not positive.
        TooLargeError: If a few values of the symbol need more than ``max_bytes``.
        UnsupportedLayer: If the layer is no convolution.
        NotFiniteError: If the weight holds NaN or infinity.

    Example:
        >>> import torch, convspec as cs
        >>> found = cs.worst_case_frame_bounds(torch.tensor([[[1.0, 2.0]]]))
        >>> 1.0 in found.lower, 9.0 in found.upper, found.tight
        (True, True, False)
    """
    op = operator_of(
        layer, stride=stride, dilation=dilation, groups=groups, transposed=transposed
    )
    budget: dict[str, Any] = {
        "rtol": rtol,
        "max_evaluations": max_evaluations,
        "max_seconds": max_seconds,
        "max_bytes": max_bytes,
        "max_flops": max_flops,
    }
    rows, columns = op.symbol().block_shape
    if reached(op) < columns:
        top = worst_case_norm(_padded_with_zeros(op), **budget)
        lower = NOTHING
    else:
        extremes = worst_case_conditioning(op, **budget)
        top = extremes.largest
        lower = _squared(extremes.smallest)
    same = max(of_dtype(op.dtype), SQUARED * rtol)
    return FrameBounds(lower, _squared(top), rows / columns, ASSUMPTIONS, same)


def _padded_with_zeros(op: ConvOperator) -> ConvOperator:
    """The same kernel and stride, of a padding mode that repeats no pixel."""
    return op if op.transposed else op.with_padding_mode("zeros")


def _squared(value: Enclosure) -> Enclosure:
    return Enclosure(*value).squared if value.upper > 0 else NOTHING
