"""Singular triples of an operator."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convspec.arrays import FloatArray
from convspec.operators.operator import ConvOperator

__all__ = ["KrylovResult", "one_by_one"]


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


def one_by_one(op: ConvOperator, rows: Tensor) -> Tensor:
    """A x for rows x (count, n): (count, m), or all at once on a GPU.

    In double precision torch convolves by unfolding; one unfolded image fits the cache.
    """
    at_once = len(rows) if rows.is_cuda else 1
    images = torch.split(rows.reshape(len(rows), *op.input_shape), at_once)
    return torch.cat([op.apply(some).flatten(1) for some in images])
