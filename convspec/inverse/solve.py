"""Linear equations and least squares with a map, with the residuals that are left."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from convspec.errors import NotApplicable, NotConverged
from convspec.inverse.factored import Inverse, Scaled
from convspec.inverse.iterative import (
    Precondition,
    least_squares_by_products,
    wave_preconditioner,
)
from convspec.inverse.methods import (
    DECOMPOSED,
    check_method,
    direct_inverse,
    form_or_none,
    singular,
)
from convspec.inverse.pseudo_inverse import PseudoInverse
from convspec.inverse.size import norm
from convspec.isolation import isolated_class
from convspec.limits import Bytes, byte_limit
from convspec.operators.composed.normal import normal_form
from convspec.operators.linear_map import LinearMap

__all__ = ["LeastSquares", "least_squares", "solved"]

# what is left of an equation, relative to ``||A|| ||x|| + ||y||``, is eps times a small
# number by factors that are stable; more than the root of eps says that they were not
STABLE = 2.0**-26


@isolated_class
@dataclass(frozen=True, eq=False)
class LeastSquares:
    """The x of least ``||A x - y||^2 + damp^2 ||x||^2``, of those the shortest.

    Attributes:
        solution: x, (..., *input_shape).
        residual: ``||A x - y||`` of each image; (...), float64.
        gradient: ``||A^H (y - A x) - damp^2 x||`` of each, 0 at the exact solution.
        rank: How many singular values of A do not count as zero; None if that is not
            known, by products.
        method: ``"direct"`` or ``"krylov"``.
    """

    solution: Tensor
    residual: Tensor
    gradient: Tensor
    rank: int | None
    method: str


def least_squares(inverse: PseudoInverse, y: Tensor) -> LeastSquares:
    """The least-squares solutions by a pseudo-inverse, and how good they are."""
    op, damp = inverse.solver.op, inverse.solver.damp
    x = inverse.apply(y)
    with torch.no_grad():
        op = op.to(_wide(x))
        given = y.detach().to(x.dtype).to(_wide(x))
        left = given - op.apply(x.detach().to(_wide(x)))
        slope = op.adjoint(left) - damp * (damp * x.detach())
    dims = len(op.input_shape)
    rank = inverse.rank
    method = "krylov" if rank is None else "direct"
    return LeastSquares(x, _norms(left, dims), _norms(slope, dims), rank, method)


def solved(
    op: LinearMap,
    y: Tensor,
    method: str,
    rtol: float,
    max_products: int,
    max_bytes: Bytes,
) -> Tensor:
    """The x with ``A x = y``; differentiable in y and in the map's numbers.

    ``x = x_0 + A^-1 (y - A x_0)``: a step of refinement, through which gradients pass.
    """
    check_method(method, rtol, max_products)
    if op.shape[0] != op.shape[1]:
        raise NotApplicable(
            "solve needs as many outputs as inputs; got a map of "
            f"{op.shape[0]} x {op.shape[1]}; use lstsq(y)",
            "solve",
        )
    y = op.H._checked("y", y)
    lead = y.shape[: y.ndim - len(op.output_shape)]
    wide = _wide(y)
    images = y.reshape(math.prod(lead), *op.output_shape).to(wide)
    if not len(images):
        return y.new_zeros(*lead, *op.input_shape)
    exact = op.to(wide)
    given = method, rtol, max_products, byte_limit(max_bytes)
    inverse, allowed = _inverse(exact, *given)
    x = _solved(images.detach(), inverse).detach()
    x = x + _solved(images - exact.apply(x), inverse)
    left = _backward_error(exact, x.detach(), images.detach())
    x = x.to(y.dtype).reshape(*lead, *op.input_shape)
    if not left <= allowed:
        raise NotConverged(
            f"||A x - y|| must be at most {allowed:.1e} of ||A|| ||x|| + ||y||; "
            f"it is {left:.1e}; A may be singular: use lstsq(y), damp it, or raise "
            "max_products; the best so far is in .best",
            x,
        )
    return x


def _inverse(
    op: LinearMap, method: str, rtol: float, max_products: int, max_bytes: int
) -> tuple[Scaled, float]:
    """The inverse, and the backward error that is put up with."""
    form = form_or_none(op, method, max_bytes)
    if form is not None:
        if not form.parts:
            raise singular()
        inverse = direct_inverse(form, method, max_bytes)
        if inverse is not None:
            return Scaled(inverse, form.exponent), STABLE
    work, exponent = normal_form(op)
    inverse = _ByProducts(work, rtol, max_products, max_bytes)
    return Scaled(inverse, exponent), max(STABLE, 100 * rtol)


@dataclass(frozen=True)
class _ByProducts:
    """Solves by LSMR, with the inverse root of the Gram matrix on a torus."""

    op: LinearMap
    rtol: float
    max_products: int
    max_bytes: int

    def solve(self, y: Tensor) -> Tensor:
        return self._by(self.op, y, self._precondition)

    def adjoint(self, x: Tensor) -> Tensor:
        return self._by(self.op.H, x, self._of_adjoint)

    @cached_property
    def _precondition(self) -> Precondition | None:
        return wave_preconditioner(self.op, 0.0, self.max_bytes, DECOMPOSED)

    @cached_property
    def _of_adjoint(self) -> Precondition | None:
        return wave_preconditioner(self.op.H, 0.0, self.max_bytes, DECOMPOSED)

    def _by(self, op: LinearMap, y: Tensor, by: Precondition | None) -> Tensor:
        found = least_squares_by_products(op, y, 0.0, self.rtol, self.max_products, by)
        return found.images


class _Solved(torch.autograd.Function):
    """``A^-1 y`` with A held fixed."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, inverse: Inverse) -> Tensor:
        ctx.inverse = inverse
        return inverse.solve(y)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _solved(gradient, _Adjoint(ctx.inverse)), None


def _solved(y: Tensor, inverse: Inverse) -> Tensor:
    found: Tensor = _Solved.apply(y, inverse)  # type: ignore[no-untyped-call]
    return found


@dataclass(frozen=True)
class _Adjoint:
    inverse: Inverse

    def solve(self, x: Tensor) -> Tensor:
        return self.inverse.adjoint(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self.inverse.solve(y)


def _backward_error(op: LinearMap, x: Tensor, y: Tensor) -> float:
    """``||A x - y|| / (||A|| ||x|| + ||y||)`` of the worst image, ||A|| from below."""
    with torch.no_grad():
        left = _norms(op.apply(x) - y, len(op.output_shape))
        scale = norm(op) * _norms(x, len(op.input_shape))
        scale = scale + _norms(y, len(op.output_shape))
        error = torch.where(scale > 0, left / scale, left)
        return float(error.max()) if len(error) else 0.0


def _norms(images: Tensor, dims: int) -> Tensor:
    lead = images.shape[: images.ndim - dims]
    flat = images.reshape(*lead, -1)
    lengths: Tensor = torch.linalg.vector_norm(flat, dim=-1)
    return lengths


def _wide(x: Tensor) -> torch.dtype:
    return torch.complex128 if x.is_complex() else torch.float64
