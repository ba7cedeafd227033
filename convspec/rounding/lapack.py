"""How far rounding can move a computed singular value."""

from __future__ import annotations

__all__ = ["svd_error"]


def svd_error(rows: int, columns: int, norm: float, eps: float) -> float:
    """Bound on ``|computed - exact|`` for LAPACK's singular values of a given matrix.

    LAPACK's SVD is backward stable: the computed values are those of ``A + E`` with
    ``||E|| <= p(m, n) eps ||A||`` and p "a modestly growing function" (LAPACK Users'
    Guide, 3rd ed., section 4.9); by Weyl each value then moves by at most that. The
    iteration on the bidiagonal drops off-diagonals up to 100 eps (``dlasq2``), whatever
    the size, and does so where values nearly coincide. We take ``p = 4 max(m, n) + 216``,
    twice what the worst matrices found need.
    """
    return (4 * max(rows, columns) + 216) * eps * norm
