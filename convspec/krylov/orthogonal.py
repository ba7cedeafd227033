"""Vectors made orthogonal to a basis, in batches, and when nothing is left of them.

For a basis B of orthonormal rows, ``||B B^H - I|| <= d``, and u the unit roundoff, one
pass ``r = x - (x B^H) B`` leaves

    ||r B^H|| <= (d + c u) ||x||,   c a modest function of the dimensions,

since the exact r has ``r B^H = x B^H (I - B B^H)`` and each of the two products rounds.
That is small beside x and need not be beside r, of which little may be left. A second
pass starts from r and leaves ``(d + c u) ||r||``: twice is enough (Giraud and Langou,
"When modified Gram-Schmidt generates a well-conditioned set of vectors", IMA J. Numer.
Anal. 22, 2002; Kahan, in Parlett, "The Symmetric Eigenvalue Problem", section 6.9), and
once is, where a pass leaves most of the length.

It fails where r is itself the rounding of the first pass, whose direction is arbitrary:
where ``||r||`` is at most a few u of the length before. There, and only there, a space is
exhausted; see :func:`exhausted`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = [
    "CANCELLED",
    "exhausted",
    "length",
    "orthogonalised",
    "orthonormal_rows",
    "wide",
    "without",
]

# a remainder of so many roundings of what it is left of is rounding
EXHAUSTED = 32.0
# below this part of its norm a remainder is orthogonalised once more
CANCELLED = 1e-2


def without(rows: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """Rows less their parts along a basis, and these, in one pass.

    Args:
        rows: (..., b, n), with at most one batch dimension.
        basis: Orthonormal rows, (..., m, n).

    Returns:
        ``x - (x B^H) B``, (..., b, n), and ``x B^H``, (..., b, m).
    """
    along = rows @ basis.mH
    if rows.ndim == 2:
        return torch.addmm(rows, along, basis, alpha=-1), along
    return torch.baddbmm(rows, along, basis, alpha=-1), along


def orthogonalised(
    rows: Tensor, basis: Tensor, *, enough: float = math.inf
) -> tuple[Tensor, Tensor]:
    """Rows less their parts along a basis, and these, in two passes.

    Args:
        rows: As for :func:`without`, and so are the others.
        basis: Orthonormal rows.
        enough: If one pass leaves each row more than this part of its length, it is the
            last: 0.7 halves the cost where little is removed.

    >>> basis = torch.eye(3, dtype=torch.float64)[:2]
    >>> rest, along = orthogonalised(torch.tensor([[3.0, 4.0, 5.0]]).double(), basis)
    >>> rest.tolist(), along.tolist()
    ([[0.0, 0.0, 5.0]], [[3.0, 4.0]])
    """
    rest, along = without(rows, basis)
    if enough < math.inf:
        before, after = (torch.linalg.vector_norm(x, dim=-1) for x in (rows, rest))
        if bool((after > enough * before).all()):
            return rest, along
    rest, more = without(rest, basis)
    return rest, along + more


def exhausted(rest: Tensor | float, before: Tensor | float, dtype: torch.dtype) -> Tensor:
    """Whether lengths that are left are rounding of those that they are left of.

    Args:
        rest: Lengths after orthogonalisation.
        before: Lengths before it, or of the largest vectors of the space.
        dtype: What was computed in.

    Returns:
        bool, of the shape of the lengths; where one is NaN, True.
    """
    return ~torch.as_tensor(rest > EXHAUSTED * torch.finfo(dtype).eps * before)


def orthonormal_rows(
    rows: Tensor,
    against: Tensor,
    generator: torch.Generator,
    scale: float = math.inf,
) -> tuple[Tensor, Tensor]:
    """Orthonormal Q (b, n) with ``rows = coupling @ Q``, orthogonal to ``against``.

    Directions are taken out in order of size, so that small ones are as accurate as
    large ones. Where none is left the rest is random, without coupling: the space goes
    on growing where the Krylov space is exhausted.

    Args:
        rows: (b, n), orthogonal to ``against`` up to rounding.
        against: Orthonormal rows, with b directions left beside them.
        generator: Of the random directions.
        scale: Norm of the rows before ``against`` was removed from them; far above
            theirs, it is removed again.

    Returns:
        Q, and the coupling (b, b) in double precision on the CPU.
    """
    count = len(rows)
    size = length(rows)
    if count == 1 and size > CANCELLED * scale and math.isfinite(scale):
        return rows / size, torch.full((1, 1), size, dtype=wide(rows))
    largest = max(size, scale) if math.isfinite(scale) else size
    q, remainder = rows[:0], rows
    while len(q) < count and not exhausted(length(remainder), largest, rows.dtype):
        found = _well_conditioned(remainder)[: count - len(q)]
        if len(found) == count and size > CANCELLED * scale:
            q = _orthonormal(found, [], 1)  # orthogonal to the basis as it is
        else:
            q = torch.cat([q, _orthonormal(found, [against, q], 2)])
        if len(q) < count:
            remainder, _ = without(rows, q)
    coupling = _inner(rows, q)
    if len(q) < count:
        shape = (count - len(q), rows.shape[1])
        random = torch.randn(shape, generator=generator, dtype=torch.float64).to(rows)
        q = torch.cat([q, _orthonormal(random, [against, q], 2)])
        coupling = torch.nn.functional.pad(coupling, (0, count - coupling.shape[1]))
    return q, coupling


def _well_conditioned(rows: Tensor) -> Tensor:
    """The leading principal directions of the rows, down to 1e-2 of the largest."""
    values, vectors = torch.linalg.eigh(_inner(rows, rows))  # ascending
    live = values > 1e-4 * values[-1]
    weights = (vectors[:, live] / values[live].sqrt()).flip(1)
    leading: Tensor = weights.mH.to(rows) @ rows
    return leading


def _orthonormal(rows: Tensor, others: list[Tensor], passes: int) -> Tensor:
    """Well-conditioned rows, orthogonalised against others and among themselves."""
    for _ in range(passes):
        for other in others:
            rows, _ = without(rows, other)
        factor = torch.linalg.cholesky(_inner(rows, rows))
        inverse = torch.linalg.solve_triangular(
            factor, torch.eye(len(rows), dtype=factor.dtype), upper=False
        )
        rows = inverse.to(rows) @ rows  # as accurate: the rows are well conditioned
    return rows


def length(rows: Tensor) -> float:
    """The Frobenius norm of all rows together."""
    return float(torch.linalg.vector_norm(rows))


def _inner(a: Tensor, b: Tensor) -> Tensor:
    """``a b^H``, on the CPU in double precision."""
    product: Tensor = (a @ b.mH).cpu().to(wide(a))
    return product


def wide(rows: Tensor) -> torch.dtype:
    """Double precision, for what is done with small matrices on the CPU."""
    return torch.complex128 if rows.is_complex() else torch.float64
