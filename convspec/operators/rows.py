"""Products of an operator with vectors that are the rows of a matrix."""

from __future__ import annotations

import torch
from torch import Tensor

from convspec.operators.linear_map import LinearMap

__all__ = ["gram_of_rows", "one_by_one", "product_of_rows"]


def product_of_rows(op: LinearMap, rows: Tensor) -> Tensor:
    """A x for rows x, all at once; (count, n) -> (count, m)."""
    return op.apply(rows.reshape(len(rows), *op.input_shape)).flatten(1)


def gram_of_rows(op: LinearMap, rows: Tensor) -> Tensor:
    """``A^H A x`` for rows x, all at once; (count, n) -> (count, n)."""
    images = rows.reshape(len(rows), *op.input_shape)
    products: Tensor = op.adjoint(op.apply(images)).flatten(1)
    return products


def one_by_one(op: LinearMap, rows: Tensor) -> Tensor:
    """A x for rows x (count, n): (count, m), or all at once on a GPU.

    In double precision torch convolves by unfolding; one unfolded image fits the cache.
    """
    at_once = len(rows) if rows.is_cuda else 1
    return torch.cat([product_of_rows(op, some) for some in torch.split(rows, at_once)])
