"""The search for the nearest kernel that keeps a bound, up to its certificate."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import torch
from torch import Tensor

from convspec.clipping.guarantee import Guarantee
from convspec.clipping.matrix import MAX_FLOPS, Matrix
from convspec.clipping.nearest import Values, nearest
from convspec.clipping.torus import Torus
from convspec.errors import NotConverged
from convspec.quantity.bound import Bound
from convspec.rounding.scaling import ldexp, real_parts

__all__ = ["Search", "distance"]

# searches, each at a level that the norm found before asks for
LEVELS = 4
# relative to what the norm is too large by, and to rtol: how near the bound the norm of
# a search's kernel is to be, and to what part of that it is known
NEAR, KNOWN = 0.2, 0.2
# the gap of a check
CHECKED = 1e-6
# beside a kernel near 1; what is below is made up for after scaling back
LEAST = sys.float_info.min
# attempts to round a kernel so that its norm still keeps the bound
ATTEMPTS = 40


@dataclass(frozen=True)
class Search:
    """The search for one operator.

    Attributes:
        guarantee: What the bound is for.
        bound: What sigma_1 is to be at most.
        rtol: How far, relative, the distance may be from the least.
        max_steps: Projections of one search at most.
        max_bytes: Byte limit of a step.
    """

    guarantee: Guarantee
    bound: float
    rtol: float
    max_steps: int
    max_bytes: int

    def run(self) -> tuple[Tensor, Bound, int]:
        """The weight, its norm, and the steps that it took."""
        given = self.guarantee.op.weight
        norm = self.guarantee.norm(given)
        if norm.upper <= self.bound:
            return given.clone(), norm, 0
        wide = given.to(torch.complex128 if given.is_complex() else torch.float64)
        exponent = math.frexp(float(real_parts(wide).abs().max()))[1]
        kernel = ldexp(wide, -exponent)
        bound = max(math.ldexp(self.bound, -exponent), LEAST)
        torus = Torus.of(
            self.guarantee.op, self.guarantee.sizes is not None, self.max_bytes
        )
        live = torch.where(torus.live, kernel, 0)
        matrix = Matrix(self.guarantee.op.with_weight(live))
        if self._is_small(matrix, torus):
            found, steps = self._nearest(matrix, 1 / matrix.root, live, bound)
        else:
            found, steps = self._nearest(torus, 1.0, live, bound)
        found, norm = self._rounded(found, torch.where(torus.live, 0, wide), exponent)
        return found, norm, steps

    def _is_small(self, matrix: Matrix, torus: Torus) -> bool:
        """Whether there is a border, and the matrix can be decomposed at every step."""
        if self.guarantee.sizes is not None or torus.exact:
            return False
        m, n = matrix.op.shape
        return matrix.flops <= MAX_FLOPS and 64 * m * n <= self.max_bytes

    def _nearest(
        self, space: Values, scale: float, kernel: Tensor, bound: float
    ) -> tuple[Tensor, int]:
        """The nearest kernel of all levels, and the number of steps.

        Args:
            space: What is clipped.
            scale: How many times the operator's values those are.
            kernel: The kernel.
            bound: Of the operator.
        """
        above = self.guarantee.norm(kernel).upper
        best = kernel * (bound / above)
        level, steps, dual = bound, 0, None
        near_enough = max(2 * CHECKED, NEAR * self.rtol * (above / bound - 1))
        known = max(CHECKED, min(0.1, KNOWN * near_enough))
        for _ in range(LEVELS):
            near = nearest(space, kernel, scale * level, self.rtol, self.max_steps, dual)
            steps, dual = steps + near.steps, near.dual
            norm = self.guarantee.norm(near.kernel, known).upper
            found = _onto(near.kernel, norm, kernel, above, bound)
            best = min(best, found, key=lambda some: distance(some, kernel))
            if norm == 0 or abs(norm / bound - 1) <= near_enough:
                break
            level *= bound / norm
        norm = self.guarantee.norm(best).upper
        return _onto(best, norm, kernel, above, bound), steps

    def _rounded(
        self, kernel: Tensor, dead: Tensor, exponent: int
    ) -> tuple[Tensor, Bound]:
        """The kernel in the weight's dtype, made less until its norm is proved."""
        dtype = self.guarantee.op.dtype
        factor, room = 1.0, float(torch.finfo(dtype).eps)
        for _ in range(ATTEMPTS):
            weight = (ldexp(kernel * factor, exponent) + dead).to(dtype)
            norm = self.guarantee.norm(weight)
            if norm.upper <= self.bound:
                return weight, norm
            part = self.bound / norm.upper if math.isfinite(norm.upper) else 0.5
            factor *= (1 - room) * part
            room = min(0.5, 2 * room)
        raise NotConverged(
            f"the norm of the rounded kernel must be proved to be at most {self.bound}; "
            f"the best proof is {norm.upper}; give the operator in float64"
        )


def _onto(
    kernel: Tensor, norm: float, given: Tensor, above: float, bound: float
) -> Tensor:
    """A kernel moved onto the bound: scaled down, or towards the one given.

    The norm is convex: between two kernels it is at most between their norms.

    Args:
        kernel: The kernel.
        norm: At least its norm.
        given: A kernel beyond the bound.
        above: At least the norm of that.
        bound: The bound.
    """
    if norm > bound:
        return kernel * (bound / norm)
    if above <= bound:  # of a proof that the scale has made tighter
        return given
    part = (bound - norm) / (above - norm)
    return kernel + part * (given - kernel)


def distance(kernel: Tensor, given: Tensor) -> float:
    """``||K' - K||_F / ||K||_F``; 0 for kernels of zeros."""
    wide = torch.complex128 if given.is_complex() else torch.float64
    kernel, given = kernel.to(wide), given.to(wide)
    scale = float(real_parts(given).abs().max())
    if not scale:
        return 0.0
    off = torch.linalg.vector_norm((kernel - given) / scale)
    return float(off / torch.linalg.vector_norm(given / scale))
