"""Singular vectors as images, from a dense SVD of the diagonal blocks."""

from __future__ import annotations

import torch
from torch import Tensor

from convspec.arrays import FloatArray
from convspec.operators.matrix import Pattern, dense_blocks
from convspec.operators.operator import ConvOperator
from convspec.operators.product_error import sum_error
from convspec.rounding import svd_error

__all__ = ["dense_vectors"]


def dense_vectors(
    op: ConvOperator, count: int, which: str
) -> tuple[FloatArray, float, Tensor, Tensor]:
    """The ``count`` largest or smallest singular triples of A, descending.

    Returns:
        values (count,), a bound on the error of each, left (count, *output_shape) and
        right (count, *input_shape).
    """
    geometry = op.geometry
    pattern = Pattern.of([axis.source for axis in geometry.axes], geometry.sizes)
    blocks = dense_blocks(op.weight.flatten(2), pattern, op.groups)
    if op.transposed:
        blocks = blocks.mT
    u, s, vh = torch.linalg.svd(
        blocks, full_matrices=False
    )  # (g, M, l), (g, l), (g, l, N)
    order = s.flatten().argsort(descending=True, stable=True)
    chosen = order[:count] if which == "largest" else order[len(order) - count :]
    group, place = chosen // s.shape[1], chosen % s.shape[1]
    left = _images(u.mT[group, place], group, op.groups, op.output_shape)
    right = _images(vh.conj()[group, place], group, op.groups, op.input_shape)
    values: FloatArray = s.flatten()[chosen].double().cpu().numpy()
    eps = torch.finfo(s.dtype).eps
    error = svd_error(blocks.shape[1], blocks.shape[2], float(s.max()), eps)
    if s.dtype == torch.float32 or not pattern.injective:
        overlaps = [axis.overlap for axis in geometry.axes]
        error += sum_error(op.weight, overlaps, eps)
    return values, error, left, right


def _images(
    vectors: Tensor, group: Tensor, groups: int, shape: tuple[int, ...]
) -> Tensor:
    """Vectors of one group each, (count, length), as images that are zero elsewhere."""
    images = vectors.new_zeros(len(vectors), groups, vectors.shape[1])
    images[torch.arange(len(vectors), device=group.device), group] = (
        vectors.resolve_conj()
    )
    return images.reshape(len(vectors), *shape)
