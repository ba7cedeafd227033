"""The least level that a test proves: raised until a Cholesky factorisation runs through.

Let q be the number to be bounded and ``test(level)`` return a number that is at least q
whenever it returns one below inf. Then what is returned here is at least q, and nothing
else is assumed: neither of the first level, which is an estimate of whatever quality, nor
of how levels are raised. These decide how sharp the bound is, never whether it holds. The
least of several bounds is one, and so is the least of these and one known before.

Such a test, for ``q = ||X||`` where X is within ``radius`` of Y, ``G = Y Y^H`` and M the
computed G, ``||M - G|| <= error``:

    a Cholesky factorisation proves  lambda_max(G) <= level,  with ``error`` and its own
    rounding taken off the diagonal of ``level I - M`` first
    (:func:`convspec.rounding.definite.at_most`);
    then  ||Y|| <= sqrt(level),  and  ||X|| <= sqrt(level) + radius  by Weyl.

It returns the right side rounded up where the factorisation is completed, and inf where
it is not: that says nothing.

Completion needs ``level >= (1 + s) q^2``, with s a multiple of the unit roundoff for what
is taken off. From an estimate that is right to s a first level of ``1 + s`` times it is
enough, and ``step`` is this s; where it is not, the distance is raised by a factor, so
that it ends at most so many times what was needed, after few tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

__all__ = ["distances", "least_proven", "least_proven_of"]

# each distance above an estimate is so many times the one before; all are below 1
GROWTH = 4.0


def distances(step: float) -> Iterator[float]:
    """Relative distances above an estimate at which to test, the first one ``step``.

    >>> list(distances(2.0**-10))
    [0.0009765625, 0.00390625, 0.015625, 0.0625, 0.25]
    """
    while step < 1:
        yield step
        step *= GROWTH


def least_proven(
    test: Callable[[Tensor, Tensor], Tensor], first: Tensor, step: float, known: Tensor
) -> Tensor:
    """At least the number of each of several problems, as little as the test proves.

    Args:
        test: Of levels (k,) and the places of the problems that they are for, (k,),
            int64: what each proves, at least the problem's number, or inf; (k,).
        first: Estimates in the terms of the levels; (b,), float64. Nothing is tested
            above those that are not positive and finite: raised, they stay what they are.
        step: Relative distance above them of the first levels, in (0, 1).
        known: Bounds that hold already, inf where there are none; (b,).

    Returns:
        (b,), at most ``known``.
    """
    found = known.clone()
    left = torch.nonzero((first > 0) & torch.isfinite(first)).flatten()
    for distance in distances(step):
        if not len(left):
            break
        proven = test(first[left] * (1 + distance), left)
        found[left] = torch.minimum(found[left], proven)
        left = left[~(proven < math.inf)]
    return found


def least_proven_of(test: Callable[[float], float], first: float, step: float) -> float:
    """:func:`least_proven` of one problem, of which no bound is known.

    Args:
        test: Of a level: what it proves, or inf.
        first: An estimate in its terms.
        step: Relative distance above it of the first level, in (0, 1).

    Returns:
        What was proven, inf where nothing was.
    """

    def one(levels: Tensor, _: Tensor) -> Tensor:
        return torch.tensor([test(float(levels))], dtype=torch.float64)

    estimate = torch.tensor([first], dtype=torch.float64)
    return float(least_proven(one, estimate, step, torch.full_like(estimate, math.inf)))
