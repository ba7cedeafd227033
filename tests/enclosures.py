"""The norm of a matrix as an interval, by no code of convspec, and bounds against it.

The interval holds whatever rounding did. The matrix is assembled by plain loops in
extended precision, decomposed by LAPACK in double precision, and the decomposition
judged in extended precision: with ``A = U S V^H + E`` and ``u``, ``v`` the leading
vectors,

    ||A v|| / ||v||  <=  sigma_1  <=  s_1 ||U|| ||V|| + ||E||_F,

and ``||U||^2 <= 1 + ||U^H U - I||_F``. Intervals are a few 1e-15 wide, relative.
"""

from __future__ import annotations

import math

import numpy as np

import convspec as cs
from tests import oracles
from tests.cases import Case

WIDE = np.finfo(np.longdouble)
assert WIDE.nmant >= 63, "tests need 80-bit extended precision"


def extended_matrix(case: Case) -> oracles.Array:
    """The matrix of a case; sums of taps that meet in one pixel in extended precision."""
    weight = case.weight_and_bias()[0].numpy()
    wide = weight.astype(np.clongdouble if np.iscomplexobj(weight) else np.longdouble)
    return case.assembled(wide)


def norm_enclosure(matrix: oracles.Array) -> tuple[float, float]:
    """(lower, upper) of the largest singular value of a matrix in extended precision."""
    complex_ = np.iscomplexobj(matrix)
    narrow = matrix.astype(np.complex128 if complex_ else np.float64)
    u, s, vh = np.linalg.svd(narrow, full_matrices=False)
    u, vh = u.astype(matrix.dtype), vh.astype(matrix.dtype)
    size = length(matrix)
    rest = length(matrix - (u * s.astype(np.longdouble)) @ vh)
    skew = [
        np.sqrt(1 + length(q.conj().T @ q - np.eye(len(s)))) for q in (u, vh.conj().T)
    ]
    v = vh[0].conj()
    # sums of as many products as a matrix has rows or columns, in several steps
    slack = 16 * (max(matrix.shape) + 8) * WIDE.eps * size
    upper = np.longdouble(s[0]) * skew[0] * skew[1] + rest + slack
    lower = length(matrix @ v) / length(v) - slack
    return (
        math.nextafter(float(max(lower, 0)), -math.inf) if lower > 0 else 0.0,
        math.nextafter(float(upper), math.inf) if size > 0 else 0.0,
    )


def assert_meets(bound: cs.Bound, truth: tuple[float, float], op: object = "") -> None:
    """A bound and an interval that both hold the norm have a point in common."""
    low, high = truth
    assert bound.upper >= low, f"{bound} is below {low!r} for {op}"
    assert bound.lower <= high, f"{bound} is above {high!r} for {op}"


def length(values: oracles.Array) -> np.longdouble:
    """The Frobenius norm in extended precision."""
    return np.sqrt(np.sum(values.real**2 + values.imag**2))
