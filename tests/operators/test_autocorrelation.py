"""Coefficients of the Gram polynomial: against a loop over exact fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

from convspec.operators.autocorrelation import Autocorrelation
from tests.gaussian import gaussian

Entry = tuple[Fraction, Fraction]  # real and imaginary part

LAGS = {
    "line": np.array([[0], [1], [2], [5]]),
    "plane": np.array([[0, 1], [2, 0], [1, 1], [0, 0], [-1, 3]]),
    "space": np.indices((2, 1, 3)).reshape(3, -1).T,
}


def entry(value: complex) -> Entry:
    value = complex(value)
    return Fraction(value.real), Fraction(value.imag)


def exact(C: Tensor, lags: np.ndarray) -> dict[tuple[int, ...], list[list[Entry]]]:
    """``G_q = sum C_t C_p^H`` over all ``lags[t] - lags[p] = q``, of (rows, m, lags)."""
    rows, columns, taps = C.shape
    A = [[[entry(x) for x in line] for line in row] for row in C.tolist()]
    found: dict[tuple[int, ...], list[list[Entry]]] = {}
    for t in range(taps):
        for p in range(taps):
            q = tuple((lags[t] - lags[p]).tolist())
            zero = (Fraction(0), Fraction(0))
            total = found.setdefault(q, [[zero] * rows for _ in range(rows)])
            for i in range(rows):
                for j in range(rows):
                    real, imaginary = total[i][j]
                    for k in range(columns):
                        (a, b), (c, d) = A[i][k][t], A[j][k][p]
                        real, imaginary = real + a * c + b * d, imaginary + b * c - a * d
                    total[i][j] = real, imaginary
    return found


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
@pytest.mark.parametrize("spread", [0.0, 3.0])
@pytest.mark.parametrize("way", ["rounded", "split"])
@pytest.mark.parametrize("name", LAGS)
def test_every_difference_within_the_error(
    name: str, way: str, spread: float, dtype: torch.dtype
) -> None:
    """One of each {q, -q}, half at 0, and all together no further off than stated."""
    lags = LAGS[name]
    shape = (2, 2, 3, len(lags))
    C = gaussian(0, *shape, dtype=dtype) * 10.0 ** (spread * gaussian(1, *shape))
    table = getattr(Autocorrelation, way)(C, lags)
    for group in range(2):
        truth = exact(C[group], lags)
        off = np.zeros((2, 2))
        for q, each in zip(
            table.lags.tolist(), table.coefficients[:, group], strict=True
        ):
            times = 1 if any(q) else 2
            known = truth.pop(tuple(q))
            if any(q):
                mirror = tuple(-x for x in q)
                conjugate = [
                    [(z[0], -z[1]) for z in row] for row in zip(*known, strict=True)
                ]
                assert truth.pop(mirror) == [list(row) for row in conjugate]
            for i, j in np.ndindex(2, 2):
                a, b = entry(times * each[i, j].item())
                gap = abs(complex(a - known[i][j][0], b - known[i][j][1]))
                off[i, j] += gap
                off[j, i] += gap if any(q) else 0.0
        assert not truth
        assert np.linalg.norm(off, 2) <= float(table.error[group])


def test_rows_alone() -> None:
    """As groups of their own they give the diagonal."""
    C = gaussian(0, 3, 4, 5)
    whole = Autocorrelation.rounded(C[None], LAGS["plane"])
    rows = Autocorrelation.rounded(C[:, None], LAGS["plane"])
    diagonal = whole.coefficients[:, 0].diagonal(dim1=-2, dim2=-1)
    gap = (rows.coefficients[:, :, 0, 0] - diagonal).abs().sum(dim=0)
    assert (gap <= rows.error + whole.error).all()
