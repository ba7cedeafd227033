"""The sparse matrix of a composed map, gathered into cells as those of a convolution."""

from __future__ import annotations

import math

import numpy as np

from convspec.arrays import IntArray
from convspec.limits import DEFAULT_MAX_BYTES, Bytes
from convspec.operators.heatmap import (
    Cells,
    Division,
    Gathering,
    check_gathering,
    matrix_cells,
)
from convspec.operators.linear_map import LinearMap
from convspec.operators.operator import ConvOperator

__all__ = ["map_cells"]


def map_cells(
    op: LinearMap,
    most: int = 400,
    *,
    reduction: Gathering = "signed",
    max_bytes: Bytes = DEFAULT_MAX_BYTES,
) -> Cells:
    """:func:`convspec.operators.heatmap.matrix_cells`, of other maps from their matrix.

    Args:
        op: The map; if it is complex, gathered by magnitude.
        most: Most cells per side.
        reduction: ``"signed"``, ``"max"`` or ``"rms"``.
        max_bytes: Byte limit of the sparse matrix.

    Raises:
        TooLargeError: If that needs more than ``max_bytes``.
        ValueError: For no cells, an unknown reduction, or the sign of complex entries.

    >>> import torch, convspec as cs
    >>> op = cs.ConvOperator(torch.tensor([[[1.0, -2.0, 1.0]]]), 900, padding=1)
    >>> map_cells(op @ op, 3).values
    array([[ 6., -4.,  0.],
           [-4.,  6., -4.],
           [ 0., -4.,  6.]])
    """
    if isinstance(op, ConvOperator):
        return matrix_cells(op, most, reduction=reduction, max_bytes=max_bytes)
    check_gathering(op.dtype.is_complex, most, reduction)
    found = op.to_sparse(max_bytes=max_bytes).tocoo()
    rows, columns = (
        Division.of(shape[0], math.prod(shape[1:]), most)
        for shape in (op.output_shape, op.input_shape)
    )
    cell = _cell(rows, found.row) * columns.cells + _cell(columns, found.col)
    entry = found.data.astype(np.complex128 if op.dtype.is_complex else np.float64)
    high = np.zeros(rows.cells * columns.cells)
    if reduction == "rms":
        np.add.at(high, cell, np.abs(entry) ** 2)
        counts = np.multiply.outer(rows.counts, columns.counts).reshape(-1)
        high = np.sqrt(high / counts)
    elif reduction == "max":
        np.maximum.at(high, cell, np.abs(entry))
    else:
        low = np.zeros_like(high)
        np.maximum.at(high, cell, entry)
        np.minimum.at(low, cell, entry)
        high = np.where(high >= -low, high, low)
    values = high.reshape(rows.cells, columns.cells)
    return Cells(values, op.shape, (rows.extent, columns.extent), reduction)


def _cell(division: Division, place: IntArray) -> IntArray:
    """The cell of each position in the flattened image."""
    channel, position = np.divmod(place.astype(np.int64), division.length)
    return division.first(channel) + division.part(position)
