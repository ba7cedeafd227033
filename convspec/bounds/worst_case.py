"""The norm that holds for every input size: the supremum of the symbol."""

from __future__ import annotations

import math
from collections.abc import Sequence

from convspec.arguments import Padding, shown
from convspec.bounds.border import by_border
from convspec.bounds.every_frequency import (
    MAX_EVALUATIONS,
    MAX_FLOPS,
    REFERENCE,
    require_symbol,
    search_budget,
)
from convspec.bounds.every_size_rows import (
    KernelRows,
    Upper,
    in_quadrature,
    least_upper,
)
from convspec.bounds.layer import Layer, operator_of, own_frequency, symbol_of
from convspec.bounds.result import WorstCase
from convspec.frequency.search.branch_and_bound import SearchBudget
from convspec.frequency.search.extremes import Extreme, enclose_largest
from convspec.isolation import isolated
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit
from convspec.operators.operator import ConvOperator
from convspec.operators.padding_mode import PaddingMode
from convspec.tori.every_size import conditions
from convspec.tori.tap_range import TapRange

__all__ = ["worst_case_norm"]


@isolated
def worst_case_norm(
    layer: Layer,
    *,
    stride: int | Sequence[int] | None = None,
    padding: Padding | None = None,
    dilation: int | Sequence[int] | None = None,
    groups: int | None = None,
    padding_mode: PaddingMode | None = None,
    transposed: bool | None = None,
    sizes: str = "all",
    rtol: float = 1e-6,
    max_evaluations: int = MAX_EVALUATIONS,
    max_seconds: float = math.inf,
    max_bytes: Bytes = DEFAULT_MAX_BYTES,
    max_flops: float = MAX_FLOPS,
) -> WorstCase:
    """The supremum of sigma_1 over every input size, enclosed: ``sup_w sigma_1(F(w))``.

    F is the symbol of the layer (:meth:`ConvOperator.symbol`), w a continuous frequency.
    Branch and bound with one Cholesky test per cell proves the upper end, a singular
    vector the lower one, all rounding accounted for. Neither depends on an input size:

    * zero padding of any amount: the norm grows with the size towards the supremum and
      never exceeds it, stride, dilation, groups and transposition included;
    * circular padding that keeps the size: the same supremum. With stride s that is so
      for sizes that s divides, ``sizes="divisible"``. Of other sizes some outputs go
      around the seam at another phase: the upper end is the supremum times sqrt(2) per
      axis (sqrt(3) if both ends pad more than n together), as each pixel is read at so
      many places of a line, or the supremum without stride if that is less. Padding
      that goes around further repeats rows, and the upper end grows by the root of how
      often;
    * symmetric padding, or replicate padding of one pixel, of kernels that are even or
      odd along the axis, with as many outputs as keep that: the supremum itself, as
      cosines and sines take the place of waves;
    * other reflect, symmetric and replicate padding repeats pixels: the upper end is the
      supremum times the root of how often a pixel is shown at most, per axis sqrt(1 + p)
      for replicate, and sqrt(2) for reflect and symmetric, as on a ring of mirror images
      (with stride, of the symbol without it, or sqrt(3) at sizes up to 2 p + 1). The
      supremum alone is no bound for them; the truth is in between or, where padding
      makes rows smaller, at the supremum.

    Taps that are zero at the ends of the kernel read no padding and are not counted. Nor
    are they in blocks of output channels that use fewer taps than the layer, such as the
    differences of a gradient along each axis: the root of the sum of the squares of their
    bounds takes the place of the others where it is less.
    Where one axis alone has several taps, the rows that read padding, mirrored or around
    the seam, are also compared with those of zeros: differences that padding makes vanish
    cost nothing.

    ``assumptions`` of the result says which of these it is. A gap that the budget (or
    rounding, below about 1e-9) did not allow is visible: ``bound.converged`` is False
    and both ends hold all the same. 1x1 and depthwise layers come out to rounding.

    ``bound.value`` is differentiable in the weight by the envelope theorem: it is
    ``Re u^H F(w) v`` at the frequency and the vectors found, times the padding's factor,
    and these may be held fixed at a maximum. Where several frequencies or vectors attain
    the maximum it has no gradient, and that of one of them is given, a subgradient.

    Args:
        layer: A ``torch.nn`` convolution, a :class:`ConvOperator` (its size does not
            matter), or a weight as torch stores it, described by the arguments up to
            ``transposed``, which are for weights alone.
        stride: As in torch, 1 unless told; so are the others.
        padding: As in :class:`ConvOperator`; for a weight, unless told, as much as
            keeps the size. With zero padding it makes no difference.
        dilation: It makes no difference without stride.
        groups: The norm is the largest of the groups'.
        padding_mode: As :class:`convspec.ConvOperator` takes it.
        transposed: Whether the weight is that of a transposed convolution.
        sizes: ``"all"`` that torch accepts, or ``"divisible"``: only those that the
            stride divides, axis by axis.
        rtol: Relative gap to stop at.
        max_evaluations: Frequencies to test at most.
        max_seconds: Wall time to stop at, about; what is found by then depends on the
            machine. No limit unless told.
        max_bytes: Byte limit of what is held at a time. Where the products of all taps
            do not fit, the symbol is evaluated anew at every frequency; a search whose
            cells do not ends early.
        max_flops: Operations to spend, about; 3e12 are a minute or so on two cores.

    Raises:
        GeometryError: If the arguments do not go together.
        ValueError: If rtol is not in (0, 1), a budget not positive, or sizes neither.
        TooLargeError: If a few values of the symbol need more than ``max_bytes``.
        UnsupportedLayer: If the layer is no convolution.
        NotFiniteError: If the weight holds NaN or infinity.

    Example:
        >>> import torch, convspec as cs
        >>> bound = cs.worst_case_norm(torch.tensor([[[1.0, -2.0, 1.0]]]))
        >>> 4.0 in bound, bound.gap < 1e-12
        (True, True)
    """
    max_bytes = byte_limit(max_bytes)
    op = operator_of(
        layer,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        padding_mode=padding_mode,
        transposed=transposed,
    )
    budget = search_budget(rtol, max_flops, max_evaluations, max_seconds, max_bytes)
    return _every_size(op, _only_divisible(sizes), rtol, budget)


def _every_size(
    op: ConvOperator, divisible: bool, rtol: float, budget: SearchBudget
) -> WorstCase:
    """The supremum of the symbol, times what the padding repeats."""
    require_symbol(op, budget.bytes)
    axes = op.geometry.axes
    strided = [True] * len(axes)
    exact = enclose_largest(symbol_of(op, strided), rtol, budget)
    whole = KernelRows.of(op.weight, op.groups, axes)
    best = _of_rows(whole, exact, divisible, rtol, budget)
    peak = best.frequency
    if best.upper > exact.upper:
        apart = _of_blocks(op, divisible, rtol, budget, best.upper)
        best = min([best, *apart], key=lambda bound: bound.upper)
    if best.strided:
        strided = list(best.strided)
    else:
        peak = exact.frequency
    words = conditions([TapRange(axis, 0, axis.kernel - 1) for axis in axes], divisible)
    return WorstCase(
        exact.lower,
        best.upper,
        "worst_case_norm",
        f"{words}; {best.words}" if best.words else words,
        REFERENCE,
        value=best.value,
        frequency=own_frequency(op, strided, peak),
        rtol=rtol,
        evaluations=budget.evaluations,
        supremum_gap=best.gap,
        short_of=budget.short_of,
    )


def _of_blocks(
    op: ConvOperator, divisible: bool, rtol: float, budget: SearchBudget, limit: float
) -> list[Upper]:
    """The bound by blocks of output channels, if there are any and it can be less."""
    blocks = KernelRows.blocks(op, budget.bytes)
    strided = [True] * len(op.geometry.axes)
    exact = [enclose_largest(rows.symbol(strided), rtol, budget) for rows in blocks]
    if not blocks or math.hypot(*(found.lower for found in exact)) >= limit:
        return []
    return [
        in_quadrature(
            [
                _of_rows(rows, found, divisible, rtol, budget)
                for rows, found in zip(blocks, exact, strict=True)
            ]
        )
    ]


def _of_rows(
    rows: KernelRows,
    exact: Extreme,
    divisible: bool,
    rtol: float,
    budget: SearchBudget,
) -> Upper:
    """The least of the bounds by repeats and by comparison at the border."""
    found = least_upper(rows, exact, divisible, rtol, budget)
    if found.upper <= exact.upper:
        return found
    return by_border(rows, exact, divisible, found.upper) or found


def _only_divisible(sizes: str) -> bool:
    """Whether only sizes are meant that the stride divides."""
    if sizes not in ("all", "divisible"):
        raise ValueError(f"sizes must be 'all' or 'divisible'; got {shown(sizes)}")
    return sizes == "divisible"
