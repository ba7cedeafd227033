"""The linear maps of a network at the frequencies of a lattice, or as plain matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from convspec.arrays import IntArray
from convspec.errors import TooLargeError
from convspec.network.ellipsoid.lattice import Lattice
from convspec.network.ellipsoid.layout import channel_takes
from convspec.network.graph import Graph, Node
from convspec.network.kinds import Axes, Filter, Move, Rows, Scale, Sum
from convspec.operators.operator import ConvOperator
from convspec.rounding.directed import gamma, up
from convspec.rounding.scaling import UNDERFLOW

__all__ = ["Map", "linear_maps", "pooled_rows", "row_maps"]

MOST_ENTRIES = 2**27
# what an entry may add to a norm whose square is lost, even flushed to zero
LOST_LENGTH = 2.0**-510
# units of rounding of a wave of one axis, at most: 15 of an angle below 2 pi that is
# rounded thrice, 2 of its cosine and sine, and 3 of the product with those of others
WAVE = 32


@dataclass(frozen=True)
class Map:
    """One input's share of a linear node.

    Attributes:
        matrix: (F or 1, outputs, inputs), or (F or 1, outputs) for a diagonal.
        error: At least the norm of what it is off by, at any frequency.
    """

    matrix: Tensor
    error: float

    @property
    def diagonal(self) -> bool:
        """Whether only the diagonal is kept."""
        return self.matrix.ndim == 2

    @property
    def sizes(self) -> Tensor:
        """At least its norm at each frequency; (F or 1,)."""
        if self.diagonal:
            return self.matrix.abs().amax(1) * (1 + 1e-9)
        norms: Tensor = torch.linalg.matrix_norm(self.matrix) * (1 + 1e-9)
        return norms + math.sqrt(self.matrix[0].numel()) * LOST_LENGTH

    @property
    def adjoint(self) -> Map:
        """That of the adjoint."""
        matrix = self.matrix.conj() if self.diagonal else self.matrix.mH
        return Map(matrix.resolve_conj(), self.error)


def linear_maps(graph: Graph, place: int, lattice: Lattice) -> list[Map] | None:
    """What a node makes of each input, on the lattice of these; None if not linear.

    A stride is left to the aliases of the lattice, which for a transposed convolution is
    that of its output.
    """
    node = graph.nodes[place]
    shapes = [graph.nodes[each].shape for each in node.inputs]
    kind = node.kind
    if isinstance(kind, Sum) and all(shape == node.shape for shape in shapes):
        width = _width(node.shape, lattice)
        one = torch.ones(1, width, dtype=torch.float64, device="cpu")
        return [Map(factor * one, 0.0) for factor in kind.factors]
    if lattice.is_vector:
        return _matrices(node, shapes)
    if isinstance(kind, Filter):
        found = _symbol(kind.op, kind.error, lattice)
        return [found.adjoint if kind.op.transposed else found]
    if isinstance(kind, Scale):
        factor = kind.factor.reshape(-1).expand(node.shape[1]).contiguous()
        error = up(kind.relative * float(factor.abs().max()))
        return [Map(factor[None], error)]
    if isinstance(kind, Move):
        takes = channel_takes(kind, node, shapes)
        assert takes is not None
        return _taken(takes, [shape[1] for shape in shapes])
    return None


def _width(shape: tuple[int, ...], lattice: Lattice) -> int:
    return math.prod(shape) if lattice.is_vector else shape[1]


def _taken(takes: Tensor, widths: Sequence[int]) -> list[Map]:
    """Selections of entries of each input, by where they are among all of them."""
    maps, first = list[Map](), 0
    for width in widths:
        matrix = torch.zeros(1, len(takes), width, dtype=torch.float64, device="cpu")
        inside = ((takes >= first) & (takes < first + width)).nonzero()[:, 0]
        matrix[0, inside, takes[inside] - first] = 1.0
        maps.append(Map(matrix, 0.0))
        first += width
    return maps


def _symbol(op: ConvOperator, error: float, lattice: Lattice) -> Map:
    """``sum_t W_t exp(i <w, lag_t>)``, groups on the diagonal; (F, c_out, c_in)."""
    groups, rows = op.groups, op.weight.shape[0] // op.groups
    waves = lattice.joint_waves([axis.lags for axis in op.geometry.axes])  # (F, taps)
    taps = waves.shape[1]
    weight = op.weight.detach().flatten(2)  # (c_out, c, taps)
    found = _combined(waves, weight, lattice)
    size = _tap_lengths(weight)
    terms = 4 * taps + WAVE * len(lattice.sizes)
    error = up(error + up(gamma(terms) * size, 2) + UNDERFLOW)
    if groups == 1:
        return Map(found, error)
    if rows == op.weight.shape[1] == 1:
        return Map(found[:, :, 0], error)
    full = found.new_zeros(len(found), op.geometry.c_out, op.geometry.c_in)
    columns = op.weight.shape[1]
    for group in range(groups):
        out = slice(group * rows, (group + 1) * rows)
        into = slice(group * columns, (group + 1) * columns)
        full[:, out, into] = found[:, out]
    return Map(full, error)


def _matrices(node: Node, shapes: Sequence[tuple[int, ...]]) -> list[Map] | None:
    """Plain matrices of the entries of each input."""
    kind = node.kind
    outputs = math.prod(node.shape)
    entries = outputs * sum(map(math.prod, shapes))
    if entries > MOST_ENTRIES:
        raise TooLargeError(
            f"matrices of vectors must have at most {MOST_ENTRIES} entries; {node} has "
            f"{entries}; use a torus"
        )
    if isinstance(kind, Filter):
        return [_of_filter(kind)]
    if isinstance(kind, Scale):
        factor = kind.factor.expand(node.shape).reshape(-1)
        if shapes[0] != node.shape:
            return None
        return [Map(factor[None], up(kind.relative * float(factor.abs().max())))]
    if isinstance(kind, Axes):
        return [_of_axes(kind, shapes[0])]
    if isinstance(kind, Rows):
        norm = float(torch.linalg.matrix_norm(kind.matrix))
        return [Map(kind.matrix[None], up(kind.relative * norm, 2))]
    if isinstance(kind, Move):
        places = kind.places
        if places is None:
            places = torch.arange(outputs, dtype=torch.int64, device="cpu")
        return _taken(places.reshape(-1), [math.prod(shape) for shape in shapes])
    return None


def _of_filter(kind: Filter) -> Map:
    """A convolution's matrix, of whose taps several may read one pixel and are added."""
    op = kind.op
    matrix = op.to_dense().detach()
    if all(axis.mode == "zeros" for axis in op.geometry.axes):
        return Map(matrix[None], kind.error)
    moduli = op.with_geometry(op.weight.detach().abs(), op.geometry).to_dense()
    taps = math.prod(op.weight.shape[2:])
    moved = up(gamma(taps + 8) * float(torch.linalg.matrix_norm(moduli)), 2)
    return Map(matrix[None], up(kind.error + moved))


def _of_axes(kind: Axes, shape: tuple[int, ...]) -> Map:
    """The Kronecker product of matrices on axes, ones between them."""
    matrix = torch.ones(1, 1, dtype=torch.float64, device="cpu")
    for axis, size in enumerate(shape):
        part = kind.matrices.get(axis)
        if part is None:
            part = torch.eye(size, dtype=torch.float64, device="cpu")
        # torch.kron refuses some strides
        both = matrix[:, None, :, None] * part[:, None, :]
        rows, columns = len(matrix) * len(part), matrix.shape[1] * part.shape[1]
        matrix = both.reshape(rows, columns)
    relative = up(kind.relative + gamma(len(shape)))
    norm = float(torch.linalg.matrix_norm(matrix.abs()))
    return Map(matrix[None], up(relative * norm, 2))


def row_maps(kind: Rows, image: tuple[int, ...], lattice: Lattice) -> Map:
    """``G(w) = sum_p W_p exp(i <w, p>)`` for rows W over all pixels; (F, rows, c)."""
    rows = kind.matrix
    rows = rows.reshape(len(rows), image[1], -1)  # (rows, c, pixels)
    waves = lattice.joint_waves([_places(size) for size in image[2:]])
    terms = 4 * waves.shape[1] + WAVE * len(lattice.sizes)
    error = (gamma(terms) + kind.relative) * _tap_lengths(rows)
    return Map(_combined(waves, rows, lattice), up(error + UNDERFLOW, 4))


def _tap_lengths(weight: Tensor) -> float:
    """At least the sum of the norms of taps; (r, c, taps)."""
    rows, columns, taps = weight.shape
    total = float(torch.linalg.vector_norm(weight, dim=(0, 1)).sum())
    return total * (1 + 1e-9) + taps * math.sqrt(rows * columns) * LOST_LENGTH


def _combined(waves: Tensor, weight: Tensor, lattice: Lattice) -> Tensor:
    """``sum_t W_t waves_t``: (F, taps) and (r, c, taps) to (F, r, c).

    Where all frequencies are their own conjugates the sum is real, and so rounded.
    """
    parts = torch.view_as_real(waves)  # (F, taps, 2)
    flat = weight.flatten(0, 1).mT  # (taps, r c)
    real = parts[..., 0] @ flat
    if lattice.is_real:
        return real.reshape(-1, *weight.shape[:2])
    imaginary = parts[..., 1] @ flat
    return torch.complex(real, imaginary).reshape(-1, *weight.shape[:2])


def pooled_rows(kind: Axes, lattice: Lattice) -> tuple[Tensor, float]:
    """``e(w)``, the rows of means over pixels at each frequency, and its error.

    Returns:
        (F, rows of all axes), and at least the norm of what a row of it is off by.
    """
    found = torch.ones(len(lattice.index), 1, dtype=torch.complex128, device="cpu")
    size, taps = 1.0, 1
    for axis in sorted(kind.matrices):
        matrix = kind.matrices[axis]
        waves = lattice.waves(axis - 2, _places(matrix.shape[1]))
        part = waves @ matrix.to(torch.complex128).mT  # (F, rows)
        found = (found[:, :, None] * part[:, None, :]).flatten(1)
        size *= float(matrix.abs().sum())
        taps += matrix.shape[1]
    terms = 4 * taps + WAVE * len(kind.matrices)
    error = (gamma(terms) + len(kind.matrices) * kind.relative) * size
    return found, up(error + UNDERFLOW, 4)


def _places(length: int) -> IntArray:
    return np.arange(length, dtype=np.int64)
