"""Singular triples of an operator, and what products with it are worth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from convspec.operator import ConvOperator
from convspec.spectrum.result import FloatArray

__all__ = ["KrylovResult", "one_by_one", "product_error"]


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


def product_error(op: ConvOperator) -> float:
    """Bound on the rounding of a product with A or its adjoint, of a unit vector.

    Entrywise ``|fl(A x) - A x| <= gamma_k |A| |x|`` for sums of k terms in any order
    (Higham 2002, section 3.5), and ``|| |A| || <= sqrt(|| A ||_1 || A ||_inf)`` (Schur).
    Torch forms complex products from three real ones, which err up to six times as much.
    """
    weight = op.weight.abs().flatten(2).sum(dim=2)  # (c_out, c_in / groups)
    # an output reads each tap once; a pixel is read by each tap at most so often
    often = math.prod(max(axis.most_reads, 1) for axis in op.geometry.axes)
    row = float(weight.sum(dim=1).max())
    column = often * float(
        weight.reshape(op.groups, -1, weight.shape[1]).sum(dim=1).max()
    )
    terms = often * op.weight.numel() // min(op.weight.shape[:2])
    terms *= 8 if op.weight.is_complex() else 1
    return (terms + 64) * torch.finfo(op.weight.dtype).eps * math.sqrt(row * column)
