"""The norm of A from the inertia of a torus and of the inverse on what was deleted.

A is C without some rows and columns. ``M = [[gamma I, C], [C^H, gamma I]]`` has as many
negative eigenvalues as C has singular values above gamma, m at most. That A has none is
seen on the deleted rows and columns D: by Haynsworth's inertia additivity ("Determination
of the inertia of a partitioned Hermitian matrix", Linear Algebra Appl. 1, 1968) M on the
kept ones, K, has m negative eigenvalues less those of ``(M^-1)_DD``. So if that has m of
them, with vectors d, then ``||A|| <= gamma``; ``Z = M^-1 d`` has ``Z^H M Z < 0`` and no
entries of ``M Z`` on K. What is proven, of any Z of m columns, is this:

    if M has at most m negative eigenvalues, ``T = Z^H M Z`` is negative definite and
    ``E`` are the rows K of ``M Z``, then ``||A|| <= gamma + t``, t the largest value of
    ``<x, E^H E x> / <x, -T x>``.

Proof: if not, there is a unit vector k on K with ``<k, M k> < -t``. On combinations ``Z c
+ b k`` the form of M is ``<c, T c> + 2 Re b <E c, k> + |b|^2 <k, M k>``, whose middle
term is at most ``2 |b| ||E c||``, and ``||E c||^2 <= t <c, -T c>``: it is negative. So Z
and k are independent and M is negative on m + 1 dimensions, a contradiction.

Below ``sigma_1(A)`` no Z can serve. Above, the vectors d are found by Rayleigh and Ritz
from those of the torus, in single precision; T and E are computed in double precision.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from convspec.bounds.spectral_norm.count import Above, singular_values_above
from convspec.bounds.spectral_norm.deleted import DeletedTorus
from convspec.bounds.spectral_norm.field import Field
from convspec.bounds.spectral_norm.parts import Parts, Wrap
from convspec.bounds.spectral_norm.search import Search
from convspec.bounds.spectral_norm.shifted import ShiftedInverse
from convspec.krylov.orthogonal import orthogonalised, orthonormal_rows
from convspec.rounding import up
from convspec.rounding.directed import UNIT
from convspec.rounding.norms import frobenius_above
from convspec.rounding.pencil import hermitian_part, largest_ratio
from convspec.rounding.products import product_error
from convspec.rounding.scaling import UNDERFLOW
from convspec.run.budget import Budget

__all__ = ["MOST", "Counted", "bound_by_inertia", "inertia_flops", "level_bound"]

# levels above the lower end, in gaps to be reached
MARGINS = (0.85, 4.0)
# single precision tells no finer gaps
FINEST = 1e-5
ROUNDED = 1e-7
# singular values of a torus above the level; vectors solved for, each of them and in all
MOST = 1024
VECTORS, FEWEST_VECTORS = 4.0, 60.0
# operations of the eigenvectors of complex matrices, of their side cubed, a few rounds
EIGH = 300.0
# operations on a block of the torus, of its side cubed: proven, inverted, decomposed
FACTORED = 20.0
# a wave of a lag at a frequency while it is computed
WAVE_BYTES = 64
# rounds of Rayleigh and Ritz, each with so many vectors more than are missing
ROUNDS = 20
MORE = 4


@dataclass(frozen=True)
class Counted:
    """Which singular values of a torus are above some level, as far as it matters.

    Attributes:
        field: The symbol of the torus.
        above: Its blocks that may have some.
    """

    field: Field
    above: Above

    @classmethod
    def of(cls, torus: DeletedTorus, gamma: float, max_bytes: int) -> Counted | None:
        """Those above gamma; None if they are too many, or the symbol is too large."""
        parts = Parts.of(torus.weight, 1, torus.wraps, max_bytes)
        field = Field.of(parts, max_bytes)
        if field is None:
            return None
        level = field.scaled(gamma)
        above = singular_values_above(field, field.grid(parts), None, level, MOST)
        return None if above is None else cls(field, above)


def bound_by_inertia(
    search: Search,
    wraps: Sequence[Wrap],
    rtol: float,
    words: str,
    counted: Counted | None = None,
    most: float = math.inf,
) -> None:
    """Bound every open group at levels a little above the norm's lower end.

    Args:
        search: What is to be proven.
        wraps: How each axis sits on its torus.
        rtol: Relative gap to stop at.
        words: What a bound says that it came from.
        counted: What was counted of that torus; of a single group.
        most: Operations on the vectors of one level that are worth it.
    """
    reduced = search.reduced
    lower = search.target / (1 + rtol)
    blocks = reduced.weight.reshape(reduced.groups, -1, *reduced.weight.shape[1:])
    for group in search.open:
        torus = DeletedTorus.of(blocks[group], reduced.kept, tuple(wraps))
        if torus is None:
            return
        budget = search.budget
        cost = inertia_flops(torus, budget.bytes)
        for margin in MARGINS:
            gap = lower * margin * max(rtol, FINEST)
            gamma = lower + gap
            if cost > budget.left or gamma >= float(search.upper[group]):
                break
            budget.spend(cost)
            upper = level_bound(torus, gamma, gap, budget, counted, most)
            search.include(group, upper, words)
            if upper < math.inf:
                break


def inertia_flops(torus: DeletedTorus, max_bytes: int) -> float:
    """Estimated operations of one level: factorisations, and the fewest vectors.

    inf where its blocks do not fit, or the symbol is constant along an axis.
    """
    if _bytes(torus) > max_bytes or torus.torus.varying != torus.torus.shape:
        return math.inf
    rows, columns = torus.block_shape
    side = min(rows, columns)
    each = FACTORED * side**3 + 4.0 * side * rows * columns
    return torus.frequencies * each + _vector_flops(torus, FEWEST_VECTORS)


def _vector_flops(torus: DeletedTorus, vectors: float) -> float:
    """Estimated operations of solving for so many vectors."""
    rows, columns = torus.block_shape
    side = min(rows, columns)
    return vectors * torus.frequencies * 8.0 * (2 * rows * columns + side**2)


def _pencil_flops(count: int) -> float:
    """Estimated operations of Rayleigh and Ritz for so many vectors, all rounds."""
    return EIGH * (2.0 * count) ** 3


def level_bound(
    torus: DeletedTorus,
    gamma: float,
    gap: float,
    budget: Budget,
    counted: Counted | None = None,
    most: float = math.inf,
) -> float:
    """At least ``||A||``, a little above gamma, or inf where it was not proven.

    Args:
        torus: What A is kept of.
        gamma: The level.
        gap: By how much the bound may be above it.
        budget: What the vectors may take; the rest is counted by the caller.
        counted: The singular values of the torus above gamma or a lower level.
        most: Operations on the vectors that are worth it.
    """
    max_bytes = budget.bytes
    counted = counted or Counted.of(torus, gamma, max_bytes)
    if counted is None:
        return math.inf
    field, above = counted.field, counted.above
    level = field.scaled(gamma)
    count = above.count(level) if level >= above.level else None
    if count is None or count * torus.row_bytes > max_bytes / 2:
        return math.inf
    if not count:
        return gamma
    flops = _vector_flops(torus, VECTORS * count) + _pencil_flops(count)
    if flops > min(most, budget.left):
        return math.inf
    budget.spend(flops)
    inverse = ShiftedInverse(torus, gamma, max(1, max_bytes // (4 * torus.row_bytes)))
    start = torus_rows(inverse, above, level, field.symbol.flipped)
    found = _negative_directions(inverse, start, count)
    if len(found) < count:
        return math.inf
    rows = inverse.on_whole(inverse.embedded(found))
    return up(gamma + _excess(inverse, rows, gamma, 0.1 * gap))


def _bytes(torus: DeletedTorus) -> int:
    """Of the blocks, their Gram matrices and inverses, and the waves they are made of."""
    rows, columns = torus.block_shape
    lags = math.prod(len(lags) for lags in torus.torus.lags)
    blocks = 8 * (2 * rows * columns + 4 * min(rows, columns) ** 2)
    return torus.frequencies * (blocks + WAVE_BYTES * lags)


def torus_rows(
    inverse: ShiftedInverse, above: Above, level: float, flipped: bool
) -> Tensor:
    """Rows ``(u, -v)`` on D of the torus' singular vectors above a level; (k, ...).

    Args:
        inverse: Of the torus.
        above: Its blocks with singular values above a lower level.
        level: The level, of the scaled symbol.
        flipped: Whether that symbol is the transpose of the torus'.
    """
    parts = []
    for block in above.blocks:
        high = int((block.squares > level * level).sum())
        if not high:
            continue
        F = inverse.blocks[block.place]
        own = block.vectors[:, :high].to(F)
        left, right = (F @ own.conj(), own.conj()) if flipped else (own, F.mH @ own)
        left, right = (x / torch.linalg.vector_norm(x, dim=0) for x in (left, right))
        waves = inverse.waves_above(block.place, left.mT, right.mT)
        parts.append(inverse.deleted(waves))
    return torch.cat(parts)


def _negative_directions(inverse: ShiftedInverse, start: Tensor, count: int) -> Tensor:
    """Vectors on D on which ``(M^-1)_DD`` is negative, at most ``count``; (k, ...).

    The space grows by the residuals of the Ritz vectors of the least values that are not
    negative yet, and of the last that are.
    """
    generator = torch.Generator().manual_seed(0)
    basis = new = _beside(start, start[:0], generator)
    images, negative = basis[:0], 0
    most = 2 * FEWEST_VECTORS + VECTORS * count
    for _ in range(ROUNDS):
        images = torch.cat([images, inverse.on_deleted(new)])
        values, y = torch.linalg.eigh(hermitian_part(_inner(images, basis).mT))
        before, negative = negative, _below_zero(values)
        # a round more where all are found, as the last are near 0
        if min(before, negative) >= count or len(basis) >= most:
            break
        first = max(0, min(negative, count) - MORE)
        wanted = y[:, first : negative + 2 * max(0, count - negative) + MORE]
        new = _beside(wanted.mT.to(images) @ images, basis, generator)
        if not len(new):
            break
        basis = torch.cat([basis, new])
    weights = y[:, : min(negative, count)]
    found: Tensor = weights.mT.to(basis) @ basis[: len(weights)]
    return found


def _below_zero(values: Tensor) -> int:
    """How many values are negative, as far as single precision can tell from 0."""
    return int((values < -ROUNDED * values.abs().max()).sum())


def _beside(rows: Tensor, basis: Tensor, generator: torch.Generator) -> Tensor:
    """Orthonormal rows beside a basis, random ones where they have nothing beside it."""
    rows = rows[: basis.shape[1] - len(basis)]
    if not len(rows):
        return rows
    return orthonormal_rows(orthogonalised(rows, basis)[0], basis, generator)[0]


def _inner(rows: Tensor, others: Tensor) -> Tensor:
    """``<o, r>`` for rows r and others o; (k, j)."""
    return rows @ others.mH


def _excess(inverse: ShiftedInverse, rows: Tensor, gamma: float, enough: float) -> float:
    """How far above gamma the norm of A can be at most; inf if T is not negative.

    Args:
        inverse: ``M^-1``, for another step where the first is not good enough.
        rows: Z, a row for each vector.
        gamma: The level.
        enough: An excess that will do.
    """
    rows = rows.to(inverse.torus.dtype)
    rows = rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    images, off = _multiplied(inverse, rows, gamma)
    excess = _ratio(inverse, rows, images, off)
    if excess <= enough:
        return excess
    # single precision leaves something on K: the inverse takes most of it away
    rest = torch.where(inverse.is_deleted, 0.0, images)
    rows = rows - inverse.on_whole(rest.to(inverse.dtype)).to(rows)
    images, off = _multiplied(inverse, rows, gamma)
    return min(excess, _ratio(inverse, rows, images, off))


def _ratio(inverse: ShiftedInverse, rows: Tensor, images: Tensor, off: float) -> float:
    """At least the largest ``<x, E^H E x> / <x, -T x>``; images known up to ``off``."""
    kept = images[:, ~inverse.is_deleted]
    length, size, left = (float(frobenius_above(x)) for x in (rows, images, kept))
    inner = product_error(rows.shape[1] + 2, rows.is_complex())
    form = hermitian_part(rows.conj() @ images.mT)
    off_below = up(length * off + up(inner * up(length * size)) + UNDERFLOW, 4)
    off_above = up(2 * left * off + off * off, 3)
    off_above = up(off_above + up(inner * up(left * left)) + UNDERFLOW, 3)
    squares = hermitian_part(kept.conj() @ kept.mT)
    return largest_ratio(squares, -form, off_above, off_below)


def _multiplied(
    inverse: ShiftedInverse, rows: Tensor, gamma: float
) -> tuple[Tensor, float]:
    """M times rows, and at least the Frobenius norm of what that rounds."""
    torus = inverse.torus
    outputs, pixels = (x.movedim(0, -1).contiguous() for x in inverse.split(rows))
    first = gamma * outputs + torus.apply(pixels)
    second = torus.adjoint(outputs) + gamma * pixels
    images = torch.cat([x.flatten(0, -2).mT for x in (first, second)], 1)
    length, size = (float(frobenius_above(x)) for x in (rows, images))
    off = up(torus.noise * length + 4 * UNIT * up(gamma * length + size), 4)
    return images, float(off)
