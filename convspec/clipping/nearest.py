"""The nearest kernel of one support whose symbol, or matrix, keeps a bound.

Dykstra's alternating projections onto the symbols within the bound, value by value, and
onto the kernels of this support find it. They are the proximal gradient method on the
dual problem, max over P of

    1/2 ||K||^2 - 1/2 ||K - B P||^2 - c ||P||_*,

B the projection onto kernels and ``||.||_*`` the sum of all singular values: with the
momentum of Nesterov the same steps need tens of iterations instead of hundreds, and the
dual's value says how near to K any kernel within the bound can be. Matrices, which do not
keep squares of kernels, are divided by the root of what these grow by, the least that
makes the steps converge.

Source: Dykstra, "An algorithm for restricted least squares regression", J. Amer. Statist.
Assoc. 78, 1983; Boyle and Dykstra, "A method for finding projections onto the
intersection of convex sets in Hilbert spaces", 1986; Beck and Teboulle, "A fast iterative
shrinkage-thresholding algorithm", SIAM J. Imaging Sciences 2, 2009; O'Donoghue and
Candès, "Adaptive restart for accelerated gradient schemes", 2015.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

__all__ = ["Nearest", "Values", "nearest"]

# steps from one look at the gap to the next
EVERY = 5


class Values(Protocol):
    """Kernels as what is clipped: a linear map of norm 1 or less, and its adjoint."""

    @property
    def times(self) -> Tensor:
        """How often the values of each matrix count."""

    def values(self, kernel: Tensor) -> Tensor:
        """The matrices of a kernel; (..., rows, columns)."""

    def kernel(self, values: Tensor) -> Tensor:
        """The adjoint, a kernel."""


@dataclass(frozen=True)
class Nearest:
    """What the projections came to.

    Attributes:
        kernel: Its values are within the level, up to rounding.
        least: No kernel of this support within the level is nearer than this.
        steps: How many there were.
        dual: The values P, from which a search at another level may start.
    """

    kernel: Tensor
    least: float
    steps: int
    dual: Tensor


def nearest(
    space: Values,
    kernel: Tensor,
    level: float,
    rtol: float,
    max_steps: int,
    start: Tensor | None = None,
) -> Nearest:
    """The nearest kernel to a given one whose values are at most the level.

    Args:
        space: What is clipped.
        kernel: Double precision.
        level: The bound c.
        rtol: The distance may be this part above the least.
        max_steps: Steps at most.
        start: The dual of a search before.
    """
    dual = torch.zeros_like(space.values(kernel)) if start is None else start
    ahead, momentum = dual, 1.0
    best, least, steps = _within(space, kernel, level), 0.0, 0
    while steps < max_steps:
        steps += 1
        found = ahead + space.values(kernel - space.kernel(ahead))
        found, nuclear = _excess(space, found, level)
        moved = found - dual
        if _inner(space, ahead - found, moved) > 0:
            momentum = 1.0  # it overshoots
        following = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        ahead = found + ((momentum - 1) / following) * moved
        dual, momentum = found, following
        if steps % EVERY and steps < max_steps:
            continue
        near = kernel - space.kernel(dual)
        value = _square(kernel) / 2 - _square(near) / 2 - level * nuclear
        least = max(least, math.sqrt(max(0.0, 2 * value)))
        near = _within(space, near, level)
        best = min(best, near, key=lambda some: _square(some - kernel))
        if math.sqrt(_square(best - kernel)) <= (1 + rtol) * least:
            break
    return Nearest(best, least, steps, dual)


def _excess(space: Values, values: Tensor, level: float) -> tuple[Tensor, float]:
    """``sum (sigma_i - level)_+ u_i v_i^H`` of each value, and the sum of its values."""
    wide = values.shape[-2] < values.shape[-1]
    squares, vectors = torch.linalg.eigh(_gram(values))
    sigma = squares.clamp(min=0).sqrt()
    parts = torch.where(sigma > level, 1 - level / sigma.clamp(min=level), 0.0)
    shrink = (vectors * parts[..., None, :]) @ vectors.mH
    nuclear = float((space.times * (sigma - level).clamp(min=0)).sum())
    return shrink @ values if wide else values @ shrink, nuclear


def _within(space: Values, kernel: Tensor, level: float) -> Tensor:
    """The kernel, divided by what its values are too large by."""
    squares = torch.linalg.eigvalsh(_gram(space.values(kernel)))
    largest = math.sqrt(max(0.0, float(squares.max())))
    return kernel * (level / largest) if largest > level else kernel


def _gram(values: Tensor) -> Tensor:
    """The Gram matrix on the smaller side."""
    wide = values.shape[-2] < values.shape[-1]
    return values @ values.mH if wide else values.mH @ values


def _inner(space: Values, some: Tensor, others: Tensor) -> float:
    """The inner product of symbols, the mean over all frequencies."""
    products = (some.conj() * others).real
    return float((space.times[..., None] * products).sum())


def _square(kernel: Tensor) -> float:
    return float(kernel.abs().square().sum())
