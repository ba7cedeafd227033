"""A matrix too large to look at, gathered into cells tap by tap, never built.

Rows belong to (output channel, position) and columns to (input channel, pixel). Cells are
aligned with channels: each channel is divided evenly, or a cell holds whole channels. So
between every two channels of a group the same positions fall into the same cells, and
what is gathered is the short list of distinct (row cell, column cell, tap) of a single
pair, whatever the number of entries.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from convspec.arguments import shown
from convspec.arrays import AnyArray, FloatArray, IntArray
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit, require_bytes
from convspec.operators.matrix import Pattern, pattern_bytes
from convspec.operators.operator import ConvOperator

__all__ = ["Cells", "Division", "Gathering", "check_gathering", "matrix_cells"]

Gathering = Literal["signed", "max", "rms"]
REDUCTIONS = ("signed", "max", "rms")

# entries that are gathered at once, and what of the byte limit one may take of it
CHUNK_ENTRIES = 2**21
CHUNK_SHARE = 256


@dataclass(frozen=True)
class Division:
    """How channels of ``length`` positions each are divided into cells.

    Attributes:
        channels: Number of channels.
        length: Positions of each.
        parts: Cells per channel; 1 where a cell holds whole channels.
        together: Channels per cell; 1 where a channel has several cells.
    """

    channels: int
    length: int
    parts: int
    together: int

    @classmethod
    def of(cls, channels: int, length: int, most: int) -> Division:
        """Divide channels of a length into at most ``most`` cells."""
        parts = max(1, min(length, most // channels))
        return cls(channels, length, parts, max(1, -(-channels // most)))

    @property
    def cells(self) -> int:
        """Number of cells."""
        return -(-self.channels // self.together) * self.parts

    @property
    def extent(self) -> int:
        """Positions that the cells reach over; the last may reach beyond the matrix."""
        return self.cells * self.together * self.length // self.parts

    @property
    def counts(self) -> IntArray:
        """Positions in each cell; (cells,)."""
        within = np.bincount(self.part(np.arange(self.length)), minlength=self.parts)
        channel = np.arange(self.channels) // self.together
        return np.asarray(np.kron(np.bincount(channel), within), dtype=np.int64)

    def part(self, position: IntArray) -> IntArray:
        """The cell of a position within its channel."""
        return position * self.parts // self.length

    def first(self, channel: IntArray) -> IntArray:
        """The first cell of a channel."""
        return channel // self.together * self.parts


@dataclass(frozen=True, eq=False)
class Cells:
    """The entries of a matrix, gathered.

    Attributes:
        values: (rows, columns) of cells.
        shape: (m, n) of the matrix.
        extent: Rows and columns that the cells reach over, each alike; where channels
            do not fill the last cell that is more than the shape.
        reduction: ``"signed"``, ``"max"`` or ``"rms"``.
    """

    values: FloatArray
    shape: tuple[int, int]
    extent: tuple[int, int]
    reduction: Gathering


def matrix_cells(
    op: ConvOperator,
    most: int = 400,
    *,
    reduction: Gathering = "signed",
    max_bytes: Bytes = DEFAULT_MAX_BYTES,
) -> Cells:
    """What stands in each of at most ``most`` x ``most`` cells of A, never built.

    Args:
        op: The operator; if it is complex, gathered by magnitude.
        most: Most cells per side.
        reduction: ``"signed"`` for the entry of largest magnitude, with its sign (of
            two as large, the positive one); ``"max"`` for that magnitude; ``"rms"`` for
            the root of the mean square over all positions of the cell, zeros included,
            so that the squares, times the positions, add up to ``||A||_F^2``.
        max_bytes: Byte limit of the list of positions between two channels.

    Raises:
        TooLargeError: If that list needs more than ``max_bytes``.
        ValueError: For no cells, an unknown reduction, or the sign of complex entries.

    Example:
        >>> import torch, convspec as cs
        >>> laplacian = torch.tensor([[[1.0, -2.0, 1.0]]])
        >>> op = cs.ConvOperator(laplacian, 900, padding=1)
        >>> matrix_cells(op, 3).values
        array([[-2.,  1.,  0.],
               [ 1., -2.,  1.],
               [ 0.,  1., -2.]])
    """
    max_bytes = byte_limit(max_bytes)
    check_gathering(op.dtype.is_complex, most, reduction)
    geometry = op.geometry
    needed = pattern_bytes([axis.source for axis in geometry.axes])
    require_bytes(
        "the list of positions between two channels",
        needed,
        max_bytes,
        "give the operator of a smaller input",
    )
    rows = Division.of(geometry.c_out, math.prod(geometry.outputs), most)
    columns = Division.of(geometry.c_in, math.prod(geometry.sizes), most)
    at_once = min(CHUNK_ENTRIES, max_bytes // CHUNK_SHARE)
    values = _gathered(op, rows, columns, reduction, at_once)
    extent = rows.extent, columns.extent
    if op.transposed:  # the geometry is that of the adjoint
        values, extent = values.T, extent[::-1]
    return Cells(values, op.shape, extent, reduction)


def check_gathering(is_complex: bool, most: int, reduction: object) -> None:
    """Refuse what cannot be gathered.

    Raises:
        ValueError: For no cells, an unknown reduction, or the sign of complex entries.
    """
    if most < 1:
        raise ValueError(f"there must be at least 1 cell; got {most}")
    if reduction not in REDUCTIONS:
        raise ValueError(
            f"reduction must be one of {', '.join(REDUCTIONS)}; got {shown(reduction)}"
        )
    if is_complex and reduction == "signed":
        raise ValueError(
            "complex entries have no sign; got reduction='signed'; take 'max' or 'rms', "
            "or the real part of the weight"
        )


def _gathered(
    op: ConvOperator,
    rows: Division,
    columns: Division,
    reduction: Gathering,
    at_once: int,
) -> FloatArray:
    """(row cells, column cells) of the convolution, or of the adjoint if transposed."""
    geometry = op.geometry
    pattern = Pattern.of([axis.source for axis in geometry.axes], geometry.sizes)
    full = torch.complex128 if op.dtype.is_complex else torch.float64
    weight = op.weight.detach().cpu().to(full).flatten(2).numpy()
    table, place = _sums(weight, pattern)
    row, column, take, count = _distinct(pattern, place, rows, columns)
    c_out, c = weight.shape[:2]
    per_group = c_out // geometry.groups
    high = np.zeros(rows.cells * columns.cells)
    low = np.zeros(rows.cells * columns.cells if reduction == "signed" else 0)
    chunk = max(1, at_once // max(1, c * len(take)))
    for first in range(0, c_out, chunk):
        out = np.arange(first, min(first + chunk, c_out))
        into = (out // per_group * c)[:, None] + np.arange(c)  # (out, c)
        cell = (rows.first(out)[:, None, None] + row) * columns.cells
        cell = (cell + columns.first(into)[..., None] + column).reshape(-1)
        entry = table[out][:, :, take]
        if reduction == "signed":
            np.maximum.at(high, cell, entry.reshape(-1))
            np.minimum.at(low, cell, entry.reshape(-1))
        elif reduction == "max":
            np.maximum.at(high, cell, np.abs(entry).reshape(-1))
        else:
            np.add.at(high, cell, (count * np.abs(entry) ** 2).reshape(-1))
    if reduction == "signed":
        high = np.where(high >= -low, high, low)
    found: FloatArray = high.reshape(rows.cells, columns.cells)
    if reduction == "rms":
        found = np.sqrt(found / np.multiply.outer(rows.counts, columns.counts))
    return found


def _sums(weight: AnyArray, pattern: Pattern) -> tuple[AnyArray, IntArray]:
    """Taps and, where several read one pixel, their sums; and each entry's place there.

    Returns:
        A table (c_out, c, taps + sums), and (entries,).
    """
    taps = weight.shape[2]
    reads = np.bincount(pattern.entry, minlength=len(pattern.row))
    place = np.empty(len(pattern.row), dtype=np.int64)
    place[pattern.entry] = pattern.tap
    several = reads > 1
    place[several] = taps + np.arange(several.sum())
    sums = np.zeros((*weight.shape[:2], int(several.sum())), dtype=weight.dtype)
    number = np.cumsum(several) - 1
    for tap in range(taps):  # a tap reads no pixel of a row twice
        entry = pattern.entry[pattern.tap == tap]
        into = number[entry[several[entry]]]
        sums[:, :, into] += weight[:, :, tap : tap + 1]
    return np.concatenate([weight, sums], axis=2), place


def _distinct(
    pattern: Pattern, place: IntArray, rows: Division, columns: Division
) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """The distinct (row part, column part, place) between two channels, and how often."""
    width = int(place.max(initial=0)) + 1
    code = rows.part(pattern.row) * columns.parts + columns.part(pattern.column)
    code, count = np.unique(code * width + place, return_counts=True)
    part, take = np.divmod(code, width)
    row, column = np.divmod(part, columns.parts)
    return row, column, take, count
