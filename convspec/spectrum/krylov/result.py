"""Singular triples of an operator."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from convspec.arrays import FloatArray

__all__ = ["KrylovResult"]


@dataclass(frozen=True)
class KrylovResult:
    """Approximate singular triples, descending.

    Attributes:
        values: (count,).
        errors: For each value a distance within which A has a singular value.
        left: (count, *output_shape).
        right: (count, *input_shape).
        converged: Whether all residuals are within the tolerance.
        products: Images multiplied by A or its adjoint.
    """

    values: FloatArray
    errors: FloatArray
    left: Tensor
    right: Tensor
    converged: bool
    products: int
