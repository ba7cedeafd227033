"""The pseudo-inverse of a linear map, as a linear map."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from convspec.arguments import shown, single
from convspec.errors import NotApplicable, NotConverged
from convspec.inverse.decomposition import Decomposition
from convspec.inverse.factored import Scaled
from convspec.inverse.iterative import least_squares_by_products, wave_preconditioner
from convspec.inverse.methods import (
    DECOMPOSED,
    check_method,
    direct_inverse,
    form_or_none,
    may_decompose,
    zero_part,
)
from convspec.inverse.size import inverse_norm, norm
from convspec.isolation import isolated_class
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit
from convspec.operators.composed.normal import normal_form
from convspec.operators.linear_map import LinearMap
from convspec.rounding.scaling import ldexp

__all__ = ["PseudoInverse", "pseudo_inverse"]


# damping beside which ``A^H A`` of a map near 1 is nothing, and no square overflows
LARGEST = 2.0**500


@dataclass(frozen=True)
class Solver:
    """How a pseudo-inverse is computed.

    Attributes:
        op: The map A.
        damp: At least 0.
        zero_part: Singular values up to this part of the largest count as zero.
        method: ``"auto"``, ``"direct"`` or ``"krylov"``.
        rtol: Of iterations.
        max_products: Of iterations, for an image.
        max_bytes: Of what is held at a time.
    """

    op: LinearMap
    damp: float
    zero_part: float
    method: str
    rtol: float
    max_products: int
    max_bytes: int

    @cached_property
    def decomposition(self) -> Decomposition | None:
        """A in singular vectors; None where products with it serve instead."""
        form = form_or_none(self.op, self.method, self.max_bytes)
        if not may_decompose(form, self.method, self.max_bytes):
            return None
        assert form is not None
        return Decomposition.of(form)

    @cached_property
    def factors(self) -> Scaled | None:
        """Of a square map that is too large to decompose, and of full rank; or None."""
        if self.damp or self.op.shape[0] != self.op.shape[1]:
            return None
        form = form_or_none(self.op, self.method, self.max_bytes)
        if form is None or not form.parts:
            return None
        try:
            found = direct_inverse(form, self.method, self.max_bytes)
        except NotApplicable:  # singular
            return None
        if found is None:
            return None
        least = 1 / inverse_norm(found, form.op)
        return (
            Scaled(found, form.exponent)
            if least > self.zero_part * norm(form.op)
            else None
        )

    @property
    def rank(self) -> int | None:
        """How many singular values do not count as zero; None if by products."""
        found = self.decomposition
        if found is not None:
            return int((found.values > self.zero_part * found.norm).sum())
        return None if self.factors is None else self.op.shape[0]

    def applied(self, images: Tensor, adjoint: bool) -> Tensor:
        """The pseudo-inverse of images, or its adjoint; in double precision."""
        found = self.decomposition
        if found is None and self.factors is not None:
            return self.factors.adjoint(images) if adjoint else self.factors.solve(images)
        if found is None:
            return self._by_products(images, adjoint)
        damp = _shifted(self.damp, -found.form.exponent)
        cut = self.zero_part * found.norm
        return found.pseudo_inverse(images, cut, damp, adjoint)

    def _by_products(self, images: Tensor, adjoint: bool) -> Tensor:
        """``A^+H = (A^H)^+``, damped or not."""
        op = self.op.H if adjoint else self.op
        work, exponent = normal_form(op)
        damp = _shifted(self.damp, -exponent)
        if damp > LARGEST:  # (A^H A + damp^2)^-1 A^H to double precision
            back = op.H.to(images.dtype)._images(images)
            return back / self.damp / self.damp
        precondition = None
        if damp:
            precondition = wave_preconditioner(work, damp, self.max_bytes, DECOMPOSED)
        found = least_squares_by_products(
            work, images, damp, self.rtol, self.max_products, precondition
        )
        x = ldexp(found.images, -exponent)
        if not found.converged:
            raise NotConverged(
                f"a least-squares solution must meet rtol = {self.rtol:g} within "
                f"max_products = {self.max_products}; it did not; raise max_products or "
                "rtol, damp the problem with damp=..., or use method='direct'; the best "
                "so far is in .best",
                x,
            )
        return x


@isolated_class
@dataclass(frozen=True, eq=False, repr=False)
class PseudoInverse(LinearMap):
    """``V S / (S^2 + damp^2) U^H`` of a map with ``A = U S V^H``, or its adjoint.

    Without damping it is the Moore-Penrose inverse: ``A^+ y`` is, of all x that make
    ``||A x - y||`` least, the one of least norm.

    Attributes:
        solver: What it is of, and how it is computed.
        adjoint_of: Whether it is the adjoint of that.
    """

    solver: Solver
    adjoint_of: bool = False

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of an output of A."""
        op = self.solver.op
        return op.input_shape if self.adjoint_of else op.output_shape

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Of an input of A."""
        op = self.solver.op
        return op.output_shape if self.adjoint_of else op.input_shape

    @property
    def dtype(self) -> torch.dtype:
        """That of A; all is computed in double precision."""
        return self.solver.op.dtype

    @property
    def device(self) -> torch.device:
        """That of A."""
        return self.solver.op.device

    @property
    def T(self) -> PseudoInverse:  # noqa: N802
        """The pseudo-inverse of the transpose."""
        if not self.dtype.is_complex:
            return self.H
        return self._of(self.solver.op.T)

    @property
    def H(self) -> PseudoInverse:  # noqa: N802
        """The pseudo-inverse of the adjoint."""
        return replace(self, adjoint_of=not self.adjoint_of)

    def to(
        self,
        dtype: torch.dtype | None = None,
        device: str | torch.device | None = None,
    ) -> PseudoInverse:
        """The pseudo-inverse of A in another dtype or on another device."""
        return self._of(self.solver.op.to(dtype, device))

    def _of(self, op: LinearMap) -> PseudoInverse:
        return replace(self, solver=replace(self.solver, op=op))

    def to_sparse(self, *, max_bytes: Bytes = DEFAULT_MAX_BYTES) -> sparse.csr_array:
        """The matrix in CSR format, (n, m); most of its entries are not zero."""
        dense = self.to_dense(max_bytes=byte_limit(max_bytes) / 3).detach().cpu()
        if dense.dtype in (torch.float16, torch.bfloat16):
            dense = dense.float()
        return sparse.csr_array(dense.resolve_conj().numpy())

    @property
    def rank(self) -> int | None:
        """How many singular values do not count as zero; None if by products."""
        return self.solver.rank

    def _images(self, y: Tensor) -> Tensor:
        return _applied(y, self.solver, self.adjoint_of)


class _Applied(torch.autograd.Function):
    """Products with a pseudo-inverse: gradients reach the images."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, solver: Solver, adjoint: bool) -> Tensor:
        ctx.how = solver, adjoint
        return _computed(images, solver, adjoint)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        solver, adjoint = ctx.how
        return _applied(gradient, solver, not adjoint), None, None


def _applied(images: Tensor, solver: Solver, adjoint: bool) -> Tensor:
    found: Tensor = _Applied.apply(images, solver, adjoint)  # type: ignore[no-untyped-call]
    return found


def _computed(images: Tensor, solver: Solver, adjoint: bool) -> Tensor:
    """Products in double precision; of complex images and a real map, two at a time."""
    if images.is_complex() and not solver.op.dtype.is_complex:
        both = torch.cat([images.real, images.imag])
        real, imaginary = _computed(both, solver, adjoint).chunk(2)
        return torch.complex(real, imaginary)
    op = solver.op
    if not len(images):
        return images.new_zeros(0, *(op.output_shape if adjoint else op.input_shape))
    wide = torch.complex128 if images.is_complex() else torch.float64
    return solver.applied(images.to(wide), adjoint).to(images.dtype)


def _shifted(damp: float, exponent: int) -> float:
    """``2^e damp``, inf beyond double precision."""
    with np.errstate(over="ignore", under="ignore"):
        return float(np.ldexp(damp, int(np.clip(exponent, -10_000, 10_000))))


def pseudo_inverse(
    op: LinearMap,
    damp: float,
    rank_rtol: float | None,
    method: str,
    rtol: float,
    max_products: int,
    max_bytes: Bytes,
) -> PseudoInverse:
    """The pseudo-inverse, with arguments checked."""
    check_method(method, rtol, max_products)
    single("damp", damp)
    if not 0 <= damp < math.inf:
        raise ValueError(f"damp must be a finite number of at least 0; got {shown(damp)}")
    return PseudoInverse(
        Solver(
            op,
            float(damp),
            zero_part(rank_rtol, op),
            method,
            float(rtol),
            max_products,
            byte_limit(max_bytes),
        )
    )
