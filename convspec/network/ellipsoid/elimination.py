"""What an activation leaves of a core: ``S' = (S^-1 - E^H G^-1 E)^-1``, or a little more.

With w rows of E and c entries of the core this is, whichever is smaller,

    L (I - K)^-1 L^H,    S = L L^H,    K = L^H E^H G^-1 E L,    c x c,
    S + Y^H H^-1 Y,      Y = E S,      H = G - E S E^H,         w x w.
"""

from __future__ import annotations

import torch
from torch import Tensor

from convspec.network.ellipsoid.lattice import pieces
from convspec.network.ellipsoid.lengths import UNIT, lengths
from convspec.network.ellipsoid.root import Infeasible, root_above
from convspec.network.ellipsoid.stack import Stack
from convspec.rounding.definite import at_least
from convspec.rounding.scaling import UNDERFLOW

__all__ = ["eliminated"]


def eliminated(core: Tensor, matrix: Tensor, room: Tensor, off: Tensor | None) -> Tensor:
    """``(S^-1 - E^H G^-1 E)^-1``; (F, c, c).

    Args:
        core: S; (F, c, c).
        matrix: E; (F or 1, w, c).
        room: G; (F or 1, w).
        off: At least the norm by which E is off; (F or 1,); None where rounding is not
            followed.

    Raises:
        Infeasible: If G is not above ``E S E^H``, as far as proven.
    """
    count, width = len(core), core.shape[1]
    if not width:
        return core
    by = _by_rows if matrix.shape[1] <= width else _by_core
    if torch.is_grad_enabled() and (core.requires_grad or room.requires_grad):
        return by(core, matrix, room, off)
    parts = []
    for some in pieces(count, width * max(width, matrix.shape[1])):

        def taken(x: Tensor, some: slice = some) -> Tensor:
            return x if len(x) == 1 else x[some]

        error = None if off is None else taken(off)
        parts.append(by(core[some], taken(matrix), taken(room), error))
    return torch.cat(parts)


def _by_rows(core: Tensor, matrix: Tensor, room: Tensor, off: Tensor | None) -> Tensor:
    """``S + Y^H H^-1 Y`` with rows in units of the root of G: ``H = I - E S E^H``.

    For any X it is ``S + Y^H X + X^H R + R^H H^-1 R`` with ``R = Y - H X``, of which the
    last term is bounded, and the Hermitian part of the others is that of ``X^H (Y + R)``.
    """
    wide, norm = matrix.shape[1], lengths
    units = room.rsqrt() * (1 + 8 * UNIT)  # of a G that is not larger
    stack = Stack.of([units[:, :, None] * matrix])
    image = stack.left(core)  # (F, w, c)
    inner = stack.right(image)
    inner = (inner + inner.mH) / 2
    gap = torch.eye(wide, dtype=core.dtype, device="cpu") - inner
    triangle, failed = torch.linalg.cholesky_ex(gap)
    if bool(failed.any()):
        raise Infeasible
    if off is None:
        half = torch.linalg.solve_triangular(triangle, image, upper=False)
        plain: Tensor = core + half.mH @ half
        return plain
    size, own, seen = stack.size, norm(core), norm(image)
    off = off * units.amax(1) + 8 * UNIT * size
    terms = 8 * (stack.terms + 8) * UNIT
    # Y and H as computed against Y and H
    moved = off * own + terms * size * own
    wrong = moved * (size + off) + seen * (off + terms * size)
    wrong = (wrong + 4 * UNIT * (1 + norm(inner))) * (1 + 1e-9) + UNDERFLOW
    inverse = torch.cholesky_inverse(triangle)
    floor = _floor(gap, inverse, wrong)
    solved = inverse @ image  # (F, w, c)
    left = image - gap @ solved
    reach, products = norm(solved), 8 * (wide + 8) * UNIT
    rest = moved + wrong * reach + products * norm(gap) * reach
    rest = rest + 4 * UNIT * (seen + norm(left))
    added = image + left
    more = solved.mH @ added
    more = (more + more.mH) / 2
    error = reach * (moved + rest) + products * reach * norm(added)
    error = error + (norm(left) + rest) ** 2 / floor
    return _enlarged(core + more, error + 8 * UNIT * (own + norm(more)))


def _floor(gap: Tensor, inverse: Tensor, wrong: Tensor) -> Tensor:
    """A positive number that is proven to be below all eigenvalues; (F,).

    Raises:
        Infeasible: If there is none.
    """
    floor: Tensor = 0.5 / (lengths(inverse) * (1 + 1e-9))
    if not bool((floor > 4 * wrong).all()):
        raise Infeasible
    if not bool(at_least(gap, floor, wrong).all()):
        raise Infeasible
    return floor


def _by_core(core: Tensor, matrix: Tensor, room: Tensor, off: Tensor | None) -> Tensor:
    """``L (I - K)^-1 L^H`` with ``S = L L^H`` and ``K = L^H E^H E L``, in these units."""
    norm = lengths
    width = core.shape[1]
    eye = torch.eye(width, dtype=core.dtype, device="cpu")
    factor = root_above(core, off is not None)
    units = room.rsqrt() * (1 + 8 * UNIT)
    scaled = units[:, :, None] * matrix
    inner = scaled @ factor  # (F, w, c)
    gap = eye - inner.mH @ inner
    gap = (gap + gap.mH) / 2
    triangle, failed = torch.linalg.cholesky_ex(gap)
    if bool(failed.any()):
        raise Infeasible
    if off is None:
        half = torch.linalg.solve_triangular(triangle, factor.mH, upper=False)
        plain: Tensor = half.mH @ half
        return plain
    own, size = norm(scaled), norm(factor) * (1 + 1e-9)
    off = off * units.amax(1) + 8 * UNIT * own
    terms = 8 * (width + 8) * UNIT
    # K as computed against K: errors of E and of products
    wide = norm(inner) * (1 + 1e-9)
    moved = off * size + terms * own * size
    wrong = (2 * wide + moved) * moved
    wrong = wrong + 8 * (matrix.shape[1] + 8) * UNIT * (wide**2 + width)
    inverse = torch.cholesky_inverse(triangle)
    length = norm(inverse) * (1 + 1e-9)
    floor = _floor(gap, inverse, wrong)
    # H^-1 - X = H^-1 (I - H X), and |H^-1| <= 1 / floor
    residual = norm(eye - gap @ inverse) + terms * norm(gap) * length
    error = size**2 * (residual + wrong * length) / floor
    found = factor @ inverse @ factor.mH
    error = error + 2 * terms * size**2 * length
    found = (found + found.mH) / 2
    return _enlarged(found, error + 8 * UNIT * norm(found))


def _enlarged(blocks: Tensor, error: Tensor) -> Tensor:
    """Blocks with a little more than the error on the diagonal."""
    more = (error * (1 + 1e-6) + UNDERFLOW)[:, None].expand(-1, blocks.shape[1])
    enlarged: Tensor = blocks + torch.diag_embed(more).to(blocks.dtype)
    return enlarged
