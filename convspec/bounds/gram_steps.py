"""Repeated Gram matrices, scaled by powers of two, and norms led back through them.

``X_0 = F``, ``Y_j = 2^-e_j X_j``, ``X_(j+1) = fl(Y_j Y_j^H)``. For Schatten norms
``||Y||_(2p)^2 = ||Y Y^H||_p``, so that

    ||X_j||_(2p)  <=  2^e_j sqrt(||X_(j+1)||_p + error_j),

where error_j bounds the Frobenius norm of the rounding in one product. Led back from the
last step to the first, ``||X_t||_F`` becomes a bound on the Schatten norm ``2^(t+1)`` of
F that no rounding undercuts, in float32 as in float64: scaling is exact, and what
published code does with logarithms is done by exponents.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from convspec.rounding import gamma
from convspec.rounding.products import product_error
from convspec.rounding.scaling import root

__all__ = ["GramSteps"]

# unit roundoff and smallest normal number of the parts
UNITS = {
    torch.complex64: (2.0**-24, 2.0**-126),
    torch.complex128: (2.0**-53, 2.0**-1022),
}
# a few correctly rounded operations
SEVERAL = 1 + gamma(8)


@dataclass(frozen=True)
class GramSteps:
    """X_t of a batch, and how it came about; differentiable in X_0.

    Attributes:
        matrices: X_t; (b, rows, columns), complex.
        exponents: The e_j of the steps taken, each (b,).
        errors: The error_j of the steps taken, each (b,).
    """

    matrices: Tensor
    exponents: tuple[Tensor, ...] = ()
    errors: tuple[Tensor, ...] = ()

    def step(self) -> GramSteps:
        """The Gram matrices of these matrices, on the shorter side, scaled."""
        x = self.matrices.mH if _tall(self.matrices) else self.matrices
        lengths = self._lengths_above()
        exponents = torch.frexp(lengths)[1]
        shrink = _power(-exponents)
        y = x * shrink[:, None, None].to(x.dtype)
        unit, tiny = UNITS[x.dtype]
        squares = (lengths * shrink).square()
        # products that underflow lose up to the smallest normal number each
        underflow = 4 * x.shape[-1] * x.shape[-2] * tiny
        errors = (product_error(x.shape[-1], True, unit) * squares + underflow) * SEVERAL
        return GramSteps(y @ y.mH, (*self.exponents, exponents), (*self.errors, errors))

    def take(self, places: Tensor) -> GramSteps:
        """The state of some matrices of the batch."""
        return GramSteps(
            self.matrices[places],
            tuple(values[places] for values in self.exponents),
            tuple(values[places] for values in self.errors),
        )

    def above(self) -> Tensor:
        """At least the Schatten norm ``2^(t+1)`` of each X_0, so its norm; (b,)."""
        norms = self._lengths_above()
        for exponents, errors in zip(
            reversed(self.exponents), reversed(self.errors), strict=True
        ):
            norms = _power(exponents) * (norms + errors).sqrt() * SEVERAL
        return norms

    def value(self) -> Tensor:
        """The Schatten norms as computed, differentiable in X_0; (b,)."""
        norms: Tensor = torch.linalg.vector_norm(self.matrices, dim=(1, 2)).double()
        for exponents in reversed(self.exponents):
            norms = _power(exponents) * root(norms)
        return norms

    def _lengths_above(self) -> Tensor:
        """At least the Frobenius norm of each X_t, in float64; (b,)."""
        x = self.matrices.detach()
        lengths: Tensor = torch.linalg.vector_norm(x, dim=(1, 2), dtype=torch.complex128)
        return lengths * (1 + gamma(2 * x.shape[1] * x.shape[2] + 8))


def _power(exponents: Tensor) -> Tensor:
    """Powers of two, exactly."""
    return torch.from_numpy(np.ldexp(1.0, exponents.numpy()))


def _tall(matrices: Tensor) -> bool:
    return matrices.shape[-2] > matrices.shape[-1]
