"""Loop transformation: activations as half of themselves and a remainder, in all paths.

An activation with slopes in [l, u] is ``c x + d psi(x)``, ``c = (l + u) / 2`` and
``d = (u - l) / 2``, with psi of constant 1. With every activation replaced by c the
network is linear: what the input and each psi add to a tensor are matrices H, and

    L(z) <= |H_0| + sum_j |H_j| L(z_j)

for each tensor z, with z_j what psi_j reads. The paths through skips and joins are in H.
Matrices are dense, with entrywise bounds on what rounding did to them.

Source: Fazlyab, Entesari, Roy and Chellappa, "Certified robustness via dynamic margin
maximization and improved Lipschitz regularization", NeurIPS 2023, theorem 1, for chains.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from convspec.bounds.spectral_norm.composition import matrix_norm_above
from convspec.network.graph import Graph, Node
from convspec.network.kinds import (
    Axes,
    Bounded,
    Entrywise,
    Filter,
    Move,
    Rows,
    Scale,
    Sum,
)
from convspec.rounding.directed import UNIT, gamma, up
from convspec.rounding.scaling import UNDERFLOW

__all__ = ["lip_lt"]

# sums of few thousand numbers that are not negative are off by less, relative
ROOM = 1 + 2.0**-30


@dataclass(frozen=True)
class _Path:
    """A matrix, and how far each entry may be off.

    Attributes:
        matrix: (entries of a tensor, entries of a source).
        error: Likewise, not negative.
    """

    matrix: Tensor
    error: Tensor

    @property
    def norm(self) -> float:
        """At least its norm."""
        largest = float(self.error.max())
        if not largest:
            return matrix_norm_above(self.matrix, 0.0)
        # squares of small numbers would be lost
        off = up(largest * float(torch.linalg.matrix_norm(self.error / largest)) * ROOM)
        return up(matrix_norm_above(self.matrix, 0.0) + up(off))

    def scaled(self, factor: Tensor) -> _Path:
        """Rows times factors, of which each is off by a unit and the product by one."""
        matrix = factor[:, None] * self.matrix
        error = factor.abs()[:, None] * self.error + 3 * UNIT * matrix.abs()
        return _Path(matrix, ROOM * error + UNDERFLOW)


# by the number of the source
Paths = Mapping[int, _Path]


def lip_lt(
    graph: Graph, constants: Sequence[float], scale: Sequence[float] = ()
) -> float:
    """At least the Lipschitz constant of all outputs together.

    Args:
        graph: Maps that have constants, no layers joined; of few entries, as matrices
            are dense.
        constants: Of each node's output, known otherwise; infinite for none.
        scale: Unit of each channel of the input; empty for its own.
    """
    entries = math.prod(graph.nodes[0].shape)
    channels = graph.nodes[0].shape[1]
    units = torch.tensor(scale or (1.0,) * channels, dtype=torch.float64, device="cpu")
    first = (1 / units).repeat_interleave(entries // channels)
    lengths = [1.0]  # of what each source reads
    paths: list[Paths] = [{0: _Path(torch.diag(first), UNIT * torch.diag(first))}]
    for node in graph.nodes[1:]:
        given = _stacked([paths[each] for each in node.inputs])
        kind = node.kind
        if not isinstance(kind, Entrywise | Bounded):
            paths.append(
                _through(node, [graph.nodes[j].shape for j in node.inputs], given)
            )
            continue
        known = up(math.hypot(*[constants[j] for j in dict.fromkeys(node.inputs)]), 4)
        reads = min(_length(given, lengths), known)
        lengths.append(reads)
        paths.append(_bent(node, given, len(lengths) - 1))
    return _length(_stacked([paths[each] for each in graph.outputs]), lengths)


def _length(paths: Paths, lengths: Sequence[float]) -> float:
    """``sum_j |H_j| L_j``, rounded up."""
    total = 0.0
    for source, path in paths.items():
        total = up(total + up(path.norm * lengths[source]))
    return total


def _stacked(parts: Sequence[Paths]) -> Paths:
    """Tensors one above the other."""
    if len(parts) == 1:
        return parts[0]
    sizes = [len(next(iter(part.values())).matrix) for part in parts]
    found = {}
    for source in dict.fromkeys(number for part in parts for number in part):
        width = next(p[source].matrix.shape[1] for p in parts if source in p)
        zeros = [torch.zeros(n, width, dtype=torch.float64, device="cpu") for n in sizes]
        pairs = [
            part.get(source, _Path(zero, zero))
            for part, zero in zip(parts, zeros, strict=True)
        ]
        found[source] = _Path(
            torch.cat([each.matrix for each in pairs]),
            torch.cat([each.error for each in pairs]),
        )
    return found


def _through(node: Node, shapes: Sequence[tuple[int, ...]], given: Paths) -> Paths:
    """Behind a linear map."""
    matrix, relative = _matrix(node, shapes)
    moduli = matrix.abs()
    if isinstance(node.kind, Filter):  # where taps meet in one entry they may cancel
        moduli = node.kind.op.with_weight(node.kind.op.weight.abs()).to_dense()
    off = up(relative + gamma(matrix.shape[1] + 2))
    found = {}
    for source, path in given.items():
        more = path.error + off * (path.matrix.abs() + path.error)
        error = ROOM * (moduli @ more) + UNDERFLOW
        found[source] = _Path(matrix @ path.matrix, error)
    return found


def _bent(node: Node, given: Paths, source: int) -> Paths:
    """Behind an activation, or a map with a constant: what it adds is a new source."""
    kind, entries = node.kind, math.prod(node.shape)
    if isinstance(kind, Bounded):
        own = torch.full((entries,), kind.constant, dtype=torch.float64, device="cpu")
        diagonal = torch.diag(own)
        return {source: _Path(diagonal, torch.zeros_like(diagonal))}
    assert isinstance(kind, Entrywise)
    low, high = (end.expand(node.shape).reshape(-1) for end in (kind.lower, kind.upper))
    half, rest = (low + high) / 2, (high - low) / 2
    diagonal = torch.diag(rest)
    # the mean may be off by a unit of the ends where they cancel
    off = UNIT * torch.maximum(low.abs(), high.abs())
    found = {number: _moved(path, half, off) for number, path in given.items()}
    found[source] = _Path(diagonal, torch.diag(off))
    return found


def _moved(path: _Path, factor: Tensor, off: Tensor) -> _Path:
    """Rows times factors that are off."""
    found = path.scaled(factor)
    more = off[:, None] * (path.matrix.abs() + path.error)
    return _Path(found.matrix, ROOM * (found.error + more))


def _matrix(node: Node, shapes: Sequence[tuple[int, ...]]) -> tuple[Tensor, float]:
    """A linear map of all inputs, one behind the other, and what its entries are off by.

    The second is relative to each entry, or to a sum of moduli of its terms.
    """
    kind = node.kind
    if isinstance(kind, Filter):
        return kind.op.to_dense(), gamma(kind.op.weight[0].numel() + 1)
    if isinstance(kind, Rows):
        return kind.matrix, kind.relative
    if isinstance(kind, Scale):
        copies = _copies(node.shape, shapes[0])
        factor = kind.factor.expand(node.shape).reshape(-1, 1)
        return factor * copies, kind.relative
    if isinstance(kind, Sum):
        parts = [
            factor * _copies(node.shape, shape)
            for factor, shape in zip(kind.factors, shapes, strict=True)
        ]
        return torch.cat(parts, 1), 0.0
    if isinstance(kind, Axes):
        count = math.prod(shapes[0])
        x = torch.eye(count, dtype=torch.float64, device="cpu").reshape(*shapes[0], count)
        for axis, matrix in kind.matrices.items():
            x = torch.tensordot(matrix, x, ([1], [axis])).movedim(0, axis)
        shares = len(kind.matrices) * (kind.relative + 2 * UNIT)
        return x.reshape(-1, count), up(shares * ROOM)
    assert isinstance(kind, Move)
    count = sum(map(math.prod, shapes))
    if kind.places is None:
        return torch.eye(count, dtype=torch.float64, device="cpu"), 0.0
    places = kind.places.reshape(-1)
    found = torch.zeros(len(places), count, dtype=torch.float64, device="cpu")
    rows = (places >= 0).nonzero()[:, 0]
    found[rows, places[rows]] = 1.0
    return found, 0.0


def _copies(shape: tuple[int, ...], given: tuple[int, ...]) -> Tensor:
    """The matrix that copies a tensor to a larger shape."""
    count = math.prod(given)
    which = torch.arange(count, dtype=torch.int64, device="cpu").reshape(given)
    rows = which.expand(shape).reshape(-1)
    return torch.nn.functional.one_hot(rows, count).to(torch.float64)
