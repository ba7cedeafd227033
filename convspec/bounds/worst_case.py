"""Norms that hold for every input size: the supremum of the symbol over frequency."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from convspec.arguments import Padding, shown, single
from convspec.bounds.layer import Layer, operator_of, own_frequency, symbol_of
from convspec.bounds.least import Candidate, least
from convspec.bounds.result import Conditioning, WorstCase
from convspec.frequency.reduced import symbol_bytes
from convspec.frequency.search.branch_and_bound import SearchBudget
from convspec.frequency.search.extremes import Extreme, enclose_largest, enclose_smallest
from convspec.isolation import isolated
from convspec.limits import DEFAULT_MAX_BYTES, require_bytes
from convspec.operators.kernel import ScaledKernel
from convspec.operators.operator import ConvOperator
from convspec.quantity.bound import Bound
from convspec.quantity.enclosure import Enclosure
from convspec.rounding.directed import up
from convspec.tori.every_size import conditions, every_size
from convspec.tori.places import Setting, settings

__all__ = [
    "supremum",
    "worst_case_conditioning",
    "worst_case_norm",
]

MAX_EVALUATIONS = 2_000_000
# about a minute on two cores
MAX_FLOPS = 3e12
REFERENCE = (
    "branch and bound with Bernstein's inequality (Duffin and Schaeffer 1938) and "
    "Cholesky tests (Rump 2006)"
)


@isolated
def worst_case_norm(
    layer: Layer,
    *,
    stride: int | Sequence[int] | None = None,
    padding: Padding | None = None,
    dilation: int | Sequence[int] | None = None,
    groups: int | None = None,
    padding_mode: str | None = None,
    transposed: bool | None = None,
    rtol: float = 1e-6,
    max_evaluations: int = MAX_EVALUATIONS,
    max_seconds: float = math.inf,
    max_bytes: int = DEFAULT_MAX_BYTES,
    max_flops: float = MAX_FLOPS,
) -> WorstCase:
    """The supremum of sigma_1 over every input size, enclosed: ``sup_w sigma_1(F(w))``.

    F is the symbol of the layer (:meth:`ConvOperator.symbol`), w a continuous frequency.
    Branch and bound with one Cholesky test per cell proves the upper end, a singular
    vector the lower one, all rounding accounted for. Neither depends on an input size:

    * zero padding of any amount: the norm grows with the size towards the supremum and
      never exceeds it, stride, dilation, groups and transposition included;
    * circular padding that keeps the size: the same supremum. With stride s that is so
      for sizes that s divides; other sizes are bounded by the supremum without stride,
      which is then the upper end. Padding that goes around further repeats rows, and
      the upper end grows by the root of how often;
    * reflect and replicate padding repeat pixels: the upper end is the supremum times
      the norm of the padding map, the root of how often a pixel is shown at most: per
      axis sqrt(1 + p) for replicate, sqrt(2) for reflect, sqrt(3) if sizes up to 2 p + 1
      are possible. The supremum alone is no bound for them; the truth is in between.

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
        padding_mode: ``"zeros"``, ``"circular"``, ``"reflect"`` or ``"replicate"``.
        transposed: Whether the weight is that of a transposed convolution.
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
        ValueError: If rtol is not in (0, 1), or a budget not positive.
        TooLargeError: If a few values of the symbol need more than ``max_bytes``.
        UnsupportedLayer: If the layer is no convolution.
        NotFiniteError: If the weight holds NaN or infinity.

    Example:
        >>> import torch, convspec as cs
        >>> bound = cs.worst_case_norm(torch.tensor([[[1.0, -2.0, 1.0]]]))
        >>> 4.0 in bound, bound.gap < 1e-12
        (True, True)
    """
    op = operator_of(
        layer,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        padding_mode=padding_mode,
        transposed=transposed,
    )
    budget = _budget(rtol, max_flops, max_evaluations, max_seconds, max_bytes)
    return _every_size(op, rtol, budget)


@isolated
def supremum(
    op: ConvOperator,
    rtol: float = 1e-6,
    max_evaluations: int = MAX_EVALUATIONS,
    max_seconds: float = math.inf,
    *,
    max_bytes: int = DEFAULT_MAX_BYTES,
    max_flops: float = MAX_FLOPS,
) -> Bound:
    """``sigma_1 <= sqrt(repeats) sup_w sigma_1(F(w))``, the supremum of the symbol F.

    It is that of :func:`worst_case_norm`, over all real frequencies w, with the padding's
    factor at this input size. ``repeats`` is 1 with zero padding of any amount and with
    circular padding that keeps the size; reflect and replicate padding count how often a
    pixel is shown at most, and more circular padding how often a row or a pixel occurs.
    Where a circular stride s does not divide the size n, F is the symbol with stride
    gcd(s, n), or with s on an endless line, whichever bound is less.
    ``assumptions`` says which of these it is, and at which gap, if a budget ended the
    search: the bound holds all the same.

    Differentiable once in the weight by the envelope theorem: the frequency and the
    singular vectors found, which maximise, are held fixed. At ties between frequencies,
    groups or vectors through one of them, a subgradient; 0 at zero.

    Args:
        op: The operator.
        rtol: Relative gap of the supremum to stop at.
        max_evaluations: Frequencies to test at most.
        max_seconds: Wall time to stop at, about; what is found by then depends on the
            machine. No limit unless told.
        max_bytes: Byte limit of what is held at a time. Where the products of all taps
            do not fit, the symbol is evaluated anew at every frequency; a search whose
            cells do not ends early.
        max_flops: Operations to spend, about; 3e12 are a minute or so on two cores.

    Source: branch and bound by Bernstein's inequality for trigonometric polynomials,
    Duffin and Schaeffer, "Some inequalities concerning functions of exponential type",
    Bull. Amer. Math. Soc. 44, 1938; Cholesky tests by Rump, "Verification of positive
    definiteness", BIT 46, 2006.

    Raises:
        ValueError: If rtol is not in (0, 1), or a budget not positive.
        TooLargeError: If a few values of the symbol need more than ``max_bytes``.

    >>> import torch, convspec as cs
    >>> op = cs.ConvOperator(torch.tensor([[[1.0, -2.0, 1.0]]]), 50, padding=1)
    >>> round(cs.bounds.supremum(op).upper, 12)
    4.0
    """
    budget = _budget(rtol, max_flops, max_evaluations, max_seconds, max_bytes)
    kernel = ScaledKernel.of(op)
    _require_symbol(op, max_bytes)

    def bound(setting: Setting) -> Candidate:
        found = enclose_largest(kernel.symbol(setting.strides), rtol, budget)
        gap = Enclosure(found.lower, found.upper).gap
        ended = f"; ended by its budget at a gap of {gap:.1e}" if gap > rtol else ""
        value = found.value * setting.factor
        return Candidate(
            up(found.upper * setting.factor), setting.words + ended, lambda: value
        )

    best = least(map(bound, settings(kernel.axes)))
    return kernel.bound(
        "supremum",
        upper=best.upper,
        value=best.value(),
        assumptions=best.words,
        reference=REFERENCE,
    )


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
    max_bytes: int = DEFAULT_MAX_BYTES,
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
    op = operator_of(
        layer, stride=stride, dilation=dilation, groups=groups, transposed=transposed
    )
    budget = _budget(rtol, max_flops, max_evaluations, max_seconds, max_bytes)
    _require_symbol(op, max_bytes)
    strided = [True] * len(op.geometry.axes)
    ends = enclose_smallest(symbol_of(op, strided), rtol, budget)
    names = ("supremum of sigma_1", "infimum of sigma_n")
    what = "all frequencies: circular padding that keeps the size, every size"
    if max(axis.stride for axis in op.geometry.axes) > 1:
        what += " that the stride divides"
    largest, smallest = (
        _worst_case(
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


def _ratio(largest: Bound, smallest: Bound, what: str) -> Bound:
    """The condition number; of zero weights it is anything from 1."""
    lower, upper = (largest / smallest) & Enclosure(1.0, math.inf)
    return Bound(lower, upper, "supremum of the condition number", what, REFERENCE)


def _every_size(op: ConvOperator, rtol: float, budget: SearchBudget) -> WorstCase:
    """The supremum of the symbol, times what the padding repeats."""
    _require_symbol(op, budget.bytes)
    axes = op.geometry.axes
    repeats = [every_size(axis) for axis in axes]
    factor = math.sqrt(math.prod(repeat.count for repeat in repeats))
    strided = [True] * len(repeats)
    exact = enclose_largest(symbol_of(op, strided), rtol, budget)
    upper = exact
    if not all(repeat.with_stride for repeat in repeats):
        strided = [repeat.with_stride for repeat in repeats]
        upper = enclose_largest(symbol_of(op, strided), rtol, budget)
    return _worst_case(
        replace(upper, frequency=own_frequency(op, strided, upper.frequency)),
        "worst_case_norm",
        conditions(axes),
        rtol,
        budget,
        exact.lower,
        upper.upper if factor == 1 or upper.upper == 0 else up(upper.upper * up(factor)),
        factor,
    )


def _worst_case(
    extreme: Extreme,
    name: str,
    assumptions: str,
    rtol: float,
    budget: SearchBudget,
    lower: float,
    upper: float,
    factor: float = 1.0,
) -> WorstCase:
    return WorstCase(
        lower,
        upper,
        name,
        assumptions,
        REFERENCE,
        value=extreme.value * factor,
        frequency=extreme.frequency,
        rtol=rtol,
        evaluations=budget.evaluations,
        supremum_gap=Enclosure(extreme.lower, extreme.upper).gap,
        short_of=budget.short_of,
    )


def _require_symbol(op: ConvOperator, max_bytes: int) -> None:
    """Refuse kernels whose symbol alone is too large."""
    needed = symbol_bytes(op.weight)
    instead = "take a kernel of fewer channels"
    require_bytes("the symbol of the kernel", needed, max_bytes, instead)


def _budget(
    rtol: float,
    max_flops: float,
    max_evaluations: float,
    max_seconds: float,
    max_bytes: int,
) -> SearchBudget:
    single("rtol", rtol)
    if not 0 < rtol < 1:
        raise ValueError(f"rtol must be between 0 and 1; got {shown(rtol)}")
    for name, value in (
        ("max_flops", max_flops),
        ("max_evaluations", max_evaluations),
        ("max_seconds", max_seconds),
    ):
        if not value > 0:
            raise ValueError(
                f"{name} must be positive; got {shown(value)}; inf is no limit"
            )
    return SearchBudget(max_flops, max_bytes, max_seconds, most=max_evaluations)
