"""The norm at one input size by the supremum of the symbol over all frequencies."""

from __future__ import annotations

import math

from convspec.bounds.every_frequency import (
    MAX_EVALUATIONS,
    MAX_FLOPS,
    REFERENCE,
    require_symbol,
    search_budget,
)
from convspec.bounds.least import Candidate, least
from convspec.frequency.search.extremes import enclose_largest
from convspec.isolation import isolated
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit
from convspec.operators.kernel import ScaledKernel
from convspec.operators.operator import ConvOperator
from convspec.quantity.bound import Bound
from convspec.quantity.enclosure import Enclosure
from convspec.rounding.directed import up
from convspec.tori.places import Setting, settings

__all__ = ["supremum"]


@isolated
def supremum(
    op: ConvOperator,
    rtol: float = 1e-6,
    max_evaluations: int = MAX_EVALUATIONS,
    max_seconds: float = math.inf,
    *,
    max_bytes: Bytes = DEFAULT_MAX_BYTES,
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
    max_bytes = byte_limit(max_bytes)
    budget = search_budget(rtol, max_flops, max_evaluations, max_seconds, max_bytes)
    kernel = ScaledKernel.of(op)
    require_symbol(op, max_bytes)

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
